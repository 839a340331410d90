"""A folder behind an fsspec URL (s3://, gs://, memory://, …): whole files come and go, with patience for a store that
fails now and then. File systems other than the local one are known here, in `text.sources` and in `text.streams`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from bertsmith.errors import BertsmithError, ConfigError, StoreError
from bertsmith.files import atomic_path

__all__ = ["RemoteFolder", "cache_home", "is_refusal", "is_url"]

# Between attempts, each of which may have been tried again by the file system's own library: a minute in all.
WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

T = TypeVar("T")


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether a place is a URL, and no path."""
    return isinstance(place, str) and ("://" in place or "::" in place)


def is_refusal(error: Exception) -> bool:
    """Whether a store does not let the user in, so that asking again is in vain."""
    return isinstance(error, PermissionError) or "Credential" in type(error).__name__


def cache_home() -> Path:
    """Where what may be lost is kept between runs, unless the user says another place."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bertsmith"


class RemoteFolder:
    """Files below a URL, by their names relative to it.

    A missing file is a FileNotFoundError at once; other failures are tried again, longer and longer apart, and are a
    StoreError in the end. Threads may share it.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def url_of(self, name: str) -> str:
        """The URL of a file, for messages."""
        return f"{self.url}/{name}"

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return self._patiently(name, "looked for", lambda: bool(self._fs.exists(self._path(name))))

    def names(self, folder: str = "") -> list[str]:
        """The names of the files right below the folder, or below one in it; none where there is no such folder."""

        def listed() -> list[str]:
            try:
                found = self._fs.ls(self._path(folder), detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)

        return self._patiently(folder, "listed", listed)

    def read(self, name: str) -> bytes:
        """A small file's bytes."""
        return self._patiently(name, "read", lambda: bytes(self._fs.cat_file(self._path(name))))

    def get(self, name: str, path: Path, *, check: Callable[[Path], str | None] = lambda path: None) -> None:
        """Fetch a file; under `path` there is the whole file or none.

        Args:
            name: of the remote file.
            path: where to.
            check: says what is wrong with the file that has arrived; then it is fetched again.

        Raises:
            FileNotFoundError: the store has no such file.
            StoreError: it could not be fetched.
            DiskFullError: no room for it here.
        """

        def fetch() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as beside:
                self._fs.get_file(self._path(name), str(beside))
                if wrong := check(beside):
                    raise OSError(wrong)

        self._patiently(name, "read", fetch)

    def put(self, path: Path, name: str) -> None:
        """Store a file, and see that all of it is there.

        Raises:
            StoreError: it could not be stored.
        """

        def store() -> None:
            self._fs.put_file(str(path), self._path(name))
            self._fs.invalidate_cache()
            size = self._fs.info(self._path(name))["size"]
            if size != path.stat().st_size:
                raise OSError(f"{size:,} of {path.stat().st_size:,} bytes have arrived")

        self._patiently(name, "written", store)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

        def remove() -> None:
            if self._fs.exists(self._path(name)):
                self._fs.rm_file(self._path(name))

        self._patiently(name, "removed", remove)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        import fsspec  # 0.1 s, and only URLs need it

        try:
            fs, path = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            raise ConfigError(f"{self.url}: {error}. Install the named package to reach such URLs.") from None
        except ValueError as error:
            raise ConfigError(f"{self.url}: no URL of a known kind ({error}). Check it.") from None
        return fs, str(path).rstrip("/")

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    def _path(self, name: str) -> str:
        return f"{self._opened[1]}/{name}" if name else self._opened[1]

    def _patiently(self, name: str, what: str, act: Callable[[], T]) -> T:
        started, failures = time.monotonic(), 0
        while True:
            try:
                self._fs.invalidate_cache()  # of listings, which others may have outdated
                return act()
            except (BertsmithError, FileNotFoundError):
                raise
            except Exception as error:  # each file system has errors of its own
                if is_refusal(error):
                    raise StoreError(
                        f"{self.url_of(name)}: must not be {what} ({error}). Check your credentials and rights there."
                    ) from error
                if failures == len(WAITS_S):
                    raise StoreError(
                        f"{self.url_of(name)}: could not be {what}, {failures + 1} times in "
                        f"{time.monotonic() - started:.0f} s ({type(error).__name__}: {error}). Check the store and "
                        "the network, then run the same command again: it goes on where it was."
                    ) from error
            time.sleep(WAITS_S[failures])
            failures += 1
