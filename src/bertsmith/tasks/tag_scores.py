"""Figures and findings of a tagger: entities as `seqeval` counts them, words, and the sentences that went most wrong.

Reference:
    Nakayama 2018, seqeval; strict mode, which equals `conlleval` on strict BIO.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from bertsmith.data.labelled.examples import TaggedText
from bertsmith.data.labelled.schemes import has_spans
from bertsmith.tasks.findings import MOST_WRONG, Findings, Mistake, Table
from bertsmith.tasks.tag_decoding import marked_spans

CONFUSION_LABELS = 20  # most for which a table of confusions is shown

Tags = Sequence[Sequence[str]]


def scores_of_spans(truth: Tags, guess: Tags) -> dict[str, float]:
    """Precision, recall and F1 of spans, which are right if type and both ends are; and the share of words with the
    right tag.

    Args:
        truth, guess: strict BIO tags of each sentence.
    """
    precision, recall, f1, _ = _seqeval(truth, guess, average="micro")
    by_type = _by_type(truth, guess)
    return {
        "f1": float(f1),
        "precision": float(precision),
        "recall": float(recall),
        "f1_macro": float(np.mean([row[3] for row in by_type])) if by_type else 0.0,
        "accuracy": _accuracy(truth, guess),
    }


def scores_of_plain_tags(truth: Tags, guess: Tags) -> dict[str, float]:
    """The share of words with the right tag, and the mean F1 of the tags."""
    from sklearn.metrics import f1_score

    right, said = list(chain.from_iterable(truth)), list(chain.from_iterable(guess))
    f1_macro = f1_score(right, said, average="macro", zero_division=0) if right else 0.0
    return {"accuracy": _accuracy(truth, guess), "f1_macro": float(f1_macro)}


def _accuracy(truth: Tags, guess: Tags) -> float:
    same = [tag == other for tag, other in zip(chain.from_iterable(truth), chain.from_iterable(guess), strict=True)]
    return float(np.mean(same)) if same else 0.0


def _seqeval(truth: Tags, guess: Tags, *, average: str | None) -> tuple[Any, Any, Any, Any]:
    from seqeval.metrics.v1 import precision_recall_fscore_support
    from seqeval.scheme import IOB2

    lists = [[list(tags) for tags in side] for side in (truth, guess)]
    found: tuple[Any, Any, Any, Any] = precision_recall_fscore_support(
        *lists, average=average, zero_division=0, scheme=IOB2
    )
    return found


def _by_type(truth: Tags, guess: Tags) -> list[tuple[str, float, float, float, int]]:
    """Type, precision, recall, F1 and number of right spans, for each type that is there or was said."""
    spans = (marked_spans(tags) for tags in chain(truth, guess))
    types = sorted({span.label.strip("-") or "_" for each in spans for span in each})  # seqeval's names of them
    if not types:
        return []
    columns = _seqeval(truth, guess, average=None)
    return [(kind, float(p), float(r), float(f), int(n)) for kind, p, r, f, n in zip(types, *columns, strict=True)]


def tag_findings(
    labels: tuple[str, ...], examples: Sequence[TaggedText], guess: Tags, rights: Sequence[Sequence[float]]
) -> Findings:
    """A row for each type or tag, which tags are taken for which, and the sentences that went most wrong.

    Args:
        labels: those of the head.
        examples: with their tags.
        guess: the tags that were said.
        rights: the probability of each right tag.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    truth = [example.tags or () for example in examples]
    right, said = list(chain.from_iterable(truth)), list(chain.from_iterable(guess))
    if has_spans(labels):
        title, rows = "entities", _by_type(truth, guess)
    else:
        columns = precision_recall_fscore_support(right, said, labels=labels, zero_division=0)
        title, rows = (
            "tags",
            [(label, float(p), float(r), float(f), int(n)) for label, p, r, f, n in zip(labels, *columns, strict=True)],
        )
    table = Table(title, ("label", "precision", "recall", "F1", "support"), tuple(rows))
    confusion = None
    if len(labels) <= CONFUSION_LABELS and set(right) & set(labels):
        confusion = (labels, confusion_matrix(right, said, labels=labels).astype(np.int64))
    return Findings((table,), confusion, tuple(_mistakes(examples, guess, rights, plain=not has_spans(labels))))


def _mistakes(
    examples: Sequence[TaggedText], guess: Tags, rights: Sequence[Sequence[float]], *, plain: bool
) -> list[Mistake]:
    """The sentences with the right tags that were held for the least probable."""
    wrong = []
    for example, said, right in zip(examples, guess, rights, strict=True):
        truth = example.tags or ()
        if right and tuple(said) != tuple(truth):
            missed = [word for word, tag in enumerate(truth) if tag != said[word]]
            wrong.append((1 - min(right[word] for word in missed), example, said))
    wrong.sort(key=lambda each: -each[0])
    return [
        Mistake(
            example.place,
            example.text,
            _told(example, example.tags or (), said, plain=plain),
            _told(example, said, example.tags or (), plain=plain),
            badness,
        )
        for badness, example, said in wrong[:MOST_WRONG]
    ]


def _told(example: TaggedText, tags: Sequence[str], others: Sequence[str], *, plain: bool) -> str:
    """What tags mark, in words; of plain tags only where the others differ."""
    spans = marked_spans(tags, plain=plain)
    if plain:
        spans = [span for span in spans if others[span.start] != span.label]
    told = [
        f"{example.text[example.words[span.start][0] : example.words[span.end - 1][1]]} [{span.label}]"
        for span in spans
    ]
    return ", ".join(told) or "none"
