"""Sources -> units: runs of documents of a few megabytes, the same ones in the same order whenever they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bertsmith.config import CorpusConfig
from bertsmith.data.random_bits import generator
from bertsmith.progress import Reporter, Track
from bertsmith.text.corpus import read_documents
from bertsmith.text.sources import Source
from bertsmith.text.streams import BadInput

UNIT_BYTES = 4_000_000


@dataclass(frozen=True)
class Unit:
    """A run of documents, never across two groups of sources.

    Attributes:
        name: of its place; names sort as the units are read.
        texts: the documents.
        sources: where each comes from.
    """

    name: str
    texts: list[str]
    sources: list[str]

    def path(self, folder: Path, what: str) -> Path:
        """Where what is made of the unit lies."""
        return folder / f"{what}-{self.name}.arrow"


@dataclass
class Reading:
    """What the reader has come across so far."""

    skipped: list[BadInput] = field(default_factory=list)
    read_bytes: int = 0


Group: TypeAlias = tuple[int, list[Source]]


def group_sources(sources: Sequence[Source]) -> list[Group]:
    """Neighbouring small files together, so that a folder of a million notes makes no million units; numbered."""
    groups: list[list[Source]] = []
    room = 0
    for source in sources:
        size = source.size_bytes or UNIT_BYTES
        if size > room:
            groups.append([])
            room = UNIT_BYTES
        groups[-1].append(source)
        room -= size
    return list(enumerate(groups))


def cut_parts(groups: Sequence[Group], part_bytes: float, seed: int) -> list[list[Group]]:
    """Groups of sources in parts of about so much text, at random if there is more than one: each is a fair sample."""
    sizes = np.array([sum(map(_text_bytes, sources)) for _, sources in groups], np.float64)
    if sizes.sum() <= part_bytes:
        return [list(groups)]
    order = generator("parts", seed).permutation(len(groups))
    part_of = (np.cumsum(sizes[order]) - sizes[order]) // part_bytes
    return [[groups[int(index)] for index in order[part_of == part]] for part in np.unique(part_of)]


def _text_bytes(source: Source) -> float:
    """About how much text is in a file; compressed ones hold some four times their size."""
    packed = source.compression is not None or source.format == "parquet"
    return (source.size_bytes or UNIT_BYTES) * (4 if packed else 1)


def read_units(groups: Sequence[Group], config: CorpusConfig, reading: Reading, track: Track) -> Iterator[Unit]:
    """The documents of all groups, about `UNIT_BYTES` at a time.

    Raises:
        CorpusError: as `read_documents`.
    """
    for index, group in groups:
        for piece, (texts, sources) in enumerate(_pieces(group, config, reading, track)):
            yield Unit(f"{index:06d}-{piece:06d}", texts, sources)


def _pieces(
    group: Sequence[Source], config: CorpusConfig, reading: Reading, track: Track
) -> Iterator[tuple[list[str], list[str]]]:
    texts: list[str] = []
    sources: list[str] = []
    size = 0
    for source in group:
        for document in read_documents(source, config, skipped=reading.skipped):
            texts.append(document.text)
            sources.append(document.source)
            size += len(document.text) if document.text.isascii() else len(document.text.encode(errors="replace"))
            if size >= UNIT_BYTES:
                yield texts, sources
                reading.read_bytes += size
                track.update(reading.read_bytes / 1e6)
                texts, sources, size = [], [], 0
    if texts:
        yield texts, sources
        reading.read_bytes += size
        track.update(reading.read_bytes / 1e6)


def warn_of_skipped(skipped: Sequence[BadInput], reporter: Reporter) -> None:
    """Say what could not be read, with the places of the first twenty."""
    if not skipped:
        return
    places = "\n  ".join(f"{bad.source}, {bad.place}: {bad.reason}" for bad in skipped[:20])
    more = f"\n  … and {len(skipped) - 20} more" if len(skipped) > 20 else ""
    reporter.warn(f"{sum(bad.count for bad in skipped)} broken inputs were left out:\n  {places}{more}")
