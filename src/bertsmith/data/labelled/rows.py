"""Rows with their places, from any labelled source: .csv, .tsv, .jsonl, .parquet, or Python objects."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from bertsmith.data.labelled.objects import columns_and_rows, is_missing
from bertsmith.data.labelled.usual_columns import COLA, is_cola, looks_like_names
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.chunks import encodable
from bertsmith.text.columns import kind_of_value, names_of, read_cells, read_objects, read_parquet
from bertsmith.text.sources import FORMATS, Source, list_sources
from bertsmith.text.streams import BadInput, BadInputs

_TABLES = {ending: name for ending, name in FORMATS.items() if name != "txt"}
_PEEK = 100  # rows of .jsonl and lists of dicts whose keys are the columns


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        values: column -> cell. A cell of .csv or .tsv is a str; of .jsonl, .parquet and Python objects any Python
            value (list, dict, int, …). What is missing (null, None, NaN) is None. A key may be absent in .jsonl.
        place: where it stands, for messages and examples: `train.csv, line 14`, `row 14 of the data`.
    """

    values: Mapping[str, Any]
    place: str
    _within: str  # the place inside its source
    _bad: BadInputs

    def report(self, reason: str, *, remedy: str | None = None) -> None:
        """Say that this row is bad; the caller then leaves it out.

        Args:
            reason: what is wrong, without a full stop: `no label`.
            remedy: what to do, a sentence; to mend it or to skip it, if not given.

        Raises:
            CorpusError: `{place}: {reason}. {remedy}`, where the user chose to stop at bad input.
        """
        self._bad.report(self._within, reason, remedy=remedy)

    def text(self, column: str) -> str | None:
        """The text of a cell, stripped; None after a report where it is missing, blank or no text."""
        value = self.values.get(column)
        if isinstance(value, str):
            if text := value.strip():
                return encodable(text)
            self.report(f'empty text in "{column}"')
        elif value is None:
            self.report(f'no text in "{column}"')
        else:
            self.report(f'"{column}" must be a text, found {kind_of_value(value)}')
        return None


@dataclass(frozen=True)
class Table:
    """The rows of one source.

    Attributes:
        name: path or URL, or "the data" for Python objects.
        columns: their names in order; "1", "2", … where there is no line of names. Of .jsonl and lists of dicts: all
            keys of the first hundred rows.
        rows: in order, to be read once, and before the next table.
    """

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Row]
    _bad: BadInputs

    def column(self, named: str | None) -> str | None:
        """The column that an option names, by name or by number from 1; None if the option is None.

        Raises:
            CorpusError: there is no such column; those that there are, are listed.
        """
        if named is None or named in self.columns:
            return named
        if named.isdecimal() and 0 < int(named) <= len(self.columns):
            return self.columns[int(named) - 1]
        near = difflib.get_close_matches(named, self.columns, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else " Name one of them, or give its number from 1."
        raise CorpusError(f'{self.name}: no column "{named}"; there are {names_of(self.columns)}.{hint}')

    def report(self, reason: str) -> None:
        """Say that the whole table cannot be used (stops, or notes it, as for a row)."""
        self._bad.report("its columns", reason)


class BadData(BadInputs):
    """What is bad in Python objects: `row 14 of the data`."""

    def __init__(self, config: LabelledConfig, skipped: list[BadInput]) -> None:
        super().__init__(Source("the data", "python", None, None, ""), config.on_bad_input, skipped)

    def where(self, place: str) -> str:
        return f"{place} of the data"


def paths_of(data: Any) -> list[str]:
    """Paths, globs and URLs, of one or of several; empty where the data are Python objects."""
    items = [data] if isinstance(data, str | os.PathLike) else data if isinstance(data, list | tuple) else []
    if not all(isinstance(item, str | os.PathLike) for item in items):
        return []
    return [os.fspath(item) for item in items]


def read_tables(data: Any, config: LabelledConfig, skipped: list[BadInput]) -> Iterator[Table]:
    """One table for each file, or one for Python objects; none for what is empty.

    Args:
        data: a path, glob, folder or URL (.csv, .tsv, .jsonl, .parquet, each also .gz, .bz2, .xz, .zst), or several;
            or a pandas or polars DataFrame, a `datasets.Dataset`, a list of dicts, a dict of lists.
        config: `header`, the three columns and `on_bad_input`. Where `header` is None there is one, unless the text and
            whatever else is given are numbers, and the first line holds no usual names.
        skipped: what is left out with on_bad_input "skip" is appended here.

    Raises:
        CorpusError: a file is missing or no table; or the first bad row, with on_bad_input "stop".
    """
    if not (paths := paths_of(data)):
        yield from _object_table(data, BadData(config, skipped))
        return
    for source in list_sources(paths, _TABLES):
        bad = BadInputs(source, config.on_bad_input, skipped)
        if source.format == "txt":
            raise CorpusError(f"{source.url}: no table. Turn it into .csv, .tsv, .jsonl or .parquet.")
        if source.format == "jsonl":
            yield from _keyed_table(source.url, read_objects(source, bad), bad)
        elif source.format == "parquet":
            yield from _parquet_table(source, bad)
        else:
            yield from _cell_table(source, config, bad)


def _cell_table(source: Source, config: LabelledConfig, bad: BadInputs) -> Iterator[Table]:
    rows = read_cells(source, bad)
    if (first := next(rows, None)) is None:
        return
    cells = first[1]
    if _has_header(cells, config):
        columns = _column_names(cells)
    else:
        columns = COLA if is_cola(cells) else tuple(str(number) for number in range(1, len(cells) + 1))
        rows = chain([first], rows)
    yield Table(source.url, columns, _rows_of_cells(rows, columns, bad), bad)


def _has_header(cells: Sequence[str], config: LabelledConfig) -> bool:
    if config.header is not None:
        return config.header
    if is_cola(cells):
        return False
    given = (config.text_column, config.pair_column, config.label_column)
    if given[0] is None or not all(column is None or column.isdecimal() for column in given):
        return True
    text, pair, label = (None if column is None else int(column) - 1 for column in given)
    return looks_like_names(cells, text=text or 0, pair=pair, label=label)


def _column_names(cells: Sequence[str]) -> tuple[str, ...]:
    """The names of the first line; one that is empty or there before is the column's number."""
    names: list[str] = []
    for number, cell in enumerate(cells, start=1):
        name = cell.strip()
        names.append(name if name and name not in names else str(number))
    return tuple(names)


def _rows_of_cells(rows: Iterable[tuple[str, list[str]]], columns: tuple[str, ...], bad: BadInputs) -> Iterator[Row]:
    width = len(columns)
    for place, cells in rows:
        if len(cells) == width:
            yield Row(dict(zip(columns, cells, strict=True)), bad.where(place), place, bad)
        else:
            bad.report(place, f"{len(cells)} cells where the first line has {width}")


def _keyed_table(name: str, rows: Iterable[tuple[str, Mapping[str, Any]]], bad: BadInputs) -> Iterator[Table]:
    rows = iter(rows)
    if not (first := list(islice(rows, _PEEK))):
        return
    columns = tuple({key: None for _, values in first for key in values})
    every = (Row(values, bad.where(place), place, bad) for place, values in chain(first, rows))
    yield Table(name, columns, every, bad)


def _parquet_table(source: Source, bad: BadInputs) -> Iterator[Table]:
    columns: list[str] = []

    def choose(schema: Any) -> list[str]:
        columns.extend(schema.names)
        return columns

    rows = read_parquet(source, choose, bad)
    if (first := next(rows, None)) is None:
        return
    every = (
        Row(
            {column: None if is_missing(value) else value for column, value in zip(columns, values, strict=True)},
            bad.where(place),
            place,
            bad,
        )
        for place, values in chain([first], rows)
    )
    yield Table(source.url, tuple(columns), every, bad)


def _object_table(data: Any, bad: BadInputs) -> Iterator[Table]:
    columns, rows = columns_and_rows(data)
    placed = _numbered(rows, bad)
    if columns is None:
        yield from _keyed_table("the data", placed, bad)
        return
    yield Table("the data", columns, (Row(values, bad.where(place), place, bad) for place, values in placed), bad)


def _numbered(rows: Iterable[Any], bad: BadInputs) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, values in enumerate(rows, start=1):
        if isinstance(values, Mapping):
            yield f"row {number:,}", values
        else:
            bad.report(f"row {number:,}", f"a dict is needed, found {kind_of_value(values)}")
