"""Any file, any place -> documents, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertsmith.config import CorpusConfig
from bertsmith.errors import CorpusError
from bertsmith.text.columns import read_column
from bertsmith.text.sources import Source, list_sources
from bertsmith.text.streams import BadInput, BadInputs, text_blocks, undecodable

__all__ = ["BadInput", "Document", "Source", "list_sources", "look_for_text", "read_corpus", "read_documents"]

# War and Peace has 3 MB; a longer document (a dump without blank lines) is cut, so that memory stays bounded.
MAX_DOCUMENT = 4 << 20  # bytes of .txt, characters of a column

# A blank line may hold white space: ASCII's, U+00A0 or the wide U+3000.
_BLANK_LINE = re.compile(rb"\n(?:[ \t\r\f\v\n]|\xc2\xa0|\xe3\x80\x80)*\n")
_LINE = re.compile(rb"\n")
_SEPARATORS = {"blank-line": _BLANK_LINE, "line": _LINE, "file": None}


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    Attributes:
        text: its text, not empty, with "\\n" between lines.
        source: URL of its file.
        ordinal: its number among the documents of its file, from 0.
    """

    text: str
    source: str
    ordinal: int


def read_documents(source: Source, config: CorpusConfig, *, skipped: list[BadInput]) -> Iterator[Document]:
    """The documents of one file, in order, in bounded memory.

    A document longer than MAX_DOCUMENT is cut into several, at a line end or white space where there is one.

    Args:
        source: one of `list_sources`.
        config: where documents end, the column that holds the text, what to do with bad input.
        skipped: with on_bad_input "skip", what was left out is appended here as it is met.

    Raises:
        CorpusError: something cannot be read, and on_bad_input is "stop".
    """
    bad = BadInputs(source, config.on_bad_input, skipped)
    if source.format == "txt":
        texts = _plain_texts(source, config.document_per, bad)
    else:
        texts = _cut_long(read_column(source, config.text_column, bad))
    ordinal = 0
    for text in texts:
        if stripped := text.strip():
            yield Document(stripped, source.url, ordinal)
            ordinal += 1


def read_corpus(sources: Sequence[Source], config: CorpusConfig, *, skipped: list[BadInput]) -> Iterator[Document]:
    """The documents of all sources, in order.

    Raises:
        CorpusError: as `read_documents`; or there is no document in any source.
    """
    empty = True
    for source in sources:
        for document in read_documents(source, config, skipped=skipped):
            empty = False
            yield document
    if empty:
        raise no_document(sources, skipped)


def look_for_text(corpus: Sequence[str], config: CorpusConfig) -> None:
    """Find a first document, before a folder is made: a mistake leaves none behind. Pipes are not looked into.

    Raises:
        CorpusError: as `read_corpus`; or a name that is not there.
    """
    sources = list_sources(corpus)
    if not any(Path(source.url).is_fifo() for source in sources):  # which can be read once
        next(read_corpus(sources, config, skipped=[]))


def no_document(sources: Sequence[Source], skipped: Sequence[BadInput]) -> CorpusError:
    """The error for sources in which no document was found."""
    names = ", ".join(source.url for source in sources[:3]) + (", …" if len(sources) > 3 else "")
    left_out = sum(bad.count for bad in skipped)
    first = f"; {left_out} left out, first {skipped[0].place}: {skipped[0].reason}" if skipped else ""
    return CorpusError(f"{names}: no document found in {len(sources)} file(s){first}. Give files that hold text.")


def _plain_texts(source: Source, document_per: str, bad: BadInputs) -> Iterator[str]:
    line = 1
    for offset, piece, lines in _pieces(source, _SEPARATORS[document_per], bad):
        try:
            text = piece.decode()
        except UnicodeDecodeError as error:
            bad.report(*undecodable(error, line=line, offset=offset))
        else:
            yield text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
        line += lines


def _pieces(source: Source, separator: re.Pattern[bytes] | None, bad: BadInputs) -> Iterator[tuple[int, bytes, int]]:
    """(offset, bytes, line ends in them and in what separates them from the next) of each document."""
    buffer, base = b"", 0
    for block_offset, block in text_blocks(source, bad):
        base = base if buffer else block_offset
        buffer, start = buffer + block, 0
        for match in separator.finditer(buffer) if separator else ():
            end = match.end()
            yield base + start, buffer[start : match.start()], buffer.count(b"\n", start, end)
            start = end
        while len(buffer) - start > MAX_DOCUMENT:
            end = start + _cut_place(buffer[start : start + MAX_DOCUMENT])
            yield base + start, buffer[start:end], buffer.count(b"\n", start, end)
            start = end
        buffer, base = buffer[start:], base + start
    if buffer and not bad.broken_off:  # half a document is none
        yield base, buffer, 0


def _cut_place(piece: bytes) -> int:
    """Where to cut: after the last line end, else the last space, else at least between characters."""
    if place := piece.rfind(b"\n") + 1 or piece.rfind(b" ") + 1:
        return place
    place = len(piece) - 1
    while place > len(piece) - 4 and piece[place] & 0xC0 == 0x80:  # inside a UTF-8 character
        place -= 1
    return place


def _cut_long(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        start = 0
        while len(text) - start > MAX_DOCUMENT:
            stop = start + MAX_DOCUMENT
            place = text.rfind("\n", start, stop) + 1 or text.rfind(" ", start, stop) + 1 or stop
            yield text[start:place]
            start = place
        yield text[start:] if start else text
