"""Rows of tables, .jsonl, .csv, .tsv and .parquet; and the texts of one of their columns."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bertsmith.text.sources import Source
from bertsmith.text.streams import MAX_LINE_BYTES, BadInputs, open_bytes, read_blocks, read_lines

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_PARQUET_ROWS = 256  # rows held at once: they may be whole books


def read_column(source: Source, column: str, bad: BadInputs) -> Iterator[str]:
    """The texts of a column; a row that has none is reported and left out."""
    if source.format == "jsonl":
        return _column_of_objects(source, column, bad)
    if source.format == "parquet":
        return _column_of_parquet(source, column, bad)
    return _column_of_cells(source, column, bad)


def _column_of_objects(source: Source, column: str, bad: BadInputs) -> Iterator[str]:
    for place, record in read_objects(source, bad):
        text = record.get(column)
        if isinstance(text, str):
            yield text
        elif column not in record:
            bad.report(place, _no_column(column, list(record)))
        else:
            bad.report(place, f'"{column}" must be a text, found {kind_of_value(text)}')


def _column_of_cells(source: Source, column: str, bad: BadInputs) -> Iterator[str]:
    rows = read_cells(source, bad)
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


def _column_of_parquet(source: Source, column: str, bad: BadInputs) -> Iterator[str]:
    def choose(schema: Any) -> list[str]:
        return [column] if _has_text_column(schema, column, bad) else []

    for place, (text,) in read_parquet(source, choose, bad):
        if text is None:
            bad.report(place, "no text (null)")
        else:
            yield text


def _no_column(column: str, columns: Sequence[str]) -> str:
    return f'no column "{column}"; there are {names_of(columns)}; name one with --text-column'


def names_of(columns: Sequence[str]) -> str:
    """Names of columns as messages list them."""
    return ", ".join(f'"{name[:40]}"' for name in columns[:20]) + (", …" if len(columns) > 20 else "") or "none"


def kind_of_value(value: object) -> str:
    """What a value is, in words of JSON where it has such."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    number = isinstance(value, int | float)
    return names.get(type(value)) or ("a number" if number else f"a value of type {type(value).__name__}")


def read_objects(source: Source, bad: BadInputs) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) of each line of a .jsonl; blank lines are passed over."""
    for line in read_lines(source, bad):
        if not line.data.strip():
            continue
        place, decoded = f"line {line.number:,}", line.decode(bad)
        if decoded is None:
            continue
        try:
            record = json.loads(decoded)
        except (ValueError, RecursionError) as error:
            bad.report(place, f"malformed JSON ({error})")
            continue
        if not isinstance(record, dict):
            bad.report(place, f"a JSON object is needed, found {kind_of_value(record)}")
            continue
        # JSON escapes can spell half a character; nothing later could encode it.
        yield place, _mended(record) if "\\ud" in decoded or "\\uD" in decoded else record


def _mended(value: Any) -> Any:
    """A JSON value with lone surrogates as U+FFFD."""
    if isinstance(value, str):
        return _LONE_SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    return {_mended(key): _mended(item) for key, item in value.items()} if isinstance(value, dict) else value


def read_cells(source: Source, bad: BadInputs) -> Iterator[tuple[str, list[str]]]:
    """(place, cells) of each row of a .csv (quoted as RFC 4180 says) or a .tsv (a row a line), the first included.

    Blank lines are passed over; a row of several cells that are all blank is reported, and left out.
    """
    for place, cells in _tsv_rows(source, bad) if source.format == "tsv" else _csv_rows(source, bad):
        if len(cells) > 1 and not any(map(str.strip, cells)):
            bad.report(place, f"all {len(cells)} cells are empty")
        else:
            yield place, cells


def _tsv_rows(source: Source, bad: BadInputs) -> Iterator[tuple[str, list[str]]]:
    # Most .tsv files of the field hold bare quotation marks: a cell is unquoted only if it is quoted whole.
    for line in read_lines(source, bad):
        text = line.decode(bad)
        if text is not None and (text.strip() or "\t" in text):
            cells = text.split("\t")
            yield f"line {line.number:,}", [_unquoted(cell) for cell in cells] if '"' in text else cells


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


def read_parquet(
    source: Source, choose: Callable[[Any], Sequence[str]], bad: BadInputs
) -> Iterator[tuple[str, list[Any]]]:
    """(place, values) of each row, a few rows at a time.

    Args:
        source: a .parquet.
        choose: from the Arrow schema to the names of the columns to read; none to read nothing.
        bad: told of damage.
    """
    import pyarrow as pa  # 0.2 s, and only .parquet needs it
    import pyarrow.parquet as pq

    row = 0
    try:
        with _seekable(source, bad) as raw, pq.ParquetFile(raw, buffer_size=1 << 20) as table:
            if not (columns := choose(table.schema_arrow)):
                return
            for batch in table.iter_batches(_PARQUET_ROWS, columns=list(columns)):
                for cells in zip(*batch.select(list(columns)).columns, strict=True):
                    row += 1
                    try:
                        values = [cell.as_py() for cell in cells]
                    except UnicodeDecodeError as error:
                        bad.report(f"row {row:,}", f"byte 0x{error.object[error.start]:02x} is no UTF-8")
                    else:
                        yield f"row {row:,}", values
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
