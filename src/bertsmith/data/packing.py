"""Sequences -> full rows: short sequences share a row, so that hardly a place holds padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class PackedRows:
    """Which sequences lie in which row.

    Attributes:
        sequences: (S,) indices of sequences, row after row.
        row_starts: (rows + 1,) where each row starts in `sequences`, and the end.
    """

    sequences: Int64s
    row_starts: Int64s

    def __len__(self) -> int:
        return len(self.row_starts) - 1

    def shuffled(self, rng: np.random.Generator) -> PackedRows:
        """The same rows in a random order."""
        order = rng.permutation(len(self))
        counts = np.diff(self.row_starts)[order]
        row_starts = np.concatenate(([0], np.cumsum(counts)))
        places = np.repeat(self.row_starts[:-1][order] - row_starts[:-1], counts) + np.arange(row_starts[-1])
        return PackedRows(self.sequences[places], row_starts)


def pack(lengths: Int64s, row_length: int) -> PackedRows:
    """Best-fit decreasing: each sequence, longest first, goes where it leaves the least room.

    Args:
        lengths: (S,) tokens of each sequence, none above `row_length`.
        row_length: tokens of a row.

    Reference:
        Johnson 1974: at most 11/9 of the fewest rows; on sentences it fills 98% and more.
    """
    order = np.argsort(-lengths, kind="stable")
    rows: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(row_length + 1)]  # room left -> rows
    rooms = 0  # bit r is set where some row has room r
    for sequence, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
            rows[row].append(sequence)
        else:
            room, row = row_length, len(rows)
            rows.append([sequence])
        if room > length:
            with_room[room - length].append(row)
            rooms |= 1 << (room - length)
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    sequences = np.array([sequence for row in rows for sequence in row], dtype=np.int64)
    return PackedRows(sequences, np.concatenate((np.zeros(1, np.int64), np.cumsum(counts))))
