"""Raw text -> words, and spans of characters -> a tag for each word."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

WordSpans = tuple[tuple[int, int], ...]

# Each a word of its own, with what changes its form: ideographs, as for BERT; kana, which stand among them unspaced.
_ALONE = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002ffff\U00030000-\U0003ffff"
)
_CHANGES_FORM = "\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef"
# No one sees these, and words end at them: controls, the zero-width space, marks of direction, the byte order mark.
_UNSEEN = "\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_CHUNKS = re.compile(rf"[{_ALONE}][{_CHANGES_FORM}]*|[^\s{_UNSEEN}{_ALONE}]+")
_POSSESSIVES = ("'s", "’s", "'S", "’S")


@dataclass(frozen=True)
class Span:
    """A labelled stretch of a text, in characters."""

    start: int
    end: int
    label: str


class SpanError(ValueError):
    """Spans that cannot be told by tags of words; the message says why."""


def split_words(text: str) -> WordSpans:
    """The words of a raw text, as (start, end) in characters.

    Cut at white space; each mark at the ends of what lies between is a word of its own, and so are an English 's and
    each ideograph. Marks inside stay: U.S, Berlin-based, 3,000. What no one can see is part of no word.
    """
    words: list[tuple[int, int]] = []
    for chunk in _CHUNKS.finditer(text):
        if chunk[0].isalnum():  # nothing to split off: the common case
            words.append(chunk.span())
        elif not all(unicodedata.category(character)[0] == "C" for character in chunk[0]):
            words += _peeled(text, *chunk.span())
    return tuple(words)


def _peeled(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The marks before, what stands between, an 's, the marks after."""
    while start < end and _is_mark(text[start]):
        after = _mark_end(text, start, end)
        yield start, after
        start = after
    last, marks = end, []
    while last > start:
        first = _mark_start(text, start, last)
        if not _is_mark(text[first]):
            break
        marks.append((first, last))
        last = first
    if last - start > 2 and text.endswith(_POSSESSIVES, start, last):
        yield start, last - 2
        start = last - 2
    if start < last:
        yield start, last
    yield from reversed(marks)


@lru_cache(4096)
def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


@lru_cache(4096)
def _clings(character: str) -> bool:
    """Accents, joiners, variation selectors: they are part of the character before."""
    return unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf")


def _mark_end(text: str, start: int, end: int) -> int:
    after = start + 1
    while after < end and _clings(text[after]):
        after += 1
    return after


def _mark_start(text: str, start: int, end: int) -> int:
    first = end - 1
    while first > start and _clings(text[first]):
        first -= 1
    return first


def words_with_tags(text: str, spans: Sequence[Span]) -> tuple[WordSpans, tuple[str, ...]]:
    """The words of a text, and a BIO tag for each.

    A span may begin or end inside a word where a mark is, as in (BRCA1)-positive: the word is cut there.

    Raises:
        SpanError: a span that is outside of the text, empty, or no whole words; or two that overlap.
    """
    tight = sorted({_tight(text, span) for span in spans}, key=lambda span: (span.start, span.end))
    for before, after in pairwise(tight):
        if after.start < before.end:
            raise SpanError(f"{_shown(text, before)} and {_shown(text, after)} overlap")
    words = list(split_words(text))
    for span in tight:
        for edge in (span.start, span.end):
            _cut_at(text, words, edge, span)
    tags = ["O"] * len(words)
    number_of = {start: number for number, (start, _) in enumerate(words)}
    for span in tight:
        number = number_of[span.start]
        tags[number] = f"B-{span.label}"
        while words[number][1] < span.end:
            number += 1
            tags[number] = f"I-{span.label}"
    return tuple(words), tuple(tags)


def _tight(text: str, span: Span) -> Span:
    """The span without white space at its ends, which is part of no word."""
    if not 0 <= span.start < span.end <= len(text):
        raise SpanError(
            f'span {span.start}–{span.end} "{span.label}" is empty or goes out of the text, which has '
            f"{len(text)} characters"
        )
    words = split_words(text[span.start : span.end])
    if not words:
        raise SpanError(f'span {span.start}–{span.end} "{span.label}" holds no word')
    return Span(span.start + words[0][0], span.start + words[-1][1], span.label)


def _cut_at(text: str, words: list[tuple[int, int]], edge: int, span: Span) -> None:
    """Cut the word that `edge` lies in; nothing where it lies between two."""
    number = bisect_right(words, (edge, -1)) - 1  # the last word that starts before the edge
    if number + 1 < len(words) and words[number + 1][0] == edge:
        return
    start, end = words[number] if number >= 0 else (edge, edge)
    if edge == end:
        return
    if not start < edge < end or not (_is_mark(text[edge - 1]) or _is_mark(text[edge])):
        raise SpanError(f'{_shown(text, span)} is no whole words: it cuts "{text[start:end]}"')
    words[number : number + 1] = [*_peeled(text, start, edge), *_peeled(text, edge, end)]


def _shown(text: str, span: Span) -> str:
    words = text[span.start : span.end]
    words = words if len(words) <= 60 else f"{words[:57]}…"
    return f'span {span.start}–{span.end} "{span.label}" ("{words}")'
