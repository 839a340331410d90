"""scikit-learn's X and y -> examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertsmith.data.labelled.examples import ChoiceExample, GoldAnswer, QuestionExample, TaggedText
from bertsmith.data.labelled.objects import is_missing
from bertsmith.data.labelled.tagged import join_words
from bertsmith.data.labelled.words import tagged_text
from bertsmith.errors import InputError


def is_indicator(y: Any) -> bool:
    """Whether labels are a matrix of zeros and ones, a column a label."""
    return isinstance(y, np.ndarray) and y.ndim == 2 and set(np.unique(y).tolist()) <= {0, 1}


def label_rows(y: Any) -> list[list[Any]]:
    """The labels of each text, of collections of labels or of an indicator matrix; errors as `present`."""
    if is_indicator(y):
        return [np.flatnonzero(row).tolist() for row in y]
    return [present(row, f"y[{index}]") for index, row in enumerate(y)]


def as_list(values: Any, name: str) -> list[Any]:
    """The entries of X or y.

    Raises:
        InputError: it is no list or array.
    """
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise InputError(f"{name} is a list or array with an entry for each text, not {type(values).__name__}")
    return list(values)


def text_examples(X: Any, count: int | None = None) -> list[tuple[str, str | None, str]]:
    """(text, pair or None, place) of each entry of X: texts, tuples of two, or rows of one or two columns.

    Raises:
        InputError: an entry is none of these, or there are not `count`.
    """
    rows = X.itertuples(index=False, name=None) if hasattr(X, "itertuples") else as_list(X, "X")
    texts: list[tuple[str, str | None, str]] = []
    for index, row in enumerate(rows):
        parts: Sequence[Any] = [row] if isinstance(row, str) else list(row) if hasattr(row, "__iter__") else [row]
        if not 1 <= len(parts) <= 2 or not all(isinstance(part, str) for part in parts):
            raise InputError(f"X[{index}] is {row!r:.60}: a text, or a pair of texts, is needed")
        texts.append((parts[0], parts[1] if len(parts) == 2 else None, f"X[{index}]"))
    if count is not None and len(texts) != count:
        raise InputError(f"X has {len(texts)} entries and y has {count}: there must be as many of both")
    return texts


def words_example(each: Any) -> TaggedText:
    """A text, or a list of words, to be tagged."""
    if isinstance(each, str):
        return tagged_text(each)
    return TaggedText(*join_words(list(each)))


def question_examples(X: Any, y: Any = None) -> list[QuestionExample]:
    """(question, context) tuples with their answers, if given, which are looked up in their contexts.

    Raises:
        InputError: there are not as many answers, one is missing, or not in its context.
    """
    examples = []
    for index, ((question, context), answer) in enumerate(paired(X, y)):
        texts = [answer] if isinstance(answer, str) else answer
        answers = None if texts is None else tuple(_found(text, context, index) for text in texts if text)
        examples.append(QuestionExample(question, context, answers, id=str(index), place=f"X[{index}]"))
    return examples


def _found(answer: str, context: str, index: int) -> GoldAnswer:
    start = context.find(answer)
    if start < 0:
        raise InputError(f'y[{index}]: the answer "{answer:.60}" does not stand in its context')
    return GoldAnswer(answer, start)


def choice_examples(X: Any, y: Any = None) -> list[ChoiceExample]:
    """(text, choices) tuples with the numbers of the right choices, if given.

    Raises:
        InputError: there are not as many numbers, or one is no whole number.
    """
    return [
        ChoiceExample(text, tuple(choices), None if label is None else _whole(label, index), place=f"X[{index}]")
        for index, ((text, choices), label) in enumerate(paired(X, y))
    ]


def _whole(number: Any, index: int) -> int:
    try:
        if int(number) == number:
            return int(number)
    except (TypeError, ValueError):
        pass
    raise InputError(f"y[{index}] is {number!r:.60}: the number of the right choice is needed, from 0")


def paired(X: Any, y: Any = None) -> list[tuple[Any, Any]]:
    """Each entry of X with that of y, or with None where there is no y.

    Raises:
        InputError: there are not as many of both, or one of y is missing.
    """
    given = as_list(X, "X")
    answers = [None] * len(given) if y is None else present(y)
    if len(given) != len(answers):
        raise InputError(f"X has {len(given)} entries and y has {len(answers)}: there must be as many of both")
    return list(zip(given, answers, strict=True))


def present(y: Any, name: str = "y") -> list[Any]:
    """The entries of y, or of one of its rows.

    Raises:
        InputError: it is no list or array, or one is None or NaN.
    """
    values = as_list(y, name)
    for index, value in enumerate(values):
        if is_missing(value.item() if isinstance(value, np.generic) else value):
            raise InputError(f"{name}[{index}] is missing ({value}): leave out what has no label, in X too")
    return values
