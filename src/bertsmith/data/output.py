"""Where a build writes: the corpus's folder itself, or a staging folder whose finished files are uploaded."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Protocol

from bertsmith.data.remote_corpus import TOKENIZER_FILES
from bertsmith.data.shards import INDEX
from bertsmith.errors import ConfigError, PreparedCorpusError
from bertsmith.remote import RemoteFolder, cache_home, is_url

BUILDING = "building"
RECORD = f"{BUILDING}/made-from.json"
_LOCK = f"{BUILDING}/lock"
# What a corpus is made of, and what its build removes. A name with a dot before it is of a file half-written.
_OURS = (
    "tokenizer",
    "train-*.arrow",
    "held-out-*.arrow",
    "manifest.json",
    INDEX,
    "token_counts.npy",
    f"{BUILDING}/[!.]*",
)
_UPLOADS = 4  # at once


class Output(Protocol):
    """A corpus that is being made in `folder`, a file under its name; `building/` in it holds what is unfinished."""

    place: str
    folder: Path

    def recall(self) -> None:
        """Bring what an earlier build has finished, if it is not here."""
        ...

    def names(self) -> list[str]:
        """Files and folders that are there, and those in `building/`."""
        ...

    def deliver(self, name: str, *, shard: bool = False) -> None:
        """A file is whole; a shard may leave the disk."""
        ...

    def settle(self) -> None:
        """Wait until all that was delivered has arrived."""
        ...

    def forget(self) -> None:
        """Remove shards of another corpus, of which nothing else was finished."""
        ...

    def check(self, shards: Iterable[str]) -> None:
        """See that all shards are there, before a manifest lists them."""
        ...

    def close(self) -> None:
        """The manifest is written: remove what only the build needed."""
        ...


class LocalOutput:
    """The folder of the corpus itself."""

    def __init__(self, folder: Path) -> None:
        self.place, self.folder = str(folder), folder

    def recall(self) -> None:
        """It is here."""

    def names(self) -> list[str]:
        """As `Output`."""
        paths = [*self.folder.iterdir(), *(self.folder / BUILDING).iterdir()]
        return [path.relative_to(self.folder).as_posix() for path in paths]

    def deliver(self, name: str, *, shard: bool = False) -> None:
        """It is where it should be."""

    def settle(self) -> None:
        """It is."""

    def forget(self) -> None:
        """As `Output`."""
        _remove_shards(self.folder)

    def check(self, shards: Iterable[str]) -> None:
        """Whoever reads them checks that, and their checksums too."""

    def close(self) -> None:
        """As `Output`."""
        shutil.rmtree(self.folder / BUILDING, ignore_errors=True)


class RemoteOutput:
    """A folder behind a URL; shards leave the disk when they have arrived there.

    Which have is noted in `building/delivered`, so that a build that goes on here uploads none twice; one that goes on
    on another machine begins at the first part that was not finished.
    """

    def __init__(self, url: str, staging: Path | None) -> None:
        self.remote = RemoteFolder(url)
        self.place = self.remote.url
        self.folder = (staging or cache_home() / "staging") / hashlib.sha256(self.place.encode()).hexdigest()[:32]
        self._pool = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="uploads")
        self._coming: set[Future[None]] = set()

    @property
    def _note(self) -> Path:
        return self.folder / BUILDING / "delivered"

    @cached_property
    def _delivered(self) -> set[str]:
        """By the run before this one."""
        return set(self._note.read_text(encoding="utf-8").split()) if self._note.exists() else set()

    def recall(self) -> None:
        """As `Output`. The staging folder counts only if it is of the build that the store knows."""
        record = self.folder / RECORD
        known = self.remote.read(RECORD) if self.remote.exists(RECORD) else None
        if known is not None and record.exists() and record.read_bytes() == known:
            return
        for path in self.folder.iterdir():
            if path.is_dir() and path.name != BUILDING:
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()
        for path in (self.folder / BUILDING).iterdir():
            if path.name != "lock":
                path.unlink()
        if known is not None:
            for name in self.remote.names(BUILDING):
                self.remote.get(f"{BUILDING}/{name}", self.folder / BUILDING / name)
            for name in TOKENIZER_FILES:
                with contextlib.suppress(FileNotFoundError):
                    self.remote.get(f"tokenizer/{name}", self.folder / "tokenizer" / name)

    def names(self) -> list[str]:
        """As `Output`."""
        return [*self.remote.names(), *(f"{BUILDING}/{name}" for name in self.remote.names(BUILDING))]

    def deliver(self, name: str, *, shard: bool = False) -> None:
        """As `Output`; a few shards are on their way at once."""
        if not shard:
            self.remote.put(self.folder / name, name)
            return
        if name in self._delivered:
            (self.folder / name).unlink()
            return
        while len(self._coming) >= _UPLOADS:
            self._wait()
        self._coming.add(self._pool.submit(self._upload, name))

    def settle(self) -> None:
        """As `Output`.

        Raises:
            StoreError: one could not be uploaded.
        """
        while self._coming:
            self._wait()

    def forget(self) -> None:
        """As `Output`."""
        _remove_shards(self.folder)
        self._note.unlink(missing_ok=True)
        self._delivered.clear()
        for name in self.remote.names():
            if name.startswith(("train-", "held-out-")) and name.endswith(".arrow"):
                self.remote.remove(name)

    def check(self, shards: Iterable[str]) -> None:
        """As `Output`.

        Raises:
            PreparedCorpusError: a shard that had arrived is gone.
        """
        gone = sorted(set(shards) - set(self.remote.names()))
        if gone:
            more = f", and {len(gone) - 1} more" if len(gone) > 1 else ""
            raise PreparedCorpusError(
                f"{self.remote.url_of(gone[0])}: this shard was uploaded, and is gone now{more}. Does something remove "
                "files there? Prepare the corpus again into another folder."
            )

    def close(self) -> None:
        """As `Output`; the record goes last, so that an interrupted clearing is taken up again."""
        for name in sorted(self.remote.names(BUILDING), key=lambda name: name == Path(RECORD).name):
            self.remote.remove(f"{BUILDING}/{name}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _upload(self, name: str) -> None:
        path = self.folder / name
        self.remote.put(path, name)
        with self._note.open("a", encoding="utf-8") as note:
            note.write(f"{name}\n")
        path.unlink()

    def _wait(self) -> None:
        done, self._coming = wait(self._coming, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()


def output_of(out: str | Path, staging: Path | None) -> Output:
    """The output of a folder or URL.

    Args:
        out: folder or URL.
        staging: for a URL, where files lie until they are uploaded; in the user's cache if not given.
    """
    return RemoteOutput(str(out), staging) if is_url(out) else LocalOutput(Path(out))


def refuse_foreign(output: Output) -> None:
    """See that a build which is begun would take nobody's files for its own.

    Raises:
        ConfigError: there is something of a name that a build gives, or removes.
    """
    found = sorted(name for name in output.names() if name != _LOCK and any(fnmatchcase(name, ours) for ours in _OURS))
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise ConfigError(
            f"{output.place}: {', '.join(found[:3])}{more}: already there, and of no corpus that was begun here. "
            "Preparing would write over it, so nothing was changed. Choose another folder for --out."
        )


def _remove_shards(folder: Path) -> None:
    for split in ("train", "held-out"):
        for shard in folder.glob(f"{split}-*.arrow"):
            shard.unlink()
