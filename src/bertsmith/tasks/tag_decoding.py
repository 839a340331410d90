"""Probabilities of tags -> the likeliest tags that can stand together, and what they mark.

Letters: N words, O labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.labelled.schemes import has_spans, span_type, strict_bio

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]


@dataclass(frozen=True)
class MarkedSpan:
    """A span by its words, `end` not included."""

    label: str
    start: int
    end: int


@dataclass(frozen=True)
class TagDecoder:
    """Chooses tags for the words of a text.

    Attributes:
        labels: of each output. With B- for every I- the chosen tags are strict BIO; those of other schemes, which
            models from elsewhere may have, are turned into it; plain ones stand alone.
    """

    labels: tuple[str, ...]

    @cached_property
    def spans(self) -> bool:
        """Whether tags mark spans."""
        return has_spans(self.labels)

    def choose(self, scores: Float64s) -> tuple[tuple[str, ...], Int64s]:
        """The tags with the largest sum of scores of those that may stand together.

        Args:
            scores: (N, O) logarithms of probabilities.

        Returns:
            A tag for each word, and (N,) the outputs that they come from.
        """
        ids = best_bio(scores, self._begin, self._inside) if self._strict else scores.argmax(axis=1)
        tags = tuple([self.labels[index] for index in ids.tolist()])
        if self.spans and not self._strict:
            tags = strict_bio([tags], spans=True).sentences[0]
        return tags, ids

    @cached_property
    def _inside(self) -> Int64s:
        """Outputs of all I-."""
        return np.array([index for index, label in enumerate(self.labels) if label.startswith("I-")], np.int64)

    @cached_property
    def _begin(self) -> Int64s:
        """Outputs of the B- of the same types."""
        return np.array([self.labels.index(f"B{self.labels[index][1:]}") for index in self._inside], np.int64)

    @cached_property
    def _strict(self) -> bool:
        marked = [label for label in self.labels if label != "O"]
        known = all(span_type(label) is not None for label in marked)
        return self.spans and known and all(f"B-{span_type(label)}" in marked for label in marked)


def best_bio(scores: Float64s, begin: Int64s, inside: Int64s) -> Int64s:
    """(N, O) -> (N,) the outputs with the largest sum in which each I-X follows B-X or I-X.

    Args:
        scores: of each word and output.
        begin, inside: outputs of B-X and of I-X, for each type X.

    Reference:
        Viterbi 1967. Into B-X and O one may come from anywhere, so that a step takes O comparisons, not O * O.
    """
    ids: Int64s = scores.argmax(axis=1)
    begin_of = np.full(scores.shape[1], -1)
    begin_of[inside] = begin
    before = np.concatenate(([-1], ids[:-1]))
    if ((begin_of[ids] < 0) | (before == ids) | (before == begin_of[ids])).all():
        return ids  # the likeliest tags can stand together: nothing is better
    back = np.zeros(scores.shape, np.int64)
    best = scores[0].copy()
    best[inside] = -np.inf
    for word in range(1, len(scores)):
        back[word] = best.argmax()
        back[word, inside] = np.where(best[begin] >= best[inside], begin, inside)
        best = scores[word] + best[back[word]]
    ids[-1] = best.argmax()
    for word in range(len(scores) - 1, 0, -1):
        ids[word - 1] = back[word, ids[word]]
    return ids


def marked_spans(tags: Sequence[str], *, plain: bool = False) -> list[MarkedSpan]:
    """The spans that strict BIO tags mark; of plain tags each word is one, unless its tag is O."""
    if plain:
        return [MarkedSpan(tag, word, word + 1) for word, tag in enumerate(tags) if tag != "O"]
    spans: list[MarkedSpan] = []
    for word, tag in enumerate(tags):
        if tag.startswith("B-"):
            spans.append(MarkedSpan(tag[2:], word, word + 1))
        elif tag.startswith("I-") and spans:
            spans[-1] = replace(spans[-1], end=word + 1)
    return spans
