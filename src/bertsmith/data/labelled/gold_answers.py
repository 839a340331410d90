"""Answers as data sets write them -> texts with their places in the context; what is wrong with one is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bertsmith.data.labelled.examples import GoldAnswer
from bertsmith.text.chunks import encodable
from bertsmith.text.columns import kind_of_value

_SHOWN_CHARS = 60  # of a text, in messages
_ESCAPES = str.maketrans({"\n": r"\n", "\r": r"\r", "\t": r"\t"})


class QuestionFault(Exception):
    """What is wrong with a question, without a full stop."""


def given_answers(values: Mapping[str, Any]) -> list[tuple[str, int | None]] | None:
    """The answers of a question and the start of each, if given; None where they are not known.

    Raises:
        QuestionFault: they are in no known form, or contradict `is_impossible`.
    """
    given = _plain(values.get("answers"))
    starts = values.get("answer_start")
    if given is None:
        given = _plain(values.get("answer"))
    impossible = _plain(values.get("is_impossible"))
    impossible = impossible.lower() == "true" if isinstance(impossible, str) else bool(impossible)
    if given is None or (impossible and given == ""):
        return [] if impossible else None
    answers = _answers(given, _plain(starts))
    if impossible and answers:
        raise QuestionFault(f'"is_impossible" is true, and yet there is the answer "{_shown(answers[0][0])}"')
    return answers


def _answers(given: Any, starts: Any) -> list[tuple[str, int | None]]:
    if isinstance(given, Mapping):
        starts = _plain(given.get("answer_start", given.get("start")))
        given = _plain(given.get("text"))
    if isinstance(given, str):
        return [_answer(given, starts[0] if isinstance(starts, list) and len(starts) == 1 else starts)]
    if not isinstance(given, list):
        raise QuestionFault(f'"answers" must be a list of {{"text", "answer_start"}}, found {kind_of_value(given)}')
    if any(isinstance(one, Mapping) for one in given):
        return [answer for one in given for answer in _answers(one, None)]
    starts = [None] * len(given) if starts is None else starts
    if not isinstance(starts, list) or len(starts) != len(given):
        found = len(starts) if isinstance(starts, list) else 1
        raise QuestionFault(f"{len(given)} answers and {found} answer_start; each answer needs one")
    return [_answer(text, start) for text, start in zip(given, starts, strict=True)]


def _answer(text: Any, start: Any) -> tuple[str, int | None]:
    if not isinstance(text, str):
        raise QuestionFault(f"an answer must be a text, found {kind_of_value(text)}")
    if not any(character.isprintable() and character not in " \ufffd" for character in text):
        raise QuestionFault('an answer is empty; of a question that has none, "answers" is an empty list')
    if start is not None:
        number = re.fullmatch(r"(\d+)(\.0+)?", str(start).strip(), re.ASCII)
        if number is None:
            raise QuestionFault(f'"answer_start" must be a number from 0, found {start!r:.60}')
        start = int(number[1])
    return encodable(text), start


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy as Python's; what pandas takes for missing as None."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if isinstance(value, float) and value != value else value


def search(text: str, context: str) -> tuple[int, int]:
    """Where an answer first stands in its context, and how often it does.

    Raises:
        QuestionFault: it does not.
    """
    if text in context:
        return context.index(text), context.count(text)
    raise QuestionFault(f'the answer "{_shown(text)}" is not in its context; {_elsewhere(text, context, None)}')


def check_placed(answer: GoldAnswer, context: str) -> None:
    """
    Raises:
        QuestionFault: the answer is not at its start; what stands there, and where the answer is.
    """
    text, start = answer.text, answer.start
    if start >= 0 and context.startswith(text, start) and text.strip():
        return
    if not text.strip():
        raise QuestionFault("an answer is empty; a question that has none has no answers")
    there = f'"{_shown(context[start : start + len(text)])}"' if 0 <= start < len(context) else None
    found = f"where {there} stands" if there else f"for it has {len(context):,} characters"
    elsewhere = _elsewhere(text, context, start)
    raise QuestionFault(
        f'the answer "{_shown(text)}" does not stand at character {start:,} of its context, {found}; {elsewhere}'
    )


def _elsewhere(text: str, context: str, start: int | None) -> str:
    """Where an answer stands instead of at `start`."""
    count = context.count(text)
    if count == 1:
        place = context.index(text)
        units = {"bytes": len(context[:place].encode()), "UTF-16 units": len(context[:place].encode("utf-16-le")) // 2}
        counted = next((f" ({start:,} counts {unit})" for unit, number in units.items() if number == start), "")
        return f"it stands once, at character {place:,}{counted}"
    if count:
        return f"it stands {count} times elsewhere"
    words = r"\s+".join(map(re.escape, text.split()))
    if match := re.search(words, context, re.IGNORECASE):
        return f'"{_shown(match[0])}" at character {match.start():,} differs from it in white space or case only'
    return "it stands nowhere in it"


def _shown(text: str) -> str:
    text = text.translate(_ESCAPES)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
