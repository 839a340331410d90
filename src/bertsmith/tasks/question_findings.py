"""What a report shows of answered questions: which kinds are hard, and which answers are most wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.labelled.examples import QuestionExample
from bertsmith.tasks.findings import MOST_WRONG, Findings, Mistake, Table

_OPENINGS = 12  # first words of questions that have a row of their own
_LENGTHS = {1: "1 word", 3: "2–3 words", 6: "4–6 words", 10: "7–10 words"}  # of the answer, up to
_LONGER = "longer"
_NONE = "no answer"
_AROUND_CHARS = 150  # of the context, on each side of what is shown

Float64s = NDArray[np.float64]


def question_findings(
    examples: Sequence[QuestionExample], said: Sequence[str], sureness: Sequence[float], exact: Float64s, f1: Float64s
) -> Findings:
    """Tables by first word of the question and by length of the answer, and the surest answers of F1 0.

    Args:
        examples: E questions whose answers are known.
        said: the answer to each; "" for none.
        sureness: the score of each.
        exact, f1: (E,) in [0, 1].
    """
    openings = [_opening(example) for example in examples]
    common = [word for word, _ in Counter(openings).most_common(_OPENINGS)]
    by_opening = [word if word in common else "other" for word in openings]
    lengths = [_length(example) for example in examples]
    tables = (
        _table("questions by their first word", by_opening, [*common, "other"], exact, f1),
        _table("questions by the length of the answer", lengths, [*_LENGTHS.values(), _LONGER, _NONE], exact, f1),
    )
    wrong = sorted(np.flatnonzero(f1 == 0).tolist(), key=lambda index: -sureness[index])[:MOST_WRONG]
    return Findings(tables, None, tuple(_mistake(examples[i], said[i], sureness[i]) for i in wrong))


def _opening(example: QuestionExample) -> str:
    return (example.question.lower().split() or [""])[0].strip("¿¡\"'“”«».,:;?!")


def _length(example: QuestionExample) -> str:
    """By the shortest right answer."""
    if not example.answers:
        return _NONE
    words = min(len(answer.text.split()) for answer in example.answers)
    return next((name for most, name in _LENGTHS.items() if words <= most), _LONGER)


def _table(title: str, groups: Sequence[str], names: Sequence[str], exact: Float64s, f1: Float64s) -> Table:
    members = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    rows = tuple(
        (name, len(members[name]), 100 * float(exact[members[name]].mean()), 100 * float(f1[members[name]].mean()))
        for name in names
        if name in members
    )
    return Table(title, (title.split(" ")[-1], "questions", "exact match", "F1"), rows)


def _mistake(example: QuestionExample, said: str, sureness: float) -> Mistake:
    truths = dict.fromkeys(answer.text for answer in example.answers or ())
    shown = example.answers[0].start if example.answers else max(0, example.context.find(said))
    start, stop = max(0, shown - _AROUND_CHARS), shown + _AROUND_CHARS
    excerpt = " ".join(example.context[start:stop].split())
    before, after = "…" if start else "", "…" if stop < len(example.context) else ""
    text = f"{example.question} | {before}{excerpt}{after}"
    return Mistake(example.place, text, " / ".join(truths) or _NONE, f"{said or _NONE} {sureness:.2f}", sureness)
