"""Units -> shards: every document goes to a random shard, as cards are dealt, with a bounded part of them in memory.

The rows of a unit are sorted by a random 64-bit hash. A shard is one interval of these hashes: the same interval of
every unit, put together and sorted. So a shard is a fair sample of the corpus, its rows are in random order, and
neither depends on how many processes made the units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bertsmith.data.shards import ShardEntry, Split, describe_shard, open_batch, open_shard, write_batch
from bertsmith.progress import Reporter

WHOLE = 1 << 64


@dataclass(frozen=True)
class Dealt:
    """The finished shards, and how often each token occurs in training documents."""

    entries: list[ShardEntry]
    token_counts: np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Hand:
    """How a part of the corpus is dealt.

    Attributes:
        held_out_share: share of the documents that training never sees; always the same ones, by their text.
        at_least_one: hold one out where the share is less, if the share is not zero and there are others.
        shard_tokens: about how many tokens a shard has.
        vocab_size: V.
        first: the number of the first shard of each split.
    """

    held_out_share: float
    at_least_one: bool
    shard_tokens: int
    vocab_size: int
    first: Mapping[Split, int]


def deal(units: Sequence[Path], out: Path, hand: Hand, *, deliver: Callable[[str], None], reporter: Reporter) -> Dealt:
    """Write the shards of both splits; one that is there already is kept.

    Args:
        units: Arrow files as `tokenize_unit` makes them.
        out: the folder of the shards.
        hand: how they are dealt.
        deliver: told the name of each shard that is whole; it may take it away.
        reporter: told of progress.
    """
    batches = [open_batch(path) for path in units]  # mapped, not read
    tokens = sum(len(batch.column("sentences").flatten().flatten()) for batch in batches)
    border = _border([batch.column("held_out").to_numpy() for batch in batches], hand.held_out_share, hand.at_least_one)
    shares: dict[Split, float] = {"train": 1 - hand.held_out_share, "held-out": hand.held_out_share}
    wanted = {split: max(1, round(tokens * share / hand.shard_tokens)) for split, share in shares.items()}
    entries: list[ShardEntry] = []
    counts = np.zeros(hand.vocab_size, np.int64)
    with reporter.track("dealing to shards", total=sum(wanted.values()), unit="shards") as track:
        for split, shards in wanted.items():
            cuts = _cuts(batches, shards)
            for index in range(shards):
                parts = [batch.slice(a[index], a[index + 1] - a[index]) for batch, a in zip(batches, cuts, strict=True)]
                name = f"{split}-{hand.first[split] + index:05d}.arrow"
                if entry := _write(out / name, split, parts, border):
                    entries.append(entry)
                    if split == "train":
                        counts += np.bincount(open_shard(out / name).tokens, minlength=hand.vocab_size)
                    deliver(name)
                track.update(index + 1 + (wanted["train"] if split == "held-out" else 0))
    return Dealt(entries, counts)


def _border(hashes: Sequence[NDArray[np.uint64]], held_out_share: float, at_least_one: bool) -> int:
    """Documents whose hash is below this are held out: the share, or one document if the share is less."""
    border = int(held_out_share * WHOLE)
    if border == 0 or not at_least_one:
        return border
    least = max(border, min(int(values.min(initial=WHOLE - 1)) for values in hashes) + 1)
    left = sum(int((values >= least).sum()) for values in hashes if least < WHOLE)
    return least if left else border  # of one document, or of copies of one, none is held out for the sake of it


def _cuts(batches: Sequence[pa.RecordBatch], shards: int) -> list[list[int]]:
    """For each unit where each shard's interval begins, and the end; the units are sorted by their hashes."""
    borders = np.array([index * WHOLE // shards for index in range(shards)], np.uint64)
    return [[*np.searchsorted(batch.column("order").to_numpy(), borders).tolist(), len(batch)] for batch in batches]


def _write(path: Path, split: Split, parts: Sequence[pa.RecordBatch], border: int) -> ShardEntry | None:
    """Put the documents of one interval and split together, by their hashes; None where there is none."""
    if path.exists():
        return describe_shard(path, split)
    chosen = []
    for part in parts:
        held_out = part.column("held_out").to_numpy() < border
        chosen.append(part.filter(pa.array(held_out if split == "held-out" else ~held_out)))
    table = pa.Table.from_batches(chosen).combine_chunks()
    if len(table) == 0:
        return None
    order = np.argsort(table.column("order").to_numpy(), kind="stable")
    documents = table.select(["sentences", "source"]).take(pa.array(order)).combine_chunks()
    write_batch(path, documents.to_batches()[0])
    return describe_shard(path, split)
