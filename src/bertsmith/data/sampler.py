"""The order of rows: a position says where a run stands, and any position is reached without the ones before it.

The corpus's shards are visited in a random order, new every epoch; a shard's documents are cut into pairs, packed into
rows, and the rows shuffled, all as functions of (corpus, seed, epoch, shard). Shards hold random documents, so rows of
one shard are a fair sample. A seek plans one shard, however large the corpus; every rank plans the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.batch import Masking, PretrainingBatch, build_batch, concatenate
from bertsmith.data.packing import PackedRows, pack
from bertsmith.data.pairs import SegmentPairs, draw_pairs
from bertsmith.data.random_bits import generator, stream_key
from bertsmith.data.shards import PreparedCorpus, Shard, Split

AHEAD = 4  # shards of a remote corpus that are fetched while one is read


@dataclass(frozen=True)
class Position:
    """Where the next row comes from: a row of the `shard`-th shard in the order of an `epoch`."""

    epoch: int = 0
    shard: int = 0
    row: int = 0


@dataclass(frozen=True)
class Sampling:
    """What the rows of a corpus depend on, besides its documents.

    Attributes:
        seed: of order, pairs and masks.
        row_length: tokens of a row.
        next_sentence: pairs for next-sentence prediction, or single segments.
        short_share: share of sequences with a random shorter target.
        masking: what is hidden.
        reach: positions that short rows reach together, see `build_batch`; 0 if all begin at the first.
    """

    seed: int
    row_length: int
    next_sentence: bool
    short_share: float
    masking: Masking
    reach: int = 0


@dataclass(frozen=True)
class _ShardRows:
    shard: Shard
    pairs: SegmentPairs
    packed: PackedRows
    key: np.uint64


class RowSampler:
    """Rows of a prepared corpus from any position on, as batches."""

    def __init__(self, corpus: PreparedCorpus, split: Split, sampling: Sampling) -> None:
        self.corpus = corpus
        self.entries = corpus.of(split)
        self.sampling = sampling
        self._ahead = AHEAD if split == "train" else 0  # evaluations read the first rows only
        self._tokens = self.entries.column("tokens")
        self._rows = lru_cache(maxsize=2)(self._plan)
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def take(
        self, position: Position, rows: int, *, first: int = 0, last: int | None = None
    ) -> tuple[PretrainingBatch, Position]:
        """Of the next `rows` rows, which go on into the next shard and epoch, those from `first` to before `last` (all
        if not given, and at least one); and the position after all of them.
        """
        parts, passed = [], 0
        last = rows if last is None else last
        while passed < rows:
            planned = self._rows(position.epoch, position.shard)
            here = min(rows - passed, len(planned.packed) - position.row)
            begin, end = max(first - passed, 0), min(last - passed, here)
            if begin < end:
                parts.append(self._build(planned, position.row + begin, position.row + end))
            passed += here
            position = self._settle(Position(position.epoch, position.shard, position.row + here))
        return concatenate(parts), position

    def first(self, rows: int) -> PretrainingBatch:
        """The first `rows` rows of the first epoch, or as many as the epoch has."""
        parts = []
        for shard in range(len(self.entries)):
            planned = self._rows(0, shard)
            here = min(rows, len(planned.packed))
            parts.append(self._build(planned, 0, here))
            rows -= here
            if rows == 0:
                break
        return concatenate(parts)

    def epochs_done(self, position: Position) -> float:
        """Passes over the corpus up to a position, by its shards' tokens."""
        order, before = self._order(position.epoch)
        tokens = float(before[position.shard])
        if position.row:
            share = position.row / len(self._rows(position.epoch, position.shard).packed)
            tokens += share * int(self._tokens[order[position.shard]])
        return position.epoch + tokens / int(self._tokens.sum())

    def same_share(self, position: Position, other: RowSampler) -> Position:
        """The position of this sampler at the share of the shard where `other`, of another row length, stands."""
        if position.row == 0:
            return position
        share = position.row / len(other._rows(position.epoch, position.shard).packed)
        row = round(share * len(self._rows(position.epoch, position.shard).packed))
        return self._settle(Position(position.epoch, position.shard, row))

    def _settle(self, position: Position) -> Position:
        """Past the last row of a shard comes the next shard, past the last shard the next epoch."""
        if position.row < len(self._rows(position.epoch, position.shard).packed):
            return position
        if position.shard + 1 < len(self.entries):
            return Position(position.epoch, position.shard + 1, 0)
        return Position(position.epoch + 1, 0, 0)

    def _draw_order(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The shards in the order of an epoch, and the tokens before each of them."""
        order = generator("order", self.sampling.seed, epoch).permutation(len(self.entries))
        return order, np.cumsum(self._tokens[order]) - self._tokens[order]

    def _plan(self, epoch: int, shard: int) -> _ShardRows:
        order, _ = self._order(epoch)
        entry, *following = (self.entries[int(index)] for index in order[shard : shard + 1 + self._ahead])
        opened = self.corpus.open(entry)
        self.corpus.ahead(following)
        sampling = self.sampling
        rng = generator("pairs", sampling.seed, epoch, entry.file, sampling.row_length)
        pairs = draw_pairs(
            opened,
            row_length=sampling.row_length,
            next_sentence=sampling.next_sentence,
            short_share=sampling.short_share,
            rng=rng,
        )
        packed = pack(pairs.lengths, sampling.row_length).shuffled(rng)
        key = stream_key("masks", sampling.seed, epoch, entry.file, sampling.row_length)
        return _ShardRows(opened, pairs, packed, key)

    def _build(self, planned: _ShardRows, first: int, last: int) -> PretrainingBatch:
        return build_batch(
            planned.shard,
            planned.pairs,
            planned.packed,
            rows=(first, last),
            row_length=self.sampling.row_length,
            reach=self.sampling.reach,
            masking=self.sampling.masking,
            key=planned.key,
        )
