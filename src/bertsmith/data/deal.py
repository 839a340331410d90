"""Units -> shards: every document goes to a random shard, as cards are dealt, with a bounded part of them in memory.

The rows of a unit are sorted by a random 64-bit hash. A shard is one interval of these hashes: the same interval of
every unit, put together and sorted. So a shard is a fair sample of the corpus, its rows are in random order, and
neither depends on how many processes made the units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bertsmith.data.shards import ShardEntry, Split, write_shard

WHOLE = 1 << 64


@dataclass(frozen=True)
class Dealt:
    """The finished shards, and how often each token occurs in training documents."""

    entries: list[ShardEntry]
    token_counts: np.ndarray[tuple[int], np.dtype[np.int64]]


def deal(units: Sequence[Path], out: Path, *, held_out_share: float, shard_tokens: int, vocab_size: int) -> Dealt:
    """Write the shards of both splits.

    Args:
        units: Arrow files as `tokenize_unit` makes them.
        out: the folder of the shards.
        held_out_share: share of the documents that training never sees. At least one is held out if the share is
            not zero and there are two; always the same ones, by their text.
        shard_tokens: about how many tokens a shard has.
        vocab_size: V.
    """
    tokens, documents, smallest = 0, 0, WHOLE
    for path in units:
        batch = _open(path)
        tokens += len(batch.column("sentences").flatten().flatten())
        documents += len(batch)
        smallest = min(smallest, int(batch.column("held_out").to_numpy().min(initial=WHOLE - 1)))
    border = int(held_out_share * WHOLE)
    if border and documents > 1:
        border = max(border, smallest + 1)
    entries: list[ShardEntry] = []
    counts = np.zeros(vocab_size, np.int64)
    splits: list[tuple[Split, float]] = [("train", 1 - held_out_share), ("held-out", held_out_share)]
    for split, share in splits:
        shards = max(1, round(tokens * share / shard_tokens))
        for index in range(shards):
            interval = (index * WHOLE // shards, (index + 1) * WHOLE // shards)
            batch = _gather(units, interval, split, border)
            if len(batch):
                entries.append(write_shard(out / f"{split}-{index:05d}.arrow", split, batch))
                if split == "train":
                    flat = batch.column("sentences").flatten().flatten().to_numpy()
                    counts += np.bincount(flat, minlength=vocab_size)
    return Dealt(entries, counts)


def _gather(units: Sequence[Path], interval: tuple[int, int], split: Split, border: int) -> pa.RecordBatch:
    """The documents of one split whose hashes lie in an interval, by their hashes."""
    parts = list(_slices(units, interval, split, border))
    table = pa.Table.from_batches(parts).combine_chunks()
    order = np.argsort(table.column("order").to_numpy(), kind="stable")
    chosen = table.select(["sentences", "source"]).take(pa.array(order)).combine_chunks()
    return chosen.to_batches()[0] if len(chosen) else parts[0].slice(0, 0)


def _slices(units: Sequence[Path], interval: tuple[int, int], split: Split, border: int) -> Iterator[pa.RecordBatch]:
    for path in units:
        batch = _open(path)
        order = batch.column("order").to_numpy()
        first, last = (
            int(np.searchsorted(order, np.uint64(hash_))) if hash_ < WHOLE else len(order) for hash_ in interval
        )
        part = batch.slice(first, last - first)
        held_out = part.column("held_out").to_numpy() < border
        yield part.filter(pa.array(held_out if split == "held-out" else ~held_out))


def _open(path: Path) -> pa.RecordBatch:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).get_batch(0)
