"""Writing files so that nothing half-written is ever found: beside, flushed, renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertsmith.errors import DiskFullError

__all__ = ["atomic_path", "crc32_of", "disk_full_named", "link_or_copy", "sync_folder", "write_json", "write_text"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def disk_full_named(path: Path) -> Iterator[None]:
    """Turn "no space left" into an error that names the place.

    Raises:
        DiskFullError: the file system under `path` has no room left.
    """
    try:
        yield
    except Exception as error:
        # safetensors reports an I/O failure in an error class of its own, with the system's words in it.
        full = isinstance(error, OSError) and error.errno in _FULL
        if full or "No space left" in str(error) or "os error 28" in str(error):
            raise DiskFullError(
                f"{path}: the disk is full; nothing was left half-written, and what was saved before is whole. "
                "Free some space and run the same command again: it goes on where it was."
            ) from error
        raise


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary neighbour of `path` to write to; it takes the name `path` once it is whole.

    The file is flushed to the disk before it is renamed, and removed when the writing fails.

    Raises:
        DiskFullError: no room left.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with disk_full_named(path):
            yield beside
            with beside.open("rb+") as written:
                os.fsync(written.fileno())
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or where the file system cannot, copy it."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with atomic_path(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def crc32_of(path: Path) -> int:
    """CRC-32 of a file's bytes, read in pieces of a megabyte."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            value = zlib.crc32(piece, value)
    return value
