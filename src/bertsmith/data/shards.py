"""The prepared corpus: Arrow files, a row a document, and a manifest that says what they are.

corpus/
├── manifest.json               what it was made of, its counts, the checksum of the index
├── index.arrow                 a row a shard: its file, split, counts and checksum
├── tokenizer/                  the tokenizer that made the ids
├── token_counts.npy            (V,) how often each token occurs in training documents
├── train-00000.arrow …         sentences: list<list<uint16 | uint32>>, source: string
└── held-out-00000.arrow …      documents that training never sees
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bertsmith.errors import PreparedCorpusError
from bertsmith.files import atomic_path, crc32_of, unsealed
from bertsmith.text.sources import CORPUS_MARKS

FORMAT_VERSION = 2
INDEX = "index.arrow"
Split = Literal["train", "held-out"]


class ShardEntry(NamedTuple):
    """What the index says of one shard."""

    file: str
    split: Split
    documents: int
    sentences: int
    tokens: int
    crc32: int


@dataclass(frozen=True)
class Shard:
    """One shard, memory-mapped: documents are runs of sentences, sentences are runs of tokens.

    Attributes:
        tokens: (n,) uint16 or uint32, all ids one after the other.
        sentence_starts: (sentences + 1,) where each sentence starts in `tokens`, and the end.
        document_starts: (documents + 1,) where each document starts among the sentences, and the end.
    """

    name: str
    tokens: NDArray[Any]
    sentence_starts: NDArray[np.int64]
    document_starts: NDArray[np.int64]


class ShardIndex(Sequence[ShardEntry]):
    """The shards of a corpus, those of each split together. Mapped from a file they take no memory of a process, and
    a corpus of 10 TB, which has 600,000, is opened like any other."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self._rows = rows

    @classmethod
    def of(cls, entries: Sequence[ShardEntry]) -> ShardIndex:
        """An index in memory."""
        columns = zip(*entries, strict=True) if entries else [()] * len(_INDEX_TYPES)
        arrays = [pa.array(values, kind) for values, kind in zip(columns, _INDEX_TYPES.values(), strict=True)]
        return cls(pa.record_batch(dict(zip(_INDEX_TYPES, arrays, strict=True))))

    @classmethod
    def open(cls, path: Path) -> ShardIndex:
        """Map an index that `write` has written.

        Raises:
            OSError, pa.ArrowInvalid, KeyError: no file, or no index.
        """
        return cls(open_batch(path).select(list(_INDEX_TYPES)))

    def write(self, path: Path) -> None:
        """Write the index as an Arrow file, atomically."""
        write_batch(path, self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> ShardEntry: ...
    @overload
    def __getitem__(self, place: slice) -> ShardIndex: ...
    def __getitem__(self, place: int | slice) -> ShardEntry | ShardIndex:
        if isinstance(place, slice):
            first, last, _ = place.indices(len(self))
            return ShardIndex(self._rows.slice(first, max(0, last - first)))
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return ShardEntry(*(column[place].as_py() for column in self._rows.columns))

    def __iter__(self) -> Iterator[ShardEntry]:
        return (ShardEntry(**row) for row in self._rows.to_pylist())

    def of_split(self, split: Split) -> ShardIndex:
        """The shards of one split, in their order."""
        column = self._rows.column("split")
        first = pc.index(column, split).as_py()
        count = pc.sum(pc.equal(column, split)).as_py() or 0
        return self[first : first + count] if count else self[:0]

    def column(self, name: Literal["documents", "sentences", "tokens", "crc32"]) -> NDArray[np.int64]:
        """(shards,) one number of each shard."""
        return cast(NDArray[np.int64], self._rows.column(name).to_numpy())


_INDEX_TYPES = {
    "file": pa.string(),
    "split": pa.string(),
    "documents": pa.int64(),
    "sentences": pa.int64(),
    "tokens": pa.int64(),
    "crc32": pa.int64(),
}


@dataclass(frozen=True)
class PreparedCorpus:
    """A prepared corpus on the disk; opening it reads the manifest only."""

    folder: Path
    manifest: dict[str, Any]
    shards: ShardIndex

    @property
    def place(self) -> str:
        """The folder or URL, as the user gave it."""
        return str(self.folder)

    @property
    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer that made the ids."""
        return self.folder / "tokenizer"

    @property
    def fingerprint(self) -> str:
        """Changes with any document, the tokenizer, or the order of the documents."""
        return str(self.manifest["fingerprint"])

    def of(self, split: Split) -> ShardIndex:
        """The shards of one split, in their order."""
        return self.shards.of_split(split)

    def tokens(self, split: Split) -> int:
        """Tokens of one split."""
        return int(self.of(split).column("tokens").sum())

    def documents(self, split: Split) -> int:
        """Documents of one split."""
        return int(self.of(split).column("documents").sum())

    def ahead(self, entries: Sequence[ShardEntry]) -> None:
        """Told which shards will be opened next; a remote corpus fetches them meanwhile."""

    def token_counts(self) -> NDArray[np.int64]:
        """(V,) how often each token occurs in the training documents.

        Raises:
            PreparedCorpusError: the file is missing or damaged.
        """
        path = self.folder / "token_counts.npy"
        try:
            return cast(NDArray[np.int64], np.load(path, allow_pickle=False))
        except (OSError, EOFError, ValueError) as error:
            raise PreparedCorpusError(f"{path}: missing or damaged ({error}). {REMAKE}") from None

    def open(self, entry: ShardEntry) -> Shard:
        """Map one shard into memory, its checksum compared first.

        Raises:
            PreparedCorpusError: the file is missing, or not the one that was written.
        """
        path = self.folder / entry.file
        if not path.exists():
            raise PreparedCorpusError(f"{path}: the index lists this shard, and it is not there. {REMAKE}")
        if crc32_of(path) != entry.crc32:
            raise PreparedCorpusError(f"{path}: the shard's checksum is not the index's. {REMAKE}")
        return open_shard(path)


REMAKE = "Restore the file, or prepare the corpus again into another folder."


def open_corpus(folder: Path) -> PreparedCorpus:
    """Open a prepared corpus.

    Raises:
        PreparedCorpusError: no manifest, one that is no JSON, or one of another version.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise PreparedCorpusError(f"{folder}: no manifest.json, so no prepared corpus. `bertsmith prepare` makes one.")
    manifest = parse_manifest(path.read_bytes(), str(path))
    return PreparedCorpus(folder, manifest, open_index(folder / INDEX, manifest))


def parse_manifest(data: bytes, place: str) -> dict[str, Any]:
    """A manifest from its file's bytes.

    Args:
        data: JSON.
        place: its path or URL, for messages.

    Raises:
        PreparedCorpusError: no JSON, a key is missing, or another version.
    """
    try:
        manifest = json.loads(data)
        version = manifest["format_version"]
        if version == FORMAT_VERSION:
            manifest = unsealed(manifest)
        absent = {"fingerprint", "tokenizer", "made_from", "counts", "index_crc32"} - manifest.keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PreparedCorpusError(f"{place}: damaged ({error}). {REMAKE}") from None
    if version != FORMAT_VERSION:
        raise PreparedCorpusError(
            f"{place}: format version {version}; this bertsmith reads {FORMAT_VERSION}. Prepare the corpus again."
        )
    if absent:
        raise PreparedCorpusError(f"{place}: damaged (without {', '.join(sorted(absent))}). {REMAKE}")
    return cast(dict[str, Any], manifest)


def open_index(path: Path, manifest: dict[str, Any]) -> ShardIndex:
    """Map the index of a corpus.

    Raises:
        PreparedCorpusError: it is missing, or not the one that the manifest was written for.
    """
    try:
        if crc32_of(path) == manifest["index_crc32"]:
            return ShardIndex.open(path)
        found = "its checksum is not the manifest's"
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        found = str(error)
    raise PreparedCorpusError(f"{path}: missing or damaged ({found}). {REMAKE}")


def is_prepared(folder: Path) -> bool:
    """Whether the folder holds a finished prepared corpus, or one of which no more than a file is gone."""
    return (folder / "manifest.json").exists() and any((folder / mark).exists() for mark in CORPUS_MARKS)


def open_shard(path: Path) -> Shard:
    """Map an Arrow file of documents into memory, without a copy of its tokens.

    Raises:
        PreparedCorpusError: no Arrow file with the columns of a shard.
    """
    try:
        return shard_of(open_batch(path), path.name)
    except (pa.ArrowInvalid, KeyError, AttributeError) as error:
        raise PreparedCorpusError(f"{path}: not a shard of a prepared corpus ({error}). {REMAKE}") from None


def shard_of(batch: pa.RecordBatch, name: str) -> Shard:
    """The documents of a record batch that is not sliced, without a copy of their tokens."""
    sentences = batch.column("sentences")
    words = sentences.values
    return Shard(
        name=name,
        tokens=words.values.to_numpy(),
        sentence_starts=words.offsets.to_numpy().astype(np.int64),
        document_starts=sentences.offsets.to_numpy().astype(np.int64),
    )


def describe_shard(path: Path, split: Split) -> ShardEntry:
    """What the manifest says of a shard that lies on the disk."""
    shard = open_shard(path)
    return ShardEntry(
        file=path.name,
        split=split,
        documents=len(shard.document_starts) - 1,
        sentences=len(shard.sentence_starts) - 1,
        tokens=len(shard.tokens),
        crc32=crc32_of(path),
    )


def open_batch(path: Path) -> pa.RecordBatch:
    """The record batch of an Arrow IPC file, mapped, not read; errors are the system's and pyarrow's."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).get_batch(0)


def write_batch(path: Path, batch: pa.RecordBatch) -> None:
    """Write one record batch as an Arrow IPC file, atomically."""
    with atomic_path(path) as beside, pa.ipc.new_file(str(beside), batch.schema) as writer:
        writer.write_batch(batch)
