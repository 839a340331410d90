"""The best spans over windows: equal to trying all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data.windows import owners, sliding_windows
from bertsmith.tasks.span_search import best_spans


def logits_of(parts, seed):
    drawn = np.random.default_rng(seed)
    return [drawn.normal(size=(len(part) + 1, 2)).astype(np.float32) for part in parts]


def all_spans(outputs, parts, longest):
    """Every span with its logit, tried one by one."""
    found = {}
    for output, part, owned in zip(outputs, parts, owners(parts), strict=True):
        for first in owned:
            for last in range(first, min(first + longest, part.stop)):
                begin, end = output[first - part.start + 1, 0], output[last - part.start + 1, 1]
                found[first, last] = float(begin) + float(end)
    return found


@given(st.integers(1, 40), st.integers(1, 12), st.data())
def test_the_spans_are_those_of_trying_all(tokens, room, data):
    overlap = data.draw(st.integers(0, room - 1))
    longest, count = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 6))
    parts = sliding_windows(tokens, room, overlap)
    outputs = logits_of(parts, data.draw(st.integers(0, 99)))
    spans = best_spans(outputs, parts, longest=longest, count=count)
    every = all_spans(outputs, parts, longest)
    best = sorted(every, key=every.get, reverse=True)[:count]
    assert list(zip(spans.first.tolist(), spans.last.tolist(), strict=True)) == best
    assert spans.logits == pytest.approx([every[span] for span in best])
    assert spans.log_sum == pytest.approx(np.log(np.exp(list(every.values())).sum()))
    assert spans.null == pytest.approx(min(float(output[0, 0]) + float(output[0, 1]) for output in outputs))


def test_a_span_counts_in_the_window_that_sees_most_around_its_first_token():
    parts = [range(8), range(4, 12)]
    outputs = [np.zeros((9, 2), np.float32), np.zeros((9, 2), np.float32)]
    outputs[0][1 + 6] = 5  # token 6 belongs to the second window, for which it is nothing special
    outputs[1][1 + 0] = 4  # token 4 belongs to the first
    outputs[1][1 + 3] = 3  # token 7 belongs to the second
    spans = best_spans(outputs, parts, longest=1, count=1)
    assert (spans.first.tolist(), spans.last.tolist(), spans.logits.tolist()) == ([7], [7], [6])


def test_a_text_without_tokens_has_no_span():
    spans = best_spans([np.ones((1, 2), np.float32)], [range(0)], longest=30, count=20)
    assert (len(spans.first), spans.log_sum, spans.null) == (0, -np.inf, 2)


def test_among_equal_spans_the_first_is_best():
    spans = best_spans([np.zeros((7, 2), np.float32)], [range(6)], longest=2, count=3)
    assert list(zip(spans.first, spans.last, strict=True)) == [(0, 0), (0, 1), (1, 1)]
