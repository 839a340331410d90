"""Writing files so that nothing half-written is ever found: beside, flushed, renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from bertsmith.errors import BertsmithError, ConfigError, DiskFullError

__all__ = [
    "READABLE",
    "atomic_path",
    "crc32_of",
    "disk_full_named",
    "expect_file",
    "holder_lives",
    "link_or_copy",
    "locked",
    "make_folder",
    "sealed",
    "sync_folder",
    "unsealed",
    "write_json",
    "write_text",
]

READABLE = 0o644  # safetensors writes for the owner alone
_HOLDER = re.compile(r"process (\d+) on (.+), since ")
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
        full = isinstance(error, OSError) and (error.errno in _FULL or "requested and" in str(error))  # numpy's words
        if full or "No space left" in str(error) or any(f"os error {code}" in str(error) for code in _FULL):
            raise DiskFullError(
                f"{path}: the disk is full; nothing was left half-written, and what was saved before is whole. "
                "Free some space and run the same command again."
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
            beside.chmod(READABLE)
            os.replace(beside, path)
            sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        ConfigError: there is a file of that name, or the place cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"{folder}: a file is in the way. Choose another folder for --out.") from None
    except OSError as error:
        raise ConfigError(
            f"{folder}: this folder cannot be made ({error.strerror}). Choose another folder for --out."
        ) from None


@contextlib.contextmanager
def folder_for(folder: Path) -> Iterator[None]:
    """A folder for what the block makes; if it fails with nothing made, a folder that was not there goes again.

    Raises:
        ConfigError: as `make_folder`.
    """
    there = folder.exists()
    make_folder(folder)
    try:
        yield
    except BaseException:
        if not there:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()
        raise


def expect_file(path: Path) -> None:
    """See that a file can be written, before what it is to hold is computed; its folder is made.

    Raises:
        ConfigError: it is a folder, or its own cannot be made or written to.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: this is a folder. Choose the name of a file.")
    make_folder(path.parent)
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path}: its folder cannot be written to. Choose another place.")


@contextlib.contextmanager
def locked(folder: Path | str, path: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Keep a folder for this process until the block ends, however it ends.

    Args:
        folder: what is kept, a folder or a URL; for the message.
        path: the lock, a file that is made if it is not there.
        wait_s: how long to wait for another process that has it.

    Raises:
        BertsmithError: another process has it; it is named.
        ConfigError: the lock's folder cannot be made.
    """
    make_folder(path.parent)
    with path.open("a+", encoding="utf-8") as file:
        until = time.monotonic() + wait_s
        while not _flocked(file):
            if time.monotonic() < until:
                time.sleep(0.2)
                continue
            file.seek(0)
            raise BertsmithError(
                f"{folder}: another run is writing to this folder ({file.read().strip() or 'just begun'}). "
                "Wait for it, stop it, or choose another --out."
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S %z')}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder_lives(path: Path) -> bool | None:
    """Whether the process that keeps a folder by a lock still runs; None where that cannot be told.

    It is read and not tried: a process that begins in that moment would find its folder taken.
    """
    try:
        words = path.read_text(encoding="utf-8")
    except OSError:
        return None
    found = _HOLDER.match(words)
    if found is None or found[2] != socket.gethostname():
        return None if words else False
    try:
        os.kill(int(found[1]), 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _flocked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    """Write a JSON file atomically, keys in the order given."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """A record of JSON values with a checksum of itself, by which `unsealed` knows one of which a bit has flipped."""
    return {**record, "own_sha256": _digest(record)}


def unsealed(record: dict[str, Any]) -> dict[str, Any]:
    """The record that was sealed.

    Raises:
        ValueError: it is another one, or has no seal.
    """
    bare = {name: value for name, value in record.items() if name != "own_sha256"}
    if record.get("own_sha256") != _digest(bare):
        raise ValueError("its checksum does not match")
    return bare


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def crc32_of(path: Path) -> int:
    """CRC-32 of a file's bytes, read in pieces of a megabyte."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            value = zlib.crc32(piece, value)
    return value
