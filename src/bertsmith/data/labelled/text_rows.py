"""Rows of texts and pairs from any data that `classify` and `regress` read; what their labels mean, `texts.py` says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bertsmith.data.labelled.class_files import LABEL, TEXT, read_text_files, text_files
from bertsmith.data.labelled.examples import Labelled, TextExample
from bertsmith.data.labelled.rows import Row, Table, paths_of, read_tables
from bertsmith.data.labelled.usual_columns import TEXTS, first_of, partner_of, plain, text_and_pair
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.columns import names_of
from bertsmith.text.streams import BadInput

PAIR = "pair"
_NAMED = 10  # files that a note names
_UNDECIDED = "-"  # the gold_label of pairs on which the judges of SNLI and MNLI did not agree


class TextRow(NamedTuple):
    """A text or pair with what stands for its label.

    Attributes:
        row: where it stands; to report what is wrong with it.
        text, pair: not blank; no pair is None.
        value: the cell of the label; None where that is empty or not read.
    """

    row: Row
    text: str
    pair: str | None
    value: Any


@dataclass(frozen=True)
class _Columns:
    text: str
    pair: str | None = None
    label: str | None = None


@dataclass
class TextRows:
    """Reads data, and gathers what is left out and what the user should know.

    Args:
        config: columns, and what to do with what is broken.
        usual: names of the column of labels, the most usual first.
        labels: those that there are; None if the data tells.
        labelled: False reads no labels.
    """

    config: LabelledConfig
    usual: Sequence[str]
    labels: Sequence[str] | None
    labelled: bool
    skipped: list[BadInput] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _found: set[_Columns] = field(default_factory=set)
    _read: list[str] = field(default_factory=list)  # names of tables
    _undecided: int = 0

    def read(self, data: Any) -> Iterator[TextRow]:
        """The rows that have their texts.

        Raises:
            CorpusError: the first that has none, or a file that is missing, or columns that are not found.
        """
        for table, columns in self._tables(data):
            for row in table.rows:
                if columns.label is not None and not self._has_label(row, columns.label):
                    continue
                if (text := row.text(columns.text)) is None:
                    continue
                pair = None if columns.pair is None else row.text(columns.pair)
                if pair is not None or columns.pair is None:
                    yield TextRow(row, text, pair, columns.label and row.values[columns.label])

    def _has_label(self, row: Row, label: str) -> bool:
        if label not in row.values:
            row.report(f'no "{label}"')
            return False
        value = row.values[label]
        if isinstance(value, str) and value == _UNDECIDED and plain(label) == "gold_label":
            self._undecided += 1
            return False
        return True

    def finished(self, data: Any, examples: list[TextExample]) -> Labelled[TextExample]:
        """What was read, after all rows; errors as `close`."""
        self.close(data, empty=not examples)
        return Labelled(examples, self.skipped, self.notes)

    def close(self, data: Any, *, empty: bool) -> None:
        """Note what is known only after all rows.

        Raises:
            CorpusError: nothing was read.
        """
        if empty:
            raise CorpusError(_nothing(data, self.skipped, self._undecided, labelled=self.labelled))
        if len(paths_of(data)) == 1 and 1 < len(self._read) <= _NAMED:
            self.notes.append(f"these files are read: {', '.join(self._read)}")
        if self._undecided:
            self.notes.append(
                f'{self._undecided:,} example(s) left out whose gold_label is "-": their judges disagreed'
            )

    def _tables(self, data: Any) -> Iterator[tuple[Table, _Columns]]:
        label = LABEL if self.labelled else None
        if _are_texts_and_labels(data):
            columns = _as_columns(*data)
            for table in read_tables(columns, self.config, self.skipped):
                yield table, _Columns(TEXT, PAIR if PAIR in columns else None, label)
            return
        paths = paths_of(data)
        files = text_files(paths, self.labels, self.notes, labelled=self.labelled) if paths else []
        for table in read_text_files(files, self.config, self.skipped):
            yield table, _Columns(TEXT, None, label)
        if not files:
            for table in read_tables(data, self.config, self.skipped):
                yield table, self._columns(table)

    def _columns(self, table: Table) -> _Columns:
        """The columns that are named, and those that are found; a note will tell the latter."""
        config = self.config
        text, pair = table.column(config.text_column), table.column(config.pair_column)
        # Where labels are not asked for, their column is still no text; a file to predict on may lack it.
        label = table.column(config.label_column) if self.labelled else config.label_column
        others = [column for column in table.columns if column != label]
        if text is None and pair is not None:
            text = partner_of(pair, others)
        elif text is None:
            text, pair = text_and_pair(others)
        if label is None and self.labelled:
            label = first_of(self.usual, [column for column in table.columns if column not in (text, pair)])
        if text is None or (label is None and self.labelled):
            raise CorpusError(self._not_found(table, text))
        columns = _Columns(text, pair, label if self.labelled else None)
        self._read.append(table.name)
        if config.header is None and table.columns[0] == "1" and table.columns[-1] == str(len(table.columns)):
            self.notes.append(f"{table.name}: no line of names, the first line is an example too; else pass --header")
        found = config.text_column is None or (self.labelled and config.label_column is None)
        if found and columns not in self._found:
            self._found.add(columns)
            self.notes.append(_said(columns, table.name))
        return columns

    def _not_found(self, table: Table, text: str | None) -> str:
        what, usual = ("text", TEXTS) if text is None else ("label", self.usual)
        header = "" if self.config.header else "; if there is no line of names, by number: --text-column 1"
        return (
            f"{table.name}: no column for the {what} under a usual name ({', '.join(usual[:4])}, …); there are "
            f"{names_of(table.columns)}. Name the columns with --text-column and --label-column{header}."
        )


def _are_texts_and_labels(data: Any) -> bool:
    """Whether it is a tuple of a list of texts or pairs, and a list of labels."""
    return (
        isinstance(data, tuple)
        and len(data) == 2
        and all(hasattr(side, "__len__") and not isinstance(side, str | bytes | dict) for side in data)
    )


def _as_columns(texts: Any, labels: Any) -> dict[str, list[Any]]:
    """(texts, labels) as a dict of lists; a text that is a tuple or list of two is a pair.

    Raises:
        CorpusError: their numbers differ.
    """
    if len(texts) != len(labels):
        raise CorpusError(f"there are {len(texts):,} texts and {len(labels):,} labels. Give each text one label.")
    firsts, seconds = [], []
    for text in texts:
        paired = isinstance(text, list | tuple) and len(text) == 2
        firsts.append(text[0] if paired else text)
        seconds.append(text[1] if paired else None)
    columns = {TEXT: firsts, LABEL: labels.tolist() if hasattr(labels, "tolist") else list(labels)}
    return columns if all(second is None for second in seconds) else {**columns, PAIR: seconds}


def _said(columns: _Columns, table: str) -> str:
    """A note on columns that were found by their names."""
    text = f'the text is column "{columns.text}"'
    pair = "" if columns.pair is None else f', its second "{columns.pair}"'
    label = "" if columns.label is None else f', the label "{columns.label}"'
    return f"{table}: {text}{pair}{label}"


def _nothing(data: Any, skipped: Sequence[BadInput], undecided: int, *, labelled: bool) -> str:
    paths = paths_of(data)
    names = ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "") if paths else "the data"
    left_out = sum(bad.count for bad in skipped) + undecided
    first = f", first {skipped[0].source}, {skipped[0].place}: {skipped[0].reason}" if skipped else ""
    counted = f" ({left_out:,} left out{first})" if left_out else ""
    return f"{names}: no example found{counted}. Give {'labelled ' * labelled}texts."
