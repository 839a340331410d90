"""Documents -> hashes of their words and their share of symbols, by numpy: many times faster than string by string."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.random_bits import mix

WHITE, LETTER, ALONE, SYMBOL = range(4)
_CODES = 0x110000
_ASSIGNED = 0x32400  # beyond this are only tags, variation selectors and private use
# Scripts that put no space between words: each of their letters is a word here.
_UNSPACED = ((0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x3040, 0x3100), (0x3400, 0xA000))
_UNSPACED_BEYOND = ((0xF900, 0xFB00), (0x20000, _ASSIGNED))
_AT_ONCE = 1 << 17  # characters, so that what is made of them stays in the cache
_PLACES = 1024


@dataclass(frozen=True)
class Words:
    """The words of several documents, one after the other; W words, D documents.

    Attributes:
        hashes: (W,) uint64, of each word in lower case, punctuation aside.
        starts: (D + 1,) int64, where each document starts among them, and the end.
        symbol_shares: (D,) float64, share of the characters, white space aside, that are neither letter nor digit.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    symbol_shares: NDArray[np.float64]


def words_of(texts: Sequence[str]) -> Words:
    """The words of documents, in bounded memory but for the result."""
    parts = [(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0))]
    first, size = 0, 0
    for last, text in enumerate(texts, 1):
        size += len(text)
        if size >= _AT_ONCE or last == len(texts):
            parts.append(_words(texts[first:last]))
            first, size = last, 0
    hashes, counts, shares = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Words(hashes, np.concatenate(([0], np.cumsum(counts))).astype(np.int64), shares)


def _words(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64]]:
    """The hashes of the words, how many each document has, and its share of symbols."""
    lowered = [text.lower() for text in texts]
    codes = np.frombuffer("\n".join([*lowered, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
    borders = np.concatenate(([0], np.cumsum([len(text) + 1 for text in lowered])))
    kinds, values = _kinds()[codes], _values()
    inside = (kinds == LETTER) | (kinds == ALONE)
    before = np.concatenate(([WHITE], kinds[:-1]))
    begins = inside & ((before != LETTER) | (kinds == ALONE))
    places = np.flatnonzero(begins)
    counts = np.diff(np.searchsorted(places, borders))
    hashes = np.empty(0, np.uint64)
    if len(places):
        starts = np.flatnonzero(begins[inside])  # of the words among the letters
        lengths = np.diff(starts, append=np.count_nonzero(inside))
        place = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        hashes = mix(np.add.reduceat(values[codes[inside]] * _weights()[place % _PLACES], starts))
    written = np.add.reduceat(kinds != WHITE, borders[:-1], dtype=np.int64)
    symbols = np.add.reduceat(kinds == SYMBOL, borders[:-1], dtype=np.int64)
    return hashes, counts.astype(np.int64), symbols / np.maximum(written, 1)


@cache
def _kinds() -> NDArray[np.uint8]:
    """(1114112,) uint8: what each code point is."""
    of_category = dict.fromkeys("LMN", LETTER) | dict.fromkeys("PS", SYMBOL) | {"Z": WHITE}
    of_category |= {"Cc": WHITE, "Cf": WHITE}
    kinds = np.full(_CODES, SYMBOL, np.uint8)
    names = map(unicodedata.category, map(chr, range(_ASSIGNED)))
    kinds[:_ASSIGNED] = [of_category.get(name[0], of_category.get(name, SYMBOL)) for name in names]
    for first, end in (*_UNSPACED, *_UNSPACED_BEYOND):
        kinds[first:end][kinds[first:end] == LETTER] = ALONE
    return kinds


@cache
def _values() -> NDArray[np.uint64]:
    """(1114112,) uint64: a random number for each code point."""
    return mix(np.arange(1, _CODES + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


@cache
def _weights() -> NDArray[np.uint64]:
    """(1024,) odd uint64: one for each place in a word."""
    return mix(np.arange(1, _PLACES + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)) | np.uint64(1)
