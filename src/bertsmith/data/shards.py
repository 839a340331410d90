"""The prepared corpus: Arrow files, a row a document, and a manifest that says what they are.

corpus/
├── manifest.json               what it was made of, and every shard with its counts and checksum
├── tokenizer/                  the tokenizer that made the ids
├── token_counts.npy            (V,) how often each token occurs in training documents
├── train-00000.arrow …         sentences: list<list<uint16 | uint32>>, source: string
└── held-out-00000.arrow …      documents that training never sees
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bertsmith.errors import PreparedCorpusError
from bertsmith.files import atomic_path, crc32_of

FORMAT_VERSION = 1
Split = Literal["train", "held-out"]


class ShardEntry(NamedTuple):
    """What the manifest says of one shard; a tuple, since a large corpus has many hundred thousand."""

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


@dataclass(frozen=True)
class PreparedCorpus:
    """A prepared corpus on the disk; opening it reads the manifest only."""

    folder: Path
    manifest: dict[str, Any]
    shards: tuple[ShardEntry, ...]

    @property
    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer that made the ids."""
        return self.folder / "tokenizer"

    @property
    def fingerprint(self) -> str:
        """Changes with any document, the tokenizer, or the order of the documents."""
        return str(self.manifest["fingerprint"])

    def of(self, split: Split) -> list[ShardEntry]:
        """The shards of one split, in their order."""
        return [entry for entry in self.shards if entry.split == split]

    def tokens(self, split: Split) -> int:
        """Tokens of one split."""
        return sum(entry.tokens for entry in self.of(split))

    def documents(self, split: Split) -> int:
        """Documents of one split."""
        return sum(entry.documents for entry in self.of(split))

    def token_counts(self) -> NDArray[np.int64]:
        """(V,) how often each token occurs in the training documents.

        Raises:
            PreparedCorpusError: the file is missing or damaged.
        """
        path = self.folder / "token_counts.npy"
        try:
            return cast(NDArray[np.int64], np.load(path, allow_pickle=False))
        except (OSError, EOFError, ValueError) as error:
            raise PreparedCorpusError(f"{path}: missing or damaged ({error}). {_REMAKE}") from None

    def open(self, entry: ShardEntry) -> Shard:
        """Map one shard into memory, its checksum compared first.

        Raises:
            PreparedCorpusError: the file is missing, or not the one that was written.
        """
        path = self.folder / entry.file
        if not path.exists():
            raise PreparedCorpusError(f"{path}: the manifest lists this shard, and it is not there. {_REMAKE}")
        if crc32_of(path) != entry.crc32:
            raise PreparedCorpusError(f"{path}: the shard's checksum is not the manifest's. {_REMAKE}")
        return open_shard(path)


_REMAKE = "Restore the file, or prepare the corpus again into another folder."


def open_corpus(folder: Path) -> PreparedCorpus:
    """Open a prepared corpus.

    Raises:
        PreparedCorpusError: no manifest, one that is no JSON, or one of another version.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise PreparedCorpusError(f"{folder}: no manifest.json, so no prepared corpus. `bertsmith prepare` makes one.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format_version"]
        if version != FORMAT_VERSION:
            raise PreparedCorpusError(
                f"{path}: format version {version}; this bertsmith reads {FORMAT_VERSION}. Prepare the corpus again."
            )
        shards = tuple(map(ShardEntry, *(manifest["shards"][name] for name in ShardEntry._fields)))
        absent = {"fingerprint", "tokenizer", "made_from", "counts"} - manifest.keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PreparedCorpusError(f"{path}: damaged ({error}). {_REMAKE}") from None
    if absent:
        raise PreparedCorpusError(f"{path}: damaged (without {', '.join(sorted(absent))}). {_REMAKE}")
    return PreparedCorpus(folder, manifest, shards)


def is_prepared(folder: Path) -> bool:
    """Whether the folder holds a finished prepared corpus."""
    return (folder / "manifest.json").exists()


def open_shard(path: Path) -> Shard:
    """Map an Arrow file of documents into memory, without a copy of its tokens.

    Raises:
        PreparedCorpusError: no Arrow file with the columns of a shard.
    """
    try:
        with pa.memory_map(str(path)) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
        return shard_of(batch, path.name)
    except (pa.ArrowInvalid, KeyError, AttributeError) as error:
        raise PreparedCorpusError(f"{path}: not a shard of a prepared corpus ({error}). {_REMAKE}") from None


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


def write_batch(path: Path, batch: pa.RecordBatch) -> None:
    """Write one record batch as an Arrow IPC file, atomically."""
    with atomic_path(path) as beside, pa.ipc.new_file(str(beside), batch.schema) as writer:
        writer.write_batch(batch)


def as_columns(entries: Sequence[ShardEntry]) -> dict[str, list[Any]]:
    """The shard entries as the manifest holds them: a list for each field, which is read many times faster than
    an object for each shard."""
    return {name: [getattr(entry, name) for entry in entries] for name in ShardEntry._fields}
