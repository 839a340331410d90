"""Texts and pairs with labels or scores: tables, GLUE's layouts, a folder or a file a class, Python objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from bertsmith.data.labelled.examples import Labelled, TextExample
from bertsmith.data.labelled.labels import LabelFault, Labels, UnknownLabel, doubts, named_labels
from bertsmith.data.labelled.rows import BadData, Row
from bertsmith.data.labelled.text_rows import TextRow, TextRows
from bertsmith.data.labelled.usual_columns import LABELS, SCORES
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.columns import kind_of_value
from bertsmith.text.streams import BadInput

Read = TypeVar("Read")


def read_classified(
    data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None
) -> Labelled[TextExample]:
    """Texts or pairs with their labels, for `classify`.

    Labels are strings: 0 is "0", True is "true". Where `config.labels` are names and the data has whole numbers, these
    are the places of the names, from 0.

    Args:
        data: paths of tables, of GLUE's own .tsv among them; a folder with a sub-folder a class, each file a text; a
            folder or several files of plain text, a file a class and a line a text; a DataFrame, a `datasets.Dataset`,
            a list of dicts, a dict of lists, (texts, labels), or a list of TextExample, which are taken as they are.
        config: columns; which labels there are; what to do with what is broken.
        labels: those that there are, for development data; None to take those of `config`, or as they come.

    Raises:
        CorpusError: the first broken example, with its place; or no columns are found, or no example.
        ConfigError: `config.labels` is no list of labels.
    """
    reading = Labels(config, labels)
    rows = TextRows(config, LABELS, reading.allowed, labelled=True)
    if _are_examples(data):
        examples = _as_they_are(data, rows, lambda example: reading.check(example.labels))
    else:
        examples = [
            TextExample(row.text, row.pair, labels=theirs, place=row.row.place)
            for row, theirs in _each(rows.read(data), reading.of)
        ]
    rows.notes += reading.notes()
    if reading.allowed is None:
        rows.notes += doubts([example.labels or () for example in examples], config.label_separator)
    if count := _contradictions(examples):
        rows.notes.append(f"{count:,} text(s) are there more than once, with different labels")
    return rows.finished(data, examples)


def read_scored(data: Any, config: LabelledConfig) -> Labelled[TextExample]:
    """Texts or pairs with a finite number each, for `regress`; data and errors are those of `read_classified`."""
    rows = TextRows(config, SCORES, None, labelled=True)
    if _are_examples(data):
        examples = _as_they_are(data, rows, lambda example: _number(example.score))
    else:
        examples = [
            TextExample(row.text, row.pair, score=score, place=row.row.place)
            for row, score in _each(rows.read(data), _number)
        ]
    return rows.finished(data, examples)


def stream_texts(data: Any, config: LabelledConfig, skipped: list[BadInput], notes: list[str]) -> Iterator[TextExample]:
    """Texts or pairs to be answered, one by one, in bounded memory; labels are not read.

    Args:
        data: as `read_classified` takes it; and plain text, a text a line.
        config: columns; what to do with what is broken.
        skipped, notes: what is left out, and what the user should know, are appended here on the way.

    Raises:
        CorpusError: a broken row, when it is reached; or no columns are found, or no example.
    """
    rows = TextRows(config, (), named_labels(config), labelled=False, skipped=skipped, notes=notes)
    empty = True
    for example in data if _are_examples(data) else _unlabelled(rows.read(data)):
        empty = False
        yield example
    rows.close(data, empty=empty)


def _are_examples(data: Any) -> bool:
    return isinstance(data, list | tuple) and len(data) > 0 and isinstance(data[0], TextExample)


def _as_they_are(data: Sequence[TextExample], rows: TextRows, read: Callable[[Any], object]) -> list[TextExample]:
    """The examples whose labels can be read."""
    bad = BadData(rows.config, rows.skipped)
    numbered = ((f"row {number:,}", example) for number, example in enumerate(data, start=1))
    placed = (
        TextRow(Row({}, bad.where(within), within, bad), example.text, example.pair, example)
        for within, example in numbered
    )
    return [row.value for row, _ in _each(placed, read)]


def _unlabelled(rows: Iterable[TextRow]) -> Iterator[TextExample]:
    return (TextExample(row.text, row.pair, place=row.row.place) for row in rows)


def _each(rows: Iterable[TextRow], read: Callable[[Any], Read]) -> Iterator[tuple[TextRow, Read]]:
    """The rows with what is read of their labels; without those where that fails, after a report."""
    for row in rows:
        try:
            value = read(row.value)
        except UnknownLabel as fault:
            row.row.report(str(fault), remedy="Mend the line, or pass --labels.")
        except LabelFault as fault:
            row.row.report(str(fault))
        else:
            yield row, value


def _contradictions(examples: Iterable[TextExample]) -> int:
    """How many texts or pairs have several sets of labels."""
    seen: dict[Any, tuple[str, ...] | None] = {}
    differ = set()
    for example in examples:
        key = example.text if example.pair is None else (example.text, example.pair)
        if seen.setdefault(key, example.labels) != example.labels:
            differ.add(key)
    return len(differ)


def _number(value: Any) -> float:
    """The finite number that a cell holds.

    Raises:
        LabelFault: it is missing, no number or not finite.
    """
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # numpy's numbers
        value = value.item()
    if value is None or (isinstance(value, str) and not value.strip()):
        raise LabelFault("no score")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise LabelFault(f"a score must be a number, found {kind_of_value(value)}")
    try:
        number = float(value)
    except ValueError:
        raise LabelFault(f'score "{value}" is no number') from None
    if not math.isfinite(number):
        raise LabelFault(f"score {value} is not finite")
    return number
