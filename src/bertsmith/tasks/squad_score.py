"""The figures of SQuAD, as its official scripts compute them, in percent.

A set in which every question has an answer is scored by the rules of version 1.1, any other by those of 2.0. They
differ where an answer is nothing but articles and punctuation marks: its F1 is 0 in 1.1, while 2.0 does not count it as
an answer at all.

Letter: E questions.

Reference:
    Rajpurkar et al. 2016, section 6.1; 2018, section 5; `evaluate-v1.1.py` and `evaluate-v2.0.py`.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalized(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, one space between words."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def answer_scores(said: Sequence[str], right: Sequence[Sequence[str]]) -> tuple[Float64s, Float64s]:
    """Exact match and F1 of each answer, in [0, 1], against the right answer that it is nearest to.

    Args:
        said: the answer to each question; "" for none.
        right: the right answers to each question; none where it has none.

    Returns:
        exact, f1: (E,) each.
    """
    version_2 = not all(right)
    pairs = [_best(text, golds, version_2=version_2) for text, golds in zip(said, right, strict=True)]
    scores = np.array(pairs, np.float64).reshape(-1, 2)
    return scores[:, 0], scores[:, 1]


def _best(said: str, right: Sequence[str], *, version_2: bool) -> tuple[float, float]:
    golds = [normalized(gold) for gold in right]
    if version_2:
        golds = [gold for gold in golds if gold] or [""]
    guess = normalized(said)
    return float(guess in golds), max(_overlap(guess.split(), gold.split(), version_2=version_2) for gold in golds)


def _overlap(guess: list[str], gold: list[str], *, version_2: bool) -> float:
    """F1 of the words, as often as they occur."""
    if version_2 and not (guess and gold):
        return float(guess == gold)
    same = sum((Counter(guess) & Counter(gold)).values())
    if not same:
        return 0.0
    precision, recall = same / len(guess), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def squad_figures(said: Sequence[str], right: Sequence[Sequence[str]], null_gaps: Sequence[float]) -> dict[str, float]:
    """The figures of answers to questions.

    Args:
        said, right: as in `answer_scores`.
        null_gaps: by how much "no answer" is better than the best answer; what the official script takes as the
            odds of no answer. Read where some question has no answer.

    Returns:
        `exact_match` and `f1`; where some question has no answer also `has_answer_…` and `no_answer_…` for the
        questions of each kind, how many they are (`…_total`), and the best that a threshold on the gaps can reach,
        with the threshold. Empty without questions.
    """
    if not right:
        return {}
    exact, f1 = answer_scores(said, right)
    answerable = np.array([bool(golds) for golds in right])
    figures = {"exact_match": _percent(exact), "f1": _percent(f1)}
    if answerable.all():
        return figures
    for name, chosen in (("has_answer", answerable), ("no_answer", ~answerable)):
        if chosen.any():
            figures[f"{name}_exact_match"] = _percent(exact[chosen])
            figures[f"{name}_f1"] = _percent(f1[chosen])
            figures[f"{name}_total"] = float(chosen.sum())
    for name, scores in (("exact_match", exact), ("f1", f1)):
        best, threshold = best_threshold(scores, said, null_gaps, answerable)
        figures[f"best_{name}"] = best
        figures[f"best_{name}_threshold"] = threshold or 0.0
    return figures


def best_threshold(
    scores: Float64s, said: Sequence[str], null_gaps: Sequence[float], answerable: NDArray[np.bool_]
) -> tuple[float, float | None]:
    """The threshold under which the answers score best, if those with a larger gap are withdrawn.

    Args:
        scores: (E,) exact match or F1 of each answer.
        said: the answers; "" for none.
        null_gaps: of each question.
        answerable: (E,) which questions have an answer.

    Returns:
        The score in percent, and the lowest such threshold; None where no answer at all is best, for which the
        official script says 0.
    """
    given = np.array([bool(text) for text in said])
    order = np.argsort(np.array(null_gaps), kind="stable")
    # Every question is first left without an answer; then they are answered one by one, the surest first.
    gains = np.where(answerable, scores, -given.astype(np.float64))[order]
    reached = np.cumsum(np.concatenate(([(~answerable).sum()], gains)))
    best = int(np.argmax(reached))
    return 100.0 * float(reached[best]) / len(scores), float(null_gaps[order[best - 1]]) if best else None


def _percent(scores: Float64s) -> float:
    return 100.0 * float(scores.mean())
