"""A prepared corpus behind a URL: its manifest is read there, its shards come ahead of their use into a local cache."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bertsmith.data.cache import ShardCache
from bertsmith.data.shards import (
    INDEX,
    REMAKE,
    PreparedCorpus,
    Shard,
    ShardEntry,
    is_prepared,
    open_corpus,
    open_index,
    open_shard,
    parse_manifest,
)
from bertsmith.errors import BertsmithError, ConfigError, PreparedCorpusError
from bertsmith.files import crc32_of
from bertsmith.remote import RemoteFolder, cache_home, is_url
from bertsmith.text.sources import CORPUS_MARKS, kind_of

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
DEFAULT_CACHE_GB = 10.0
_FETCHERS = 2
_TRIES = 10


def is_prepared_place(place: str) -> bool:
    """Whether a folder or URL holds a finished prepared corpus."""
    if not is_url(place):
        return is_prepared(Path(place))
    if "::" in place or "*" in place or kind_of(place.rsplit("/", 1)[-1])[0] is not None:
        return False  # a file
    there = RemoteFolder(place)
    return there.exists("manifest.json") and any(there.exists(mark) for mark in CORPUS_MARKS)


def open_place(place: str, *, cache: Path | None = None, cache_gb: float = DEFAULT_CACHE_GB) -> PreparedCorpus:
    """Open a prepared corpus in a folder or behind a URL.

    Args:
        place: folder or URL.
        cache: where shards of a remote corpus are kept; in the user's cache if not given.
        cache_gb: how much disk they may take.

    Raises:
        PreparedCorpusError: there is none, or it is damaged.
        StoreError: the store fails.
    """
    if not is_url(place):
        return open_corpus(Path(place))
    remote = RemoteFolder(place)
    try:
        manifest = parse_manifest(remote.read("manifest.json"), remote.url_of("manifest.json"))
    except FileNotFoundError:
        raise PreparedCorpusError(
            f"{place}: no manifest.json, so no prepared corpus. `bertsmith prepare … --out {place}` makes one."
        ) from None
    shards = ShardCache(cache or cache_home() / "shards", int(cache_gb * 1e9))
    folder = shards.folder / hashlib.sha256(manifest["fingerprint"].encode()).hexdigest()[:32]
    index = _fetch_parts(remote, folder, manifest)
    return RemoteCorpus(folder, manifest, open_index(index, manifest), remote, shards)


def _fetch_parts(remote: RemoteFolder, folder: Path, manifest: dict[str, Any]) -> Path:
    """Bring what is no shard into the cache; returns where the index is."""
    index = folder / "index"  # not .arrow: it stays while shards come and go
    crc32 = manifest["index_crc32"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("token_counts.npy", *(f"tokenizer/{file}" for file in TOKENIZER_FILES)):
            remote.get(name, folder / name)
        if not index.exists() or _wrong(index, crc32):
            remote.get(INDEX, index, check=lambda path: _wrong(path, crc32))
    except FileNotFoundError as error:
        raise PreparedCorpusError(f"{remote.url}: a part of this corpus is missing ({error}). {REMAKE}") from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to ({error.strerror}). Give another --cache-folder.") from None
    return index


@dataclass(frozen=True)
class RemoteCorpus(PreparedCorpus):
    """`folder` is the corpus's part of the cache; it has the tokenizer, and those shards that are there just now."""

    remote: RemoteFolder
    cache: ShardCache

    @property
    def place(self) -> str:
        """The URL."""
        return self.remote.url

    def open(self, entry: ShardEntry) -> Shard:
        """Map a shard, which is fetched if it is not here yet, its checksum compared first.

        Raises:
            PreparedCorpusError: the store does not have it.
            StoreError: it could not be fetched, or never whole.
        """
        for _ in range(_TRIES):
            try:
                return open_shard(self._fetch(entry))
            except FileNotFoundError:  # taken out by another process that made room
                continue
        raise ConfigError(
            f"{self.cache.folder}: shards go as soon as they have come, {_TRIES} times now: the cache is too small for "
            "the processes that share it. Give a higher --cache-gb."
        )

    def ahead(self, entries: Sequence[ShardEntry]) -> None:
        """Fetch these shards meanwhile; what fails is tried again, and told, when the shard is opened."""
        for entry in entries:
            self._coming.put(entry)

    def _fetch(self, entry: ShardEntry) -> Path:
        def fetch(path: Path) -> None:
            try:
                self.remote.get(entry.file, path, check=lambda arrived: _wrong(arrived, entry.crc32))
            except FileNotFoundError:
                raise PreparedCorpusError(
                    f"{self.remote.url_of(entry.file)}: the index lists this shard, and it is not there. {REMAKE}"
                ) from None

        return self.cache.take(
            f"{self.folder.name}/{entry.file}", good=lambda path: _wrong(path, entry.crc32) is None, fetch=fetch
        )

    @cached_property
    def _coming(self) -> queue.SimpleQueue[ShardEntry]:
        """What is to be fetched; by threads that do not keep the process from its end."""
        coming: queue.SimpleQueue[ShardEntry] = queue.SimpleQueue()
        for _ in range(_FETCHERS):
            threading.Thread(target=self._fetch_all, args=[coming], name="shards ahead", daemon=True).start()
        return coming

    def _fetch_all(self, coming: queue.SimpleQueue[ShardEntry]) -> None:
        while True:
            with contextlib.suppress(BertsmithError, OSError):  # such as a shard that another process took out again
                self._fetch(coming.get())


def _wrong(path: Path, crc32: int) -> str | None:
    return None if crc32_of(path) == crc32 else "its checksum is not the manifest's: damaged there, or on the way"
