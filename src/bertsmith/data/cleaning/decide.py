"""One decision over the surveys of all units: which lines are boilerplate, which documents are duplicates.

Surveys are memory-mapped. Of a document no more than about 75 bytes are in memory at a time, however long it is; of
lines, a bounded number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bertsmith.cleaning_config import CleaningConfig
from bertsmith.data.cleaning.minhash import bands_for
from bertsmith.data.cleaning.survey import EXACT, KEPT, NEAR

Indices = NDArray[np.int64]

LINES_AT_ONCE = 4 << 20
PAIRS_AT_ONCE = 1 << 16
# Documents that meet in a band are compared with the first of them, those that are unlike it with the next, and so on.
_FIRSTS = 16
_ALL = 1 << 64


@dataclass(frozen=True)
class Decision:
    """What becomes of D documents, in the order in which they are read.

    Attributes:
        fates: (D,) uint8, as numbered in `survey`.
        like: (D,) int64, the earlier document of which one is a duplicate; -1 where it is none.
    """

    fates: NDArray[np.uint8]
    like: Indices


def boilerplate_of(batches: Sequence[pa.RecordBatch], more_than: int) -> NDArray[np.uint64]:
    """The hashes of the lines that stand in more than so many documents, sorted; `batches` are of `count_lines`."""
    found = [np.empty(0, np.uint64)]
    intervals = max(1, -(-sum(map(len, batches)) // LINES_AT_ONCE))
    borders = np.array([index * _ALL // intervals for index in range(intervals)], np.uint64)
    columns = [(batch.column("line").to_numpy(), batch.column("documents").to_numpy()) for batch in batches]
    cuts = [[*np.searchsorted(lines, borders).tolist(), len(lines)] for lines, _ in columns]
    for index in range(intervals):
        parts = [slice(cut[index], cut[index + 1]) for cut in cuts]
        lines = np.concatenate([lines[part] for (lines, _), part in zip(columns, parts, strict=True)])
        counts = np.concatenate([counts[part] for (_, counts), part in zip(columns, parts, strict=True)])
        if len(lines):
            order = np.argsort(lines)
            lines, counts = lines[order], counts[order]
            starts = np.flatnonzero(_differs(lines))
            found.append(lines[starts][np.add.reduceat(counts, starts, dtype=np.int64) > more_than])
    return np.concatenate(found)


def decide(batches: Sequence[pa.RecordBatch], config: CleaningConfig) -> Decision:
    """What becomes of every document; `batches` are surveys, in the order of their units.

    Of documents that are alike the first is kept. Near duplicates are judged by the share of the places in which
    their signatures agree, with a standard error of at most 0.05.
    """
    fates = _column(batches, "fate").copy()
    decision = Decision(fates, np.full(len(fates), -1, np.int64))
    if config.drop_duplicates != "none":
        _drop_exact(batches, decision)
    if config.drop_duplicates == "near":
        _drop_near(batches, decision, config.near_duplicate_share)
    return decision


def _drop_exact(batches: Sequence[pa.RecordBatch], decision: Decision) -> None:
    alive = np.flatnonzero(decision.fates == KEPT)
    low, high = (_column(batches, name)[alive] for name in ("exact_0", "exact_1"))
    order = np.lexsort((low, high))  # stable: of the same text the first comes first
    begins = _differs(low[order]) | _differs(high[order])
    firsts = alive[order[_first_of_each(begins)]]
    decision.fates[alive[order[~begins]]] = EXACT
    decision.like[alive[order[~begins]]] = firsts[~begins]


def _drop_near(batches: Sequence[pa.RecordBatch], decision: Decision, share: float) -> None:
    signatures = _Signatures(batches)
    comparable = _column(batches, "comparable")
    for band in range(bands_for(share)[0]):
        members = np.flatnonzero((decision.fates == KEPT) & comparable)
        keys = _column(batches, f"band_{band:02d}")[members]
        order = np.argsort(keys, kind="stable")
        members, keys = members[order], keys[order]
        for _ in range(_FIRSTS):
            begins = _differs(keys)
            if begins.all():
                break
            firsts, others = members[_first_of_each(begins)][~begins], members[~begins]
            near = signatures.alike(firsts, others, share)
            decision.fates[others[near]] = NEAR
            decision.like[others[near]] = firsts[near]
            members, keys = others[~near], keys[~begins][~near]


class _Signatures:
    """The signatures of all documents, read where they are asked for."""

    def __init__(self, batches: Sequence[pa.RecordBatch]) -> None:
        self._rows = [_rows_of(batch.column("signature")) for batch in batches]
        self._starts = np.cumsum([0, *map(len, self._rows)])

    def alike(self, one: Indices, other: Indices, share: float) -> NDArray[np.bool_]:
        """Whether the pairs agree in at least this share of their places."""
        found = [np.empty(0, bool)]
        for start in range(0, len(one), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            found.append((self._of(one[part]) == self._of(other[part])).mean(axis=1) >= share)
        return np.concatenate(found)

    def _of(self, documents: Indices) -> NDArray[np.uint16]:
        order = np.argsort(documents)
        cuts = np.searchsorted(documents[order], self._starts)
        found = np.empty((len(documents), self._rows[0].shape[1]), np.uint16)
        for unit in np.flatnonzero(np.diff(cuts)):
            here = order[cuts[unit] : cuts[unit + 1]]
            found[here] = self._rows[unit][documents[here] - self._starts[unit]]
        return found


def _rows_of(column: pa.Array) -> NDArray[np.uint16]:
    places = column.type.byte_width // 2
    values = np.frombuffer(column.buffers()[1] or b"", np.uint16, len(column) * places)
    return values.reshape(len(column), places)


def _column(batches: Sequence[pa.RecordBatch], name: str) -> NDArray[Any]:
    return np.concatenate([batch.column(name).to_numpy(zero_copy_only=False) for batch in batches])


def _differs(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a value is not that of its predecessor; true at the first."""
    return np.concatenate((np.ones(min(1, len(values)), bool), values[1:] != values[:-1]))


def _first_of_each(begins: NDArray[np.bool_]) -> Indices:
    """For each place of sorted groups where its group begins."""
    return np.repeat(places := np.flatnonzero(begins), np.diff(places, append=len(begins)))


def per_unit(values: NDArray[np.uint8], sizes: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """An array over all documents, cut into its units."""
    return iter(np.split(values, np.cumsum(sizes)[:-1]))
