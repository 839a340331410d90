"""Bytes of a source, decompressed, in blocks and in lines; what is broken is reported with its place."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from bertsmith.errors import CorpusError
from bertsmith.text.sources import Source

BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 20  # of .jsonl, .csv, .tsv; a longer line is no record that anyone wrote
_MAX_PLACES = 100  # bad places of one source that are told one by one


@dataclass(frozen=True)
class BadInput:
    """Something that was left out.

    Attributes:
        source: URL of the file.
        place: line, row or byte, in words.
        reason: what is wrong there.
        count: how many places this record stands for; more than 1 only in the last record of a source.
    """

    source: str
    place: str
    reason: str
    count: int = 1


class BadInputs:
    """Stops at the first bad place of a source, or notes it, as the user chose; the notes stay few."""

    def __init__(self, source: Source, on_bad_input: Literal["stop", "skip"], skipped: list[BadInput]) -> None:
        self._source, self._stop, self._skipped = source, on_bad_input == "stop", skipped
        self._noted, self._last = 0, 0
        self.broken_off = False  # the source could not be read to its end

    def where(self, place: str) -> str:
        """A place of the source, as messages show it."""
        return f"{self._source.url}, {place}"

    def report(self, place: str, reason: str, *, remedy: str | None = None) -> None:
        """Note a bad place.

        Args:
            place: line, row or byte, in words.
            reason: what is wrong there.
            remedy: what to do, a sentence; to mend it or to leave it out, if not given.

        Raises:
            CorpusError: the user chose to stop.
        """
        if self._stop:
            remedy = remedy or "Mend it, or leave it out with --on-bad-input skip."
            raise CorpusError(f"{self.where(place)}: {reason}. {remedy}")
        self._noted += 1
        if self._noted <= _MAX_PLACES:
            self._last = len(self._skipped)
            self._skipped.append(BadInput(self._source.url, place, reason))
        else:
            last = self._skipped[self._last]
            if last.count == 1:
                last = replace(last, place=f"{last.place} and after", reason=f"{last.reason}, and more")
            self._skipped[self._last] = replace(last, count=last.count + 1)


@contextmanager
def open_bytes(source: Source) -> Iterator[Any]:
    """A binary file of the stored bytes, not decompressed."""
    if "://" in source.url or "::" in source.url:
        import fsspec  # 0.1 s, and only URLs need it

        with fsspec.open(source.url, "rb") as remote:
            yield remote
    else:
        with open(source.url, "rb") as local:
            yield local


def read_blocks(source: Source, bad: BadInputs) -> Iterator[bytes]:
    """Decompressed bytes; ends early, after a report, where the file cannot be read on."""
    done = 0
    try:
        with open_bytes(source) as raw:
            read = _reader(raw, source.compression)
            while block := _read_block(read):
                data, failure = block
                done += len(data)
                if data:
                    yield data
                if failure:
                    raise failure
    except CorpusError:
        raise
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        bad.broken_off = True
        bad.report(*_explain(error, source, done))
    except Exception as error:  # each remote file system has errors of its own
        if "://" not in source.url:
            raise
        bad.broken_off = True
        bad.report(f"byte {done:,}", f"cannot be read ({type(error).__name__}: {error})")


def _reader(raw: Any, compression: str | None) -> Callable[[int], bytes]:
    """A function that reads at most so many decompressed bytes; b"" at the end."""
    if compression == "gz":
        return gzip.GzipFile(fileobj=raw).read1
    if compression == "bz2":
        return bz2.BZ2File(raw).read1
    if compression == "xz":
        return lzma.LZMAFile(raw).read1
    if compression == "zst":
        import pyarrow as pa  # 0.2 s, and only zstd needs it

        stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
        return lambda size: stream.read(min(size, 1 << 16))  # a failing read loses no more than this
    return raw.read  # type: ignore[no-any-return]


def _read_block(read: Callable[[int], bytes]) -> tuple[bytes, Exception | None] | None:
    """About a block of bytes, and the failure that came after them; None at the end."""
    pieces: list[bytes] = []
    size = 0
    try:
        while size < BLOCK_BYTES and (piece := read(BLOCK_BYTES - size)):
            pieces.append(piece)
            size += len(piece)
    except Exception as error:
        return b"".join(pieces), error
    return (b"".join(pieces), None) if pieces else None


def _explain(error: Exception, source: Source, done: int) -> tuple[str, str]:
    place = f"byte {done:,} of the text" if source.compression else f"byte {done:,}"
    if source.compression and (isinstance(error, EOFError) or "Truncated" in str(error)):
        return place, f"the .{source.compression} archive is truncated; copy or download it again"
    if isinstance(error, PermissionError):
        return place, "no permission to read this file"
    if isinstance(error, OSError) and error.strerror:
        return place, f"cannot be read ({error.strerror})"
    if source.compression:
        return place, f"damaged, or no .{source.compression} archive ({error})"
    return place, f"cannot be read ({type(error).__name__}: {error})"


@dataclass(frozen=True)
class Line:
    """A line without its end; `number` from 1, `offset` in bytes of the decompressed text."""

    number: int
    offset: int
    data: bytes

    def decode(self, bad: BadInputs) -> str | None:
        """The text, or None after a report."""
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            bad.report(*undecodable(error, line=self.number, offset=self.offset))
            return None


def undecodable(error: UnicodeDecodeError, *, line: int, offset: int) -> tuple[str, str]:
    """Place and reason for a byte that is no UTF-8; `line` and `offset` are those of the decoded piece."""
    data: bytes = error.object
    line += data.count(b"\n", 0, error.start)
    offset += error.start
    if offset <= 1 and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        hint = "the file looks like UTF-16; convert it: iconv -f utf-16 -t utf-8"
    else:
        hint = "if the file is Latin-1, convert it: iconv -f latin1 -t utf-8"
    return f"line {line:,}, byte {offset:,}", f"byte 0x{data[error.start]:02x} is no UTF-8 ({hint})"


def text_blocks(source: Source, bad: BadInputs) -> Iterator[tuple[int, bytes]]:
    """Blocks with their offsets: without the byte order mark, and old Mac line ends turned into new ones."""
    offset, old_mac = 0, None
    for block in read_blocks(source, bad):
        size = len(block)
        start = 3 if offset == 0 and block.startswith(b"\xef\xbb\xbf") else 0
        if old_mac is None:
            old_mac = b"\r" in block[:-1] and b"\n" not in block
        if start:
            block = block[start:]
        yield offset + start, block.replace(b"\r", b"\n") if old_mac else block
        offset += size


def read_lines(source: Source, bad: BadInputs) -> Iterator[Line]:
    """The lines of a source; one longer than MAX_LINE_BYTES is reported and left out."""
    buffer, number, too_long, offset = io.BytesIO(), 1, False, 0
    for block_offset, block in text_blocks(source, bad):
        start = 0
        while (end := block.find(b"\n", start)) >= 0:
            if buffer.tell():
                buffer.write(block[start:end])
                data, buffer = buffer.getvalue(), io.BytesIO()
            else:
                data, offset = block[start:end], block_offset + start
            if too_long:
                bad.report(f"line {number:,}", f"the line is longer than {MAX_LINE_BYTES >> 20} MB")
            else:
                yield Line(number, offset, data.removesuffix(b"\r"))
            number, start, too_long = number + 1, end + 1, False
        if not buffer.tell():
            offset = block_offset + start
        too_long = too_long or buffer.tell() + len(block) - start > MAX_LINE_BYTES
        if too_long:  # only its first byte is kept, to tell that a line has begun
            buffer.truncate(1)
            buffer.seek(1)
        else:
            buffer.write(block[start:])
    if too_long:
        bad.report(f"line {number:,}", f"the line is longer than {MAX_LINE_BYTES >> 20} MB")
    elif buffer.tell() and not bad.broken_off:
        yield Line(number, offset, buffer.getvalue())
