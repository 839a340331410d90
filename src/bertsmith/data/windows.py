"""Texts of any length -> windows that the model reads at once -> packed batches.

A text that is longer than the model is read in windows that overlap; what a task makes of their outputs is its own.
Windows are packed: several share a row and no place is padding, as in pretraining.

Letters: R rows, T tokens of a row, W windows, P places that the task reads, D width of what stands there, E examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.packing import pack

Int64s = NDArray[np.int64]

BATCH_TOKENS = 2048  # that a model predicts from at once: with more they leave the cache, with fewer the calls weigh
PART_TOKENS = 256  # worth a core of their own: with fewer the calls weigh
DOUBLE_TOKENS = 1000  # of a text, whose tokens take twice as long as those of a very short one: each sees all others
MICRO_BATCH_TOKENS = 8192  # that a model learns from at once
MANY_ROWS = 8  # of which one more is little
ROW_MULTIPLE = 32  # softmax of rows of any other length is several times as slow in bfloat16


@dataclass(frozen=True)
class Window:
    """One sequence as the model reads it, [CLS] and [SEP] included.

    Attributes:
        input_ids: (t,) tokens.
        token_type_ids: (t,) 0 in the first text, 1 in the second.
        places: (p,) the places whose hidden states the task reads, such as 0 for [CLS].
        features: (p, D) those hidden states, where a frozen encoder read the window before.
    """

    input_ids: NDArray[np.int32]
    token_type_ids: NDArray[np.uint8]
    places: NDArray[np.int32]
    features: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Encoded:
    """An example as windows.

    Attributes:
        windows: one or more.
        labels: (k, …) what is right, in a form of the task's own; those of a batch are joined along the first axis.
            Empty where it is not known.
    """

    windows: tuple[Window, ...]
    labels: NDArray[Any]

    @property
    def tokens(self) -> int:
        """Tokens of all windows."""
        return sum(len(window.input_ids) for window in self.windows)


@dataclass(frozen=True)
class WindowBatch:
    """The windows of some examples in packed rows.

    Attributes:
        input_ids, token_type_ids, position_ids: (R, T).
        sequence_ids: (R, T) 0 is padding, k the k-th window of the row; tokens see their own window only.
        places: (P,) what the task reads, window after window in the order of the examples; indices into R * T.
        places_of: (W,) how many of them each window has.
        window_lengths: (W,) tokens of each window.
        windows_of: (E,) how many windows each example has.
        labels: the examples' labels, joined along the first axis.
        features: (P, D) what stands at the places, where it is known of every window.
    """

    input_ids: Int64s
    token_type_ids: Int64s
    position_ids: Int64s
    sequence_ids: Int64s
    places: Int64s
    places_of: Int64s
    window_lengths: Int64s
    windows_of: Int64s
    labels: NDArray[Any]
    features: NDArray[np.float32] | None = None

    @property
    def tokens(self) -> int:
        """Places that hold no padding."""
        return int(self.window_lengths.sum())

    @property
    def example_of_window(self) -> Int64s:
        """(W,) the example that each window belongs to."""
        return np.repeat(np.arange(len(self.windows_of)), self.windows_of)


def batch_windows(encoded: Sequence[Encoded], *, room: int = 0) -> WindowBatch:
    """Pack the windows of some examples.

    Args:
        encoded: the examples.
        room: a row is as long as the longest window; or filled up, but not beyond this many tokens, and many rows to an
            even number, so that batches are of few sizes: for each new one the matrix library makes new code.
    """
    windows = [window for each in encoded for window in each.windows]
    if len(windows) == 1 and not room:
        return _alone(windows[0], encoded)
    lengths = np.array([len(window.input_ids) for window in windows], np.int64)
    width = _width(lengths, room)
    rows = pack(lengths, width)
    count = len(rows) + (len(rows) % 2 if room and len(rows) >= MANY_ROWS else 0)
    # Of each window: its row, its number in the row, where it starts in the row.
    row, number, start = (np.zeros(len(windows), np.int64) for _ in range(3))
    counts = np.diff(rows.row_starts)
    row[rows.sequences] = np.repeat(np.arange(len(rows)), counts)
    number[rows.sequences] = np.arange(len(windows)) - np.repeat(rows.row_starts[:-1], counts)
    before = np.cumsum(lengths[rows.sequences]) - lengths[rows.sequences]
    start[rows.sequences] = before - np.repeat(before[rows.row_starts[:-1]], counts)
    first = row * width + start  # (W,) place of each window's [CLS]

    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    tokens = np.repeat(first, lengths) + within
    filled = np.zeros((4, count * width), np.int64)
    filled[0, tokens] = np.concatenate([window.input_ids for window in windows])
    filled[1, tokens] = np.concatenate([window.token_type_ids for window in windows])
    filled[2, tokens] = within
    filled[3, tokens] = np.repeat(number + 1, lengths)
    input_ids, token_type_ids, position_ids, sequence_ids = filled.reshape(4, count, width)
    places_of = np.array([len(window.places) for window in windows], np.int64)
    features = [window.features for window in windows if window.features is not None]
    return WindowBatch(
        input_ids=input_ids,
        token_type_ids=token_type_ids,
        position_ids=position_ids,
        sequence_ids=sequence_ids,
        places=np.concatenate([window.places for window in windows]) + np.repeat(first, places_of),
        places_of=places_of,
        window_lengths=lengths,
        windows_of=np.array([len(each.windows) for each in encoded], np.int64),
        labels=np.concatenate([each.labels for each in encoded]),
        features=np.concatenate(features) if len(features) == len(windows) else None,
    )


def _alone(window: Window, encoded: Sequence[Encoded]) -> WindowBatch:
    """A batch of one window, for which packing would take longer than many a short text's layer."""
    tokens = len(window.input_ids)
    return WindowBatch(
        input_ids=window.input_ids[None].astype(np.int64),
        token_type_ids=window.token_type_ids[None].astype(np.int64),
        position_ids=np.arange(tokens)[None],
        sequence_ids=np.ones((1, tokens), np.int64),
        places=window.places.astype(np.int64),
        places_of=np.array([len(window.places)]),
        window_lengths=np.array([tokens]),
        windows_of=np.array([len(each.windows) for each in encoded]),
        labels=np.concatenate([each.labels for each in encoded]),
        features=window.features,
    )


def _width(lengths: Int64s, room: int) -> int:
    """Of a row: the next multiple of ROW_MULTIPLE where that is near, or where rows hold several windows, which fill
    them up; else of half of it; the longest window if there is no room."""
    longest = int(lengths.max())
    near = room if 2 * lengths.mean() <= longest else longest + ROW_MULTIPLE // 2
    for multiple in (ROW_MULTIPLE, ROW_MULTIPLE // 2):
        width = -(-longest // multiple) * multiple
        if width <= min(room, near):
            return width
    return longest


def token_budget_batches(lengths: Sequence[int], budget: int, *, at_once: int = 1) -> list[list[int]]:
    """Indices of texts in batches of similar length.

    Sorted by length, longest first, so that padding is small and a batch that is too large for the memory is
    met first. A batch holds as many texts as fit the budget once padded to its longest, and at least one.

    Args:
        lengths: tokens of each text.
        budget: tokens a batch, padding counted.
        at_once: batches that are computed side by side. If one is not enough, or has PART_TOKENS for each, there are as
            many for each, all of about as much work, so that none waits for another.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or longest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            longest = lengths[index]
        batches[-1].append(index)
    if at_once < 2 or (len(batches) < 2 and sum(lengths) < at_once * PART_TOKENS):
        return batches
    ordered = [index for batch in batches for index in batch]
    return _evened(lengths, ordered, at_once * -(-len(batches) // at_once), budget)


def _evened(lengths: Sequence[int], ordered: list[int], count: int, budget: int) -> list[list[int]]:
    """Indices in `count` runs of about as much work; of about as many tokens where a run of short texts would have more
    than the budget. Fewer where there are not as many texts.
    """
    tokens = np.array([lengths[index] for index in ordered])
    for work in (tokens * (tokens + DOUBLE_TOKENS), tokens):
        ends = np.cumsum(work)
        run = ((ends - work / 2) * count / ends[-1]).astype(np.int64)  # (texts,) by the middle of each
        if np.bincount(run, tokens).max() <= budget:
            break
    batches: list[list[int]] = [[] for _ in range(count)]
    for index, number in zip(ordered, run.tolist(), strict=True):
        batches[number].append(index)
    return [batch for batch in batches if batch]


def sliding_windows(tokens: int, room: int, overlap: int) -> list[range]:
    """As few windows as cover `tokens` tokens, each at most `room` long and at least `overlap` over the one before.

    All are equally long and evenly spread, so that no token is read more often than the overlap asks for.
    A text that fits is one window.
    """
    if tokens <= room:
        return [range(tokens)]
    count = -((overlap - tokens) // (room - overlap))  # rounded up, as the next line
    length = -((overlap - tokens - count * overlap) // count)
    starts = [index * (tokens - length) // (count - 1) for index in range(count)]
    return [range(start, start + length) for start in starts]


def owners(windows: Sequence[range]) -> list[range]:
    """The tokens that each window answers for, those of which it sees most on both sides; together all, each once.

    Reference:
        google-research/bert, `run_squad.py`, "max context".
    """
    edges = [windows[0].start]
    edges += [(before.stop + after.start) // 2 for before, after in pairwise(windows)]
    edges.append(windows[-1].stop)
    return [range(start, stop) for start, stop in pairwise(edges)]
