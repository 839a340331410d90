"""Windows: every token is read, packing changes no place, batches hold what went in."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.data.example_feed import ExampleFeed
from bertsmith.data.windows import Encoded, Window, batch_windows, owners, sliding_windows


def window(ids: list[int], places: list[int], type_from: int = 10_000) -> Window:
    types = (np.arange(len(ids)) >= type_from).astype(np.uint8)
    return Window(np.array(ids, np.int32), types, np.array(places, np.int32))


examples = st.lists(
    st.lists(st.lists(st.integers(1, 999), min_size=2, max_size=12), min_size=1, max_size=3), min_size=1, max_size=8
)


@pytest.mark.parametrize("places", [[0], [0, 4], []])
@pytest.mark.parametrize("read_before", [True, False])
def test_a_window_alone_is_the_batch_that_packing_makes_of_it(places, read_before):
    alone = window([3, 1, 4, 1, 5], places, type_from=2)
    if read_before:
        alone = replace(alone, features=np.ones((len(places), 7), np.float32))
    encoded = [Encoded((alone,), np.array([6]))]
    ours, packed = batch_windows(encoded), batch_windows(encoded, room=5)
    for field in fields(packed):
        made, wanted = getattr(ours, field.name), getattr(packed, field.name)
        np.testing.assert_array_equal(made, wanted, strict=wanted is not None)


@given(examples)
@settings(max_examples=60)
def test_a_batch_holds_each_window_whole_and_apart(texts):
    encoded = [
        Encoded(tuple(window(ids, [0, len(ids) - 1], type_from=1) for ids in windows), np.array([number]))
        for number, windows in enumerate(texts)
    ]
    batch = batch_windows(encoded)
    flat = [ids for windows in texts for ids in windows]
    assert batch.tokens == sum(map(len, flat)) == np.count_nonzero(batch.sequence_ids)
    assert batch.windows_of.tolist() == [len(windows) for windows in texts]
    assert batch.labels.tolist() == list(range(len(texts)))
    places = batch.places.reshape(-1, 2)  # the first and the last token of each window
    for ids, (first, last) in zip(flat, places, strict=True):
        span = slice(first, last + 1)
        assert batch.input_ids.ravel()[span].tolist() == ids
        assert batch.position_ids.ravel()[span].tolist() == list(range(len(ids)))
        assert batch.token_type_ids.ravel()[span].tolist() == [0] + [1] * (len(ids) - 1)
        assert len(set(batch.sequence_ids.ravel()[span])) == 1
    keys = set(
        zip(
            batch.places.reshape(-1, 2)[:, 0] // batch.input_ids.shape[1],
            batch.sequence_ids.ravel()[batch.places.reshape(-1, 2)[:, 0]],
            strict=True,
        )
    )
    assert len(keys) == len(flat)  # no two windows of a row are one sequence


@pytest.mark.parametrize(
    ("room", "lengths", "rows"),
    [
        (0, [23, 7], (2, 23)),
        (40, [23, 7], (1, 32)),  # near
        (30, [23, 7], (2, 23)),  # no room
        (40, [15, 15], (2, 16)),  # not near: half as far
        (200, [65, 60], (2, 80)),
        (200, [65, 7, 6, 5], (1, 96)),  # short ones fill it up
        (90, [65, 7, 6, 5], (2, 80)),
        (200, [32] * 7, (7, 32)),
        (200, [32] * 9, (10, 32)),  # one row more than there are windows
        (0, [32] * 9, (9, 32)),
    ],
)
def test_batches_are_of_few_sizes_where_there_is_room(room, lengths, rows):
    encoded = [Encoded((window(list(range(length)), [0]),), np.array([0])) for length in lengths]
    batch = batch_windows(encoded, room=room)
    assert batch.input_ids.shape == rows
    assert batch.tokens == np.count_nonzero(batch.sequence_ids) == sum(lengths)


@given(st.integers(0, 400), st.integers(2, 60), st.data())
def test_windows_cover_everything_and_one_owner_each(tokens, room, data):
    overlap = data.draw(st.integers(0, room - 1))
    windows = sliding_windows(tokens, room, overlap)
    assert sorted({token for part in windows for token in part}) == list(range(tokens))
    assert all(len(part) <= room for part in windows)
    owned = owners(windows)
    assert [token for part in owned for token in part] == list(range(tokens))
    for mine, whole in zip(owned, windows, strict=True):
        assert set(mine) <= set(whole)


def test_the_owner_of_a_token_sees_most_around_it():
    windows = sliding_windows(20, 10, 4)
    for index, (mine, whole) in enumerate(zip(owners(windows), windows, strict=True)):
        for token in mine:
            context = min(token - whole.start, whole.stop - 1 - token)
            for other in windows[index + 1 :]:
                if token in other:
                    assert context >= min(token - other.start, other.stop - 1 - token) - 1


def encoded(count: int, tokens: int = 5) -> list[Encoded]:
    return [Encoded((window([1] * tokens, [0]),), np.array([number])) for number in range(count)]


def steps(feed: ExampleFeed, state: dict, count: int) -> list:
    taken = []
    for _ in range(count):
        taken.append(feed.step(state, lambda epochs: 0.0))
        state = taken[-1].state
    return taken


def labels(step) -> list[int]:
    return [label for batch in step.batches for label in batch.labels.tolist()]


def test_each_epoch_sees_every_example_once_in_an_order_of_its_own():
    feed = ExampleFeed(encoded(10), batch_size=4, seed=0)
    taken = steps(feed, feed.start(), 6)
    first, second = ([label for step in taken[part] for label in labels(step)] for part in (slice(3), slice(3, 6)))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert [step.epochs_after for step in taken] == pytest.approx([0.4, 0.8, 1, 1.4, 1.8, 2])


def test_a_feed_goes_on_from_any_state():
    feed = ExampleFeed(encoded(10), batch_size=4, seed=3)
    taken = steps(feed, feed.start(), 5)
    again = steps(ExampleFeed(encoded(10), batch_size=4, seed=3), taken[2].state, 2)
    assert [labels(step) for step in again] == [labels(step) for step in taken[3:]]
    other = ExampleFeed(encoded(10), batch_size=4, seed=4)
    assert labels(other.step(other.start(), lambda epochs: 0.0)) != labels(taken[0])


@pytest.mark.parametrize(
    ("tokens", "parts"),
    [(3000, [3000] * 8), (700, [2100, 2100, 1400]), (257, [1028, 1028]), (256, [2048])],
)
def test_many_tokens_are_computed_in_even_parts_that_cut_no_example(tokens, parts):
    feed = ExampleFeed(encoded(8, tokens=tokens), batch_size=8, seed=0)
    step = feed.step(feed.start(), lambda epochs: 0.0)
    assert [batch.tokens for batch in step.batches] == parts
    assert sorted(labels(step)) == list(range(8))
    assert step.tokens == 8 * tokens
