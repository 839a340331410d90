"""A tagged sentence as its file has it, before it is known in which scheme the tags of all files are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from bertsmith.data.labelled.spans import WordSpans
from bertsmith.errors import CorpusError
from bertsmith.text.sources import Source

NumberedLine = tuple[int, str]
Found = tuple[str, WordSpans, tuple[str, ...], list[int]]  # text; its words, their tags and lines
LineReport = Callable[[int, str], None]  # number of a line, what is wrong with it

# Number of the word that is bad, or None for the whole sentence; what is wrong with it. Stops, or notes it.
Report = Callable[[int | None, str], None]


@dataclass(frozen=True)
class TaggedSentence:
    """Words with the tags that their file gives them.

    Attributes:
        text: what was written, or the words with a space between.
        words: (start, end) of each word in `text`.
        tags: one a word, in any scheme; None where they were not asked for.
        place: where it stands.
        report: says that it is bad.
    """

    text: str
    words: WordSpans
    tags: tuple[str, ...] | None
    place: str
    report: Report


def join_words(words: Sequence[str]) -> tuple[str, WordSpans]:
    """The words with a space between, and where each of them is."""
    ends = [end - 1 for end in accumulate(len(word) + 1 for word in words)]
    return " ".join(words), tuple((end - len(word), end) for end, word in zip(ends, words, strict=True))


def locate(text: str, words: Sequence[str]) -> WordSpans | None:
    """Where words stand that fill a text, one after the other, but for white space; None where they do not."""
    places, after = [], 0
    for word in words:
        start = text.find(word, after)
        if start < 0 or text[after:start].strip():
            return None
        after = start + len(word)
        places.append((start, after))
    return None if text[after:].strip() else tuple(places)


def column_named(source: Source, named: str | None, names: list[str], count: int, option: str) -> int | None:
    """The column that an option names, from 0; None where it names none."""
    if named is None:
        return None
    if named in names:
        return names.index(named)
    if named.isdecimal() and 1 <= int(named) <= count:
        return int(named) - 1
    there = f"{', '.join(names)}, or " if names else ""
    raise CorpusError(f'{source.url}: no column "{named}". Give {there}a number, 1 … {count}, with {option}.')
