"""Tables that are Python objects, known by what they can do, so that no library is imported for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from bertsmith.errors import CorpusError

_BATCH = 1000  # rows of a `datasets.Dataset` that are fetched at once

Columns = Mapping[str, Sequence[Any]]


def columns_and_rows(data: Any) -> tuple[tuple[str, ...] | None, Iterator[Any]]:
    """The columns of a table, None where its rows alone know them; and the rows, a dict each if all is well.

    What is missing (None, NaN, pandas' NA and NaT) is None. A class of a `datasets.Dataset` is told by its name.

    Args:
        data: a pandas or polars DataFrame, a `pyarrow.Table`, a `datasets` table, a dict of lists, or dicts.

    Raises:
        CorpusError: it is none of these.
    """
    if hasattr(data, "iloc") and hasattr(data, "columns"):  # pandas; two columns may have one name
        named = [(str(name), data.iloc[:, index].tolist()) for index, name in enumerate(data.columns)]
        return _of_columns(dict(reversed(named)), [name for name, _ in named])
    if hasattr(data, "get_columns"):  # polars
        return _of_columns({column.name: column.to_list() for column in data.get_columns()})
    if hasattr(data, "features") and hasattr(data, "column_names"):
        return _of_dataset(data)
    if hasattr(data, "to_pydict"):  # pyarrow
        return _of_columns(data.to_pydict())
    if isinstance(data, Mapping):
        return _of_mapping(data)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes):
        return None, (_without_missing(row) for row in data)
    raise CorpusError(
        f"labelled data cannot be of type {type(data).__name__}. Give paths, a DataFrame, a datasets.Dataset, a "
        "list of dicts or a dict of lists."
    )


def _of_mapping(data: Mapping[Any, Any]) -> tuple[tuple[str, ...], Iterator[Any]]:
    if splits := [str(name) for name, part in data.items() if hasattr(part, "column_names")]:
        raise CorpusError(f'these are several splits ({", ".join(splits)}). Give one of them: data["{splits[0]}"].')
    columns = {}
    for name, values in data.items():
        if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
            raise CorpusError(f'"{name}" must be a list, a value a row, found {type(values).__name__}.')
        columns[str(name)] = values.tolist() if hasattr(values, "tolist") else list(values)
    return _of_columns(columns)


def _of_columns(columns: Columns, names: Sequence[str] | None = None) -> tuple[tuple[str, ...], Iterator[Any]]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f'"{name}" has {length:,}' for name, length in lengths.items())
        raise CorpusError(f"the columns are not equally long: {shown}. Give each row a value in each column.")
    return tuple(dict.fromkeys(names or columns)), _rows(columns)


def _rows(columns: Columns) -> Iterator[dict[str, Any]]:
    names = list(columns)
    for values in zip(*columns.values(), strict=True):
        yield {name: None if is_missing(value) else value for name, value in zip(names, values, strict=True)}


def _of_dataset(data: Any) -> tuple[tuple[str, ...] | None, Iterator[Any]]:
    features = data.features or {}
    if hasattr(data, "with_format"):
        data = data.with_format(None)  # Python values, not tensors
    if hasattr(data, "__len__"):
        batches = (data[first : first + _BATCH] for first in range(0, len(data), _BATCH))
        rows: Iterator[Any] = (row for batch in batches for row in _rows(batch))
    else:
        rows = map(_without_missing, data)  # a stream
    to_name = {name: namer for name, feature in features.items() if (namer := _namer(feature))}
    named = rows if not to_name else (_with_names(row, to_name) for row in rows)
    return (tuple(data.column_names) if data.column_names else None), named


def _namer(feature: Any) -> Any:
    """From the number of a class, or a list of them, to names; None where the feature has no classes."""
    if isinstance(names := getattr(feature, "names", None), list):
        return partial(_name, names)
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) and feature else None)
    if isinstance(names := getattr(inner, "names", None), list):
        return lambda values: None if values is None else [_name(names, value) for value in values]
    return None


def _name(names: Sequence[str], value: Any) -> Any:
    """The name of a class; None for -1, which stands for "not known"."""
    if not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def _with_names(row: Mapping[str, Any], to_name: Mapping[str, Any]) -> dict[str, Any]:
    return {name: to_name[name](value) if name in to_name else value for name, value in row.items()}


def _without_missing(row: Any) -> Any:
    if not isinstance(row, Mapping):
        return row
    return {str(name): None if is_missing(value) else value for name, value in row.items()}


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, pandas' NA and NaT."""
    if value is None:
        return True
    if isinstance(value, float):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType")
