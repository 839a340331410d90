"""Texts with choices, one of which is right: SWAG's CSV, tables (.jsonl, .csv, .tsv, .parquet), Python objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bertsmith.data.labelled.examples import ChoiceExample, Labelled
from bertsmith.data.labelled.rows import BadData, Row, Table, read_tables
from bertsmith.data.labelled.usual_columns import first_of, plain
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.chunks import encodable
from bertsmith.text.columns import kind_of_value, names_of
from bertsmith.text.streams import BadInput

# Usual names of columns, the most usual first, as `usual_columns.plain` compares them.
_TEXTS = ("sent1", "text", "context", "ctx", "article", "passage", "premise", "sentence", "goal", "question", "query")
_BEGINNINGS = ("sent2", "question", "query")  # what each choice begins with, beside a text
_LISTS = ("choices", "endings", "options")
_ONE_CHOICE = re.compile(r"(?:ending|choice|option|answer|solution|sol)_?(\d+)|(?:(?:choice|option|answer)_?)?([a-h])")
_LABELS = ("label", "answerkey", "answer_key", "answer", "gold", "correct")


class _Fault(Exception):
    """What is wrong with a row, without a full stop."""


@dataclass(frozen=True)
class _Columns:
    """Where the parts of an example stand.

    Attributes:
        text: what all choices share.
        begin: what each choice begins with; None for nothing.
        choices: the column of the list, or those of the choices.
        names: where each choice has a column, its number or letter there.
        label: None where it is not read.
    """

    text: str
    begin: str | None
    choices: tuple[str, ...]
    names: tuple[str, ...]
    label: str | None


def read_choices(
    data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None
) -> Labelled[ChoiceExample]:
    """Texts with choices.

    A row has a text, under `text`, `context` or another usual name; the choices, as a list under `choices`, `endings`
    or `options`, or in columns such as `ending0` …; and a `label`: the right choice's number from 0, its letter from A,
    or its text. A `question` is the text, or where there is one beside it what each choice begins with; so is SWAG's
    `sent2` to its `sent1`. `text_column`, `pair_column` and `label_column` of the config are other names of the text,
    of what choices begin with, and of the label.

    Args:
        data: a path, glob, folder or URL of tables, or several; or Python objects: a DataFrame or the like, a list of
            dicts or of examples.
        config: columns, and what to do with what is broken.
        labels: not used: the choices of each example are its own.

    Raises:
        CorpusError: the first broken example, with its place; or no columns are found, or no example.
    """
    skipped: list[BadInput] = []
    notes: list[str] = []
    return Labelled(list(_examples(data, config, skipped, notes, labelled=True)), skipped, notes)


def stream_choices(
    data: Any, config: LabelledConfig, skipped: list[BadInput], notes: list[str]
) -> Iterator[ChoiceExample]:
    """Texts with choices to be answered, one by one, in bounded memory; labels are not read.

    Args:
        data, config: as `read_choices` takes them.
        skipped, notes: what is left out, and what the user should know, are appended here on the way.

    Raises:
        CorpusError: a broken example, when it is reached; or no columns are found, or no example.
    """
    return _examples(data, config, skipped, notes, labelled=False)


def _examples(
    data: Any, config: LabelledConfig, skipped: list[BadInput], notes: list[str], *, labelled: bool
) -> Iterator[ChoiceExample]:
    if isinstance(data, list | tuple) and data and all(isinstance(item, ChoiceExample) for item in data):
        found = _as_they_are(data, BadData(config, skipped), labelled)
    else:
        found = _of_tables(read_tables(data, config, skipped), config, notes, labelled)
    empty = True
    for example in found:
        empty = False
        yield example
    if empty:
        raise CorpusError(_nothing(skipped))


def _as_they_are(data: Sequence[ChoiceExample], bad: BadData, labelled: bool) -> Iterator[ChoiceExample]:
    for number, example in enumerate(data, start=1):
        within = f"example {number:,}"
        placed = replace(example, place=example.place or bad.where(within))
        if (fault := _fault(placed, labelled)) is None:
            yield placed if labelled else replace(placed, label=None)
        else:
            bad.report(within, fault)


def _of_tables(
    tables: Iterable[Table], config: LabelledConfig, notes: list[str], labelled: bool
) -> Iterator[ChoiceExample]:
    from_one: bool | None = None  # what one file tells of its labels holds for all
    for table in tables:
        columns = _columns(table, config, labelled)
        rows: Iterable[Row] = table.rows
        if columns.label and columns.names and columns.names[0] == "1":
            rows = list(rows)  # all labels together tell whether they count from 1
            from_one = _tell_first(table.name, columns, [row.values.get(columns.label) for row in rows], from_one)
            if from_one:
                notes.append(f'{table.name}: "{columns.label}" counts the choices from 1')
        for row in rows:
            try:
                example = _example(row, columns, columns.names if from_one else ())
                if fault := _fault(example, columns.label is not None):
                    raise _Fault(fault)
            except _Fault as fault:
                row.report(str(fault))
            else:
                yield example


def _tell_first(table: str, columns: _Columns, labels: Sequence[Any], from_one: bool | None) -> bool:
    """Whether the labels of a table count from 1; what tables before it told, where they do not tell."""
    told = _counts_from_one(labels, columns.names[-1])
    from_one = from_one if told is None else told
    if from_one is None:
        raise CorpusError(
            f'{table}: the choices are columns that count from 1, and nothing tells whether "{columns.label}" '
            "counts from 0 or from 1. Name the columns from 0, such as choice0, or give letters as labels."
        )
    return from_one


def _columns(table: Table, config: LabelledConfig, labelled: bool) -> _Columns:
    """The columns that are named, and for the others those of usual names.

    Raises:
        CorpusError: there is none for the text, the choices or the label.
    """
    text = table.column(config.text_column) or first_of(_TEXTS, table.columns)
    others = [column for column in table.columns if column != text]
    begin = table.column(config.pair_column) or first_of(_BEGINNINGS, others)
    listed = first_of(_LISTS, others)
    single = {} if listed else _single_choices(others)
    label = (table.column(config.label_column) or first_of(_LABELS, others)) if labelled else None
    if text is None:
        raise _not_found(table, "text", _TEXTS)
    if not listed and len(single) < 2:
        raise _not_found(table, "choices", (*_LISTS, "ending0, ending1"))
    if labelled and label is None:
        raise _not_found(table, "label", _LABELS)
    return _Columns(text, begin, (listed,) if listed else tuple(single.values()), tuple(single), label)


def _single_choices(columns: Sequence[str]) -> dict[str, str]:
    """Columns such as ending0, ending1, … in order, by their number or letter."""
    found = {}
    for column in columns:
        if match := _ONE_CHOICE.fullmatch(plain(column)):
            found[match[1] or match[2]] = column
    return dict(sorted(found.items(), key=lambda item: (not item[0].isdecimal(), item[0].zfill(9))))


def _not_found(table: Table, what: str, usual: Sequence[str]) -> CorpusError:
    return CorpusError(
        f"{table.name}: no column for the {what} under a usual name ({', '.join(usual)}); there are "
        f"{names_of(table.columns)}. Rename it, or name text and label with --text-column and --label-column."
    )


def _counts_from_one(labels: Sequence[Any], last: str) -> bool | None:
    """Whether labels are the numbers of columns that count from 1, not places from 0; None where both may be."""
    numbers = {number for label in labels if (number := str(label).strip()).isdecimal()}
    if "0" in numbers or not numbers:
        return False
    return True if last in numbers else None


def _example(row: Row, columns: _Columns, names: Sequence[str]) -> ChoiceExample:
    text = _text(row.values, columns.text)
    begin = _text(row.values, columns.begin) if columns.begin else ""
    if columns.names:
        endings = [_text(row.values, column) for column in columns.choices]
    else:
        endings, names = _listed(row.values.get(columns.choices[0]), columns.choices[0])
    label = _label(row.values.get(columns.label), endings, names) if columns.label else None
    if empty := [number for number, ending in enumerate(endings) if not ending]:
        raise _Fault(f"choice {empty[0]} (of 0 … {len(endings) - 1}) is empty")
    return ChoiceExample(text, tuple(f"{begin} {ending}".strip() for ending in endings), label, row.place)


def _text(values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    if not isinstance(value, str):
        raise _Fault(f'"{column}" must be a text, found {kind_of_value(value)}')
    return encodable(value.strip())


def _listed(value: Any, column: str) -> tuple[list[str], list[str]]:
    """The choices of a list, and their names where it has some: {"text": […], "label": […]}."""
    names: Any = []
    if isinstance(value, Mapping) and "text" in value:
        names, value = value.get("label", []), value["text"]
    value, names = (_plain(part) for part in (value, names))
    if not isinstance(value, list):
        raise _Fault(f'"{column}" must be a list of texts, found {kind_of_value(value)}')
    if value and all(isinstance(item, Mapping) for item in value):
        names = [item["label"] for item in value if "label" in item]
        value = [item.get("text") for item in value]
    endings = [_text({column: item}, column) for item in value]
    return endings, [str(name) for name in names] if len(names) == len(endings) else []


def _label(value: Any, endings: Sequence[str], names: Sequence[str]) -> int:
    """The number of the right choice: by the names of the choices, else by number, letter or text."""
    value = _plain(value)
    if value is None or value == "" or value == -1:
        raise _Fault("no label")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _Fault(f"a label must be a number or a text, found {kind_of_value(value)}")
    said = str(value).strip()
    if names:
        found = {index for index, name in enumerate(names) if name.lower() == said.lower()}
    else:
        found = {
            index for index in range(len(endings)) if said in (str(index), chr(ord("A") + index), chr(ord("a") + index))
        }
    if isinstance(value, str):
        found |= {index for index, ending in enumerate(endings) if ending == said}
    if len(found) > 1:
        raise _Fault(f'label "{said:.60}" may be each of the choices {", ".join(map(str, sorted(found)))}')
    if not found:
        known = f"one of {', '.join(names)}" if names else f"a number 0 … {len(endings) - 1} or a letter from A"
        raise _Fault(f'label "{said:.60}" is neither {known}, nor the text of a choice')
    return found.pop()


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy as Python's."""
    return value.tolist() if hasattr(value, "tolist") else value


def _fault(example: ChoiceExample, labelled: bool) -> str | None:
    """What is wrong with an example; None for nothing."""
    if not example.text.strip():
        return "the text is empty"
    if len(example.choices) < 2:
        return f"{len(example.choices)} choice(s); there must be two at least"
    if empty := [number for number, choice in enumerate(example.choices) if not choice.strip()]:
        return f"choice {empty[0]} (of 0 … {len(example.choices) - 1}) is empty"
    if labelled and example.label is None:
        return "no label"
    if labelled and example.label not in range(len(example.choices)):
        return f"label {example.label} is none of 0 … {len(example.choices) - 1}"
    return None


def _nothing(skipped: Sequence[BadInput]) -> str:
    count = sum(bad.count for bad in skipped)
    first = f" ({count:,} left out, first {skipped[0].place}: {skipped[0].reason})" if count else ""
    return f"no example found{first}. Give rows with a text, its choices, and the label of the right one."
