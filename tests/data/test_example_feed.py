"""Labelled examples a batch a step, dealt to ranks."""

import numpy as np

from bertsmith.data.example_feed import ExampleFeed
from bertsmith.data.windows import Encoded, Window


def example(token: int) -> Encoded:
    ids = np.full(3, token, np.int64)
    return Encoded((Window(ids, np.zeros(3, np.int64), np.zeros(1, np.int64)),), np.array([token]))


def test_examples_of_all_ranks_are_those_of_one_and_a_rank_without_any_is_idle() -> None:
    examples = [example(token) for token in range(5)]
    whole = ExampleFeed(examples, batch_size=4, seed=0)
    feeds = [ExampleFeed(examples, batch_size=4, seed=0, rank=rank, ranks=2) for rank in range(2)]
    state = whole.start()
    for idle in ([False, False], [False, True]):
        alone, steps = whole.step(state, lambda e: 0.0), [feed.step(state, lambda e: 0.0) for feed in feeds]
        assert [step.idle for step in steps] == idle
        assert sum(step.tokens for step in steps) == alone.tokens
        counted = np.concatenate([b.labels for step in steps if not step.idle for b in step.batches])
        assert sorted(counted) == sorted(np.concatenate([batch.labels for batch in alone.batches]))
        assert all(step.batches for step in steps)
        assert all(step.state == alone.state for step in steps)
        state = alone.state
    assert state == {"epoch": 1, "example": 0}
