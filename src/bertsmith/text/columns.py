"""Texts of a named column: .jsonl, .csv, .tsv and .parquet."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bertsmith.text.sources import Source
from bertsmith.text.streams import MAX_LINE_BYTES, BadInputs, Line, open_bytes, read_blocks, read_lines

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_PARQUET_ROWS = 256  # rows held at once: they may be whole books


def read_jsonl(source: Source, column: str, bad: BadInputs) -> Iterator[str]:
    """The texts under a key of JSON objects, one a line."""
    for line in read_lines(source, bad):
        if not line.data.strip():
            continue
        decoded = line.decode(bad)
        text = None if decoded is None else _json_text(decoded, column, line, bad)
        if text is not None:
            yield text


def _json_text(decoded: str, column: str, line: Line, bad: BadInputs) -> str | None:
    place = f"line {line.number:,}"
    try:
        record = json.loads(decoded)
    except (ValueError, RecursionError) as error:
        bad.report(place, f"malformed JSON ({error})")
        return None
    if not isinstance(record, dict):
        bad.report(place, f"a JSON object is needed, found {_kind(record)}")
    elif column not in record:
        bad.report(place, _no_column(column, list(record)))
    elif not isinstance(record[column], str):
        bad.report(place, f'"{column}" must be a text, found {_kind(record[column])}')
    else:
        # JSON escapes can spell half a character; nothing later could encode it.
        return _LONE_SURROGATES.sub("\ufffd", record[column]) if "\\u" in decoded else record[column]
    return None


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _no_column(column: str, columns: Sequence[str]) -> str:
    shown = ", ".join(f'"{name[:40]}"' for name in columns[:20]) + (", …" if len(columns) > 20 else "")
    return f'no column "{column}"; there are {shown or "none"}; name one with --text-column'


def read_csv(source: Source, column: str, bad: BadInputs) -> Iterator[str]:
    """The texts of a column of a .csv (quoted as RFC 4180 says) or a .tsv (a row a line)."""
    rows = _tsv_rows(source, bad) if source.format == "tsv" else _csv_rows(source, bad)
    _, header = next(rows, ("", None))
    if header is None:
        return
    if column not in header:
        bad.report("line 1", _no_column(column, header))
        return
    index = header.index(column)
    for place, row in rows:
        if len(row) > len(header) or len(row) <= index:
            bad.report(place, f"{len(row)} cells where the first line has {len(header)}")
        else:
            yield row[index]


def _tsv_rows(source: Source, bad: BadInputs) -> Iterator[tuple[str, list[str]]]:
    # Most .tsv files of the field hold bare quotation marks: a cell is unquoted only if it is quoted whole.
    for line in read_lines(source, bad):
        text = line.decode(bad)
        if text is not None and text.strip():
            yield f"line {line.number:,}", [_unquoted(cell) for cell in text.split("\t")]


def _unquoted(cell: str) -> str:
    if len(cell) >= 2 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', ""):
        return cell[1:-1].replace('""', '"')
    return cell


class _TextLines:
    """Decoded lines for csv.reader; knows the line it gave last, and whether all were given."""

    def __init__(self, source: Source, bad: BadInputs) -> None:
        self._lines, self._bad = read_lines(source, bad), bad
        self.number, self.ended = 0, False

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number = line.number
            if (text := line.decode(self._bad)) is not None:
                yield text + "\n"
        self.ended = True


def _csv_rows(source: Source, bad: BadInputs) -> Iterator[tuple[str, list[str]]]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    lines = _TextLines(source, bad)
    reader = csv.reader(iter(lines), strict=True)
    while True:
        first = lines.number + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            closed = f"malformed CSV ({error}); is a quotation mark inside a cell not doubled?"
            bad.report(f"line {first:,}", "a quotation mark opens here and is never closed" if lines.ended else closed)
            continue
        if row is None:
            return
        if row:
            yield f"line {first:,}", row


def read_parquet(source: Source, column: str, bad: BadInputs) -> Iterator[str]:
    """The texts of a column, a few rows at a time."""
    import pyarrow as pa  # 0.2 s, and only .parquet needs it
    import pyarrow.parquet as pq

    row = 0
    try:
        with _seekable(source, bad) as raw, pq.ParquetFile(raw, buffer_size=1 << 20) as table:
            if not _has_text_column(table.schema_arrow, column, bad):
                return
            for batch in table.iter_batches(_PARQUET_ROWS, columns=[column]):
                for value in batch.column(0):
                    row += 1
                    text = _cell(value, f"row {row:,}", bad)
                    if text is not None:
                        yield text
    except (pa.ArrowException, OSError) as error:
        bad.report(f"row {row + 1:,}" if row else "the file", f"damaged, or no Parquet file ({error})")


@contextmanager
def _seekable(source: Source, bad: BadInputs) -> Iterator[Any]:
    """Parquet is read from its end; a compressed one is unpacked to a temporary file first."""
    if source.compression is None:
        with open_bytes(source) as stored:
            yield stored
        return
    with tempfile.TemporaryFile() as unpacked:
        for block in read_blocks(source, bad):
            unpacked.write(block)
        unpacked.seek(0)
        yield unpacked


def _has_text_column(schema: Any, column: str, bad: BadInputs) -> bool:
    import pyarrow as pa

    if column not in schema.names:
        bad.report("its schema", _no_column(column, schema.names))
        return False
    kind = schema.field(column).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return True
    bad.report("its schema", f'column "{column}" must hold text, found {kind}')
    return False


def _cell(value: Any, place: str, bad: BadInputs) -> str | None:
    try:
        text: str | None = value.as_py()
    except UnicodeDecodeError as error:
        bad.report(place, f"byte 0x{error.object[error.start]:02x} is no UTF-8")
        return None
    if text is None:
        bad.report(place, "no text (null)")
    return text
