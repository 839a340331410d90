"""Texts of words -> windows that cut no word; each word is read in the window that sees most around it.

Letters: N words, W windows, t tokens of a window.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.windows import Window, owners

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]


def word_windows(starts: Int64s, room: int, overlap: int) -> list[range]:
    """Windows of whole words that cover all words.

    Args:
        starts: (N + 1,) where each word's tokens start, and the end; no word has more than `room` tokens, each has one.
        room: most tokens of a window.
        overlap: most tokens that a window shares with the one before, below `room`.

    Returns:
        The words of each window. The last one ends with the text and is as long as it can be.
    """
    count = len(starts) - 1
    last = int(np.searchsorted(starts, starts[-1] - room))  # from this word on, all fit one window
    windows: list[range] = []
    first = 0
    while first < last:
        stop = int(np.searchsorted(starts, starts[first] + room, side="right")) - 1
        windows.append(range(first, stop))
        first = max(first + 1, int(np.searchsorted(starts, starts[stop] - overlap)))
    return [*windows, range(last, count)]


def owned_words(starts: Int64s, windows: Sequence[range]) -> list[range]:
    """The words that each window answers for; together all, each once."""
    tokens = owners([range(int(starts[window.start]), int(starts[window.stop])) for window in windows])
    edges = np.searchsorted(starts, [part.stop for part in tokens])
    return [range(start, stop) for start, stop in zip([0, *edges[:-1].tolist()], edges.tolist(), strict=True)]


def first_piece_windows(
    ids: Int32s, starts: Int64s, *, ends: tuple[int, int], window_tokens: int, overlap_tokens: int | None
) -> tuple[Window, ...]:
    """The windows of a text, with the first piece of each word as a place to read, in the order of the words.

    Of a word with more tokens than a window has room for, only the first are read.

    Args:
        ids: the tokens of all words in a row.
        starts: (N + 1,) where each word's tokens start, and the end; each has one at least.
        ends: [CLS] and [SEP].
        window_tokens: longest window, both included.
        overlap_tokens: that neighbours share at most; None for a quarter of the room.
    """
    room = window_tokens - 2
    ids, starts = _shortened(ids, starts, room)
    overlap = room // 4 if overlap_tokens is None else min(overlap_tokens, room - 1)
    parts = word_windows(starts, room, overlap)
    cls, sep = ends
    windows = []
    for part, owned in zip(parts, owned_words(starts, parts), strict=True):
        if owned or len(parts) == 1:
            first = starts[part.start]
            inside = ids[first : starts[part.stop]]
            tokens = np.empty(len(inside) + 2, np.int32)
            tokens[0], tokens[1:-1], tokens[-1] = cls, inside, sep
            places = (starts[owned.start : owned.stop] - first + 1).astype(np.int32)
            windows.append(Window(tokens, np.zeros(len(tokens), np.uint8), places))
    return tuple(windows)


def _shortened(ids: Int32s, starts: Int64s, room: int) -> tuple[Int32s, Int64s]:
    """The same words, none with more than `room` tokens."""
    lengths = np.diff(starts)
    if len(lengths) == 0 or lengths.max() <= room:
        return ids, starts
    within = np.arange(len(ids)) - np.repeat(starts[:-1], lengths)
    return ids[within < room], np.concatenate(([0], np.cumsum(np.minimum(lengths, room))))
