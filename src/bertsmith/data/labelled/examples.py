"""The labelled examples of each task, as they are read, before any tokenizer.

`place` says where an example stands, for messages: `train.csv, line 14`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bertsmith.config import OnBadInput
from bertsmith.progress import Reporter
from bertsmith.text.sources import Source
from bertsmith.text.streams import BadInput, BadInputs

TOLD = 10  # broken examples that are told one by one

Example = TypeVar("Example")


@dataclass(frozen=True)
class TextExample:
    """A text or a pair, for `classify` and `regress`.

    Attributes:
        text, pair: what is read; no pair is None.
        labels: of `classify`: one label, or with `multi_label` any number of them; None where it is not known.
        score: of `regress`; None where it is not known.
        place: where it stands.
    """

    text: str
    pair: str | None = None
    labels: tuple[str, ...] | None = None
    score: float | None = None
    place: str = ""


@dataclass(frozen=True)
class TaggedText:
    """A text cut into words, with a tag for each, for `tag`.

    Attributes:
        text: the text; where the words came without one, the words with a space between.
        words: (start, end) of each word, in characters of `text`.
        tags: one a word, spans as strict BIO; None where they are not known.
        place: where it stands.
    """

    text: str
    words: tuple[tuple[int, int], ...]
    tags: tuple[str, ...] | None = None
    place: str = ""


@dataclass(frozen=True)
class GoldAnswer:
    """A right answer: the text, and where it starts in the context, in characters."""

    text: str
    start: int


@dataclass(frozen=True)
class QuestionExample:
    """A question to a context, for `answer`.

    Attributes:
        question, context: what is read.
        answers: those that count as right; empty where the context has none; None where it is not known.
        id: the question's name in files of predictions.
        place: where it stands.
    """

    question: str
    context: str
    answers: tuple[GoldAnswer, ...] | None = None
    id: str = ""
    place: str = ""


@dataclass(frozen=True)
class ChoiceExample:
    """A text and its possible continuations, for `choose`.

    Attributes:
        text: what all choices share.
        choices: two or more.
        label: which one is right, from 0; None where it is not known.
        place: where it stands.
    """

    text: str
    choices: tuple[str, ...]
    label: int | None = None
    place: str = ""


class BadExamples(BadInputs):
    """What is bad in examples that were read already: their places name the file too."""

    def __init__(self, on_bad_input: OnBadInput, skipped: list[BadInput]) -> None:
        super().__init__(Source("", "python", None, None, ""), on_bad_input, skipped)

    def where(self, place: str) -> str:
        return place


@dataclass(frozen=True)
class Labelled(Generic[Example]):
    """Examples as they were read.

    Attributes:
        examples: in the order of the files.
        skipped: what was left out, with `on_bad_input="skip"`.
        notes: what the reader should tell the user, such as `the tags are IO; they were read as BIO`.
    """

    examples: list[Example]
    skipped: list[BadInput] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tell(self, reporter: Reporter, which: str = "") -> int:
        """Say what a user should know of how they were read; how many were left out.

        Args:
            reporter: is told.
            which: what they are, such as "training ".
        """
        for note in self.notes:
            reporter.say(f"{which}examples: {note}")
        return tell_left_out(self.skipped, len(self.examples), reporter, which)


def tell_left_out(skipped: Sequence[BadInput], kept: int, reporter: Reporter, which: str = "") -> int:
    """Say which examples were left out, the first of them one by one; how many those are, beside those kept."""
    for bad in skipped[:TOLD]:
        where = f"{bad.source}, {bad.place}" if bad.source else bad.place
        reporter.warn(f"left out: {where}: {bad.reason}")
    count = sum(bad.count for bad in skipped)
    if count:
        reporter.warn(f"{count:,} broken {which}example(s) left out, {kept:,} kept")
    return count
