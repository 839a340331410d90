"""A bounded local cache of remote shards; all processes of a machine share it.

cache/
├── lock-00 …                     one process at a time fetches a shard, and the others find it
└── FINGERPRINT/train-00000.arrow …   of a corpus; the least recently used ones go first
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from bertsmith.files import locked

_LOCKS = 64
_PATIENCE_S = 24 * 3600.0  # for another process that fetches the same shard


class ShardCache:
    """Files under `folder`, of `size_bytes` together, or of one file if that is more.

    A file that is taken out while somebody reads it stays readable for them: it is mapped.
    """

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder, self.size_bytes = folder, size_bytes

    def take(self, name: str, *, good: Callable[[Path], bool], fetch: Callable[[Path], None]) -> Path:
        """The path of a file, fetched if it is not there, or is not good any more.

        Args:
            name: CORPUS/SHARD.
            good: whether a file that lies in the cache is what it was.
            fetch: makes the file, whole or not at all.

        Raises:
            DiskFullError: no room.
        """
        path = self.folder / name
        turn = self.folder / f"lock-{zlib.crc32(name.encode()) % _LOCKS:02d}"
        with locked(path, turn, wait_s=_PATIENCE_S):
            found = path.exists() and good(path)
            if not found:
                fetch(path)
            now = time.time_ns()
            os.utime(path, ns=(now, now))
            if not found:
                self._make_room(path)
        return path

    def _make_room(self, but: Path) -> None:
        """Take out what was not used for the longest time, until the rest fits."""
        files = []
        for path in self.folder.glob("*/*.arrow"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # another process makes room too
                continue
            files.append((stat.st_mtime_ns, stat.st_size, path))
        room = self.size_bytes - sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if room >= 0:
                break
            if path != but:
                path.unlink(missing_ok=True)
                room += size
        self._sweep()

    def _sweep(self) -> None:
        """Remove what killed processes have left half-written; `atomic_path` puts their number in the name."""
        for path in self.folder.glob("*/.*.tmp"):
            try:
                os.kill(int(path.name.split(".")[-2]), 0)
            except (ProcessLookupError, ValueError):
                path.unlink(missing_ok=True)
            except PermissionError:  # alive, and another user's
                continue
