"""Masked LM: which tokens are hidden, and by what.

Reference:
    Devlin et al. 2019, section 3.1, task 1: 15% of a sequence's tokens are to be guessed; of these 80% become
    [MASK], 10% a random token, 10% stay. Whole-word masking follows the note of May 2019 in google-research/bert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.random_bits import mix, uniform
from bertsmith.text.wordpiece import WordPiece

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """What masking needs to know of a tokenizer.

    Attributes:
        pad_id, cls_id, sep_id, mask_id: special tokens.
        ordinary_ids: (n,) every id that is no special token; random replacements come from these.
        continues_word: (V,) whether a WordPiece begins with ## and so continues a word.
    """

    pad_id: int
    cls_id: int
    sep_id: int
    mask_id: int
    ordinary_ids: Int64s
    continues_word: NDArray[np.bool_]


def vocabulary_of(tokenizer: WordPiece) -> Vocabulary:
    """What masking needs to know of a tokenizer."""
    ordinary = np.setdiff1d(np.arange(tokenizer.vocab_size), tokenizer.special_ids)
    return Vocabulary(
        pad_id=tokenizer.pad_id,
        cls_id=tokenizer.cls_id,
        sep_id=tokenizer.sep_id,
        mask_id=tokenizer.mask_id,
        ordinary_ids=ordinary,
        continues_word=tokenizer.continuation,
    )


@dataclass(frozen=True)
class MaskedTokens:
    """What was hidden.

    Attributes:
        places: (M,) indices into the tokens that were given, ascending.
        labels: (M,) the hidden tokens.
        replacements: (M,) what stands there instead.
    """

    places: Int64s
    labels: Int64s
    replacements: Int64s


def mask_tokens(
    tokens: NDArray[Any],
    *,
    sequences: Int64s,
    wanted: Int64s,
    rows: Int64s,
    key: np.uint64,
    vocabulary: Vocabulary,
    whole_word: bool,
) -> MaskedTokens:
    """Choose the tokens to hide in each sequence, and what replaces them.

    Whole words are taken in random order, those passed over that are too long for what is left of the number wanted;
    where none fits, the shortest is taken.

    Args:
        tokens: (n,) the ordinary tokens of all sequences, one after the other.
        sequences: (n,) ascending; which sequence each token belongs to.
        wanted: (S,) how many tokens each sequence hides.
        rows: (n,) a number that names the token's row in the whole epoch; with the token's place it seeds the draws.
        key: the stream of draws, from `random_bits.stream_key`.
        vocabulary: special tokens and word boundaries.
        whole_word: hide all WordPieces of a word together.
    """
    row_begins = np.flatnonzero(np.diff(rows, prepend=-1))
    places_in_row = np.arange(len(tokens)) - np.repeat(row_begins, np.diff(row_begins, append=len(tokens)))
    draws = uniform(key, rows, places_in_row)
    word_begins = np.ones(len(tokens), bool)
    if whole_word:
        word_begins = ~vocabulary.continues_word[tokens] | (np.diff(sequences, prepend=-1) != 0)
    places = _choose(draws, sequences, word_begins, wanted)
    fate_key, choice_key = mix(key + np.arange(1, 3, dtype=np.uint64))
    fate = uniform(fate_key, rows[places], places_in_row[places])
    choice = uniform(choice_key, rows[places], places_in_row[places])
    labels = tokens[places].astype(np.int64)
    random_ids = vocabulary.ordinary_ids[(choice * len(vocabulary.ordinary_ids)).astype(np.int64)]
    replacements = np.where(fate < 0.8, vocabulary.mask_id, np.where(fate < 0.9, random_ids, labels))
    return MaskedTokens(places, labels, replacements)


def _choose(draws: NDArray[np.float64], sequences: Int64s, word_begins: NDArray[np.bool_], wanted: Int64s) -> Int64s:
    """Places of the tokens to hide: in each sequence the words with the smallest draws, while they fit."""
    word_sequences = sequences[word_begins]
    order = np.lexsort((draws[word_begins], word_sequences))
    begins = np.flatnonzero(np.diff(word_sequences[order], prepend=-1))  # first word of each sequence
    words = np.diff(begins, append=len(order))
    hidden_words = np.zeros(len(order), bool)
    if word_begins.all():
        rank = np.arange(len(order)) - np.repeat(begins, words)
        hidden_words[order[rank < wanted[word_sequences[order]]]] = True
        return np.flatnonzero(hidden_words)
    word_of_token = np.cumsum(word_begins) - 1
    sizes = np.bincount(word_of_token)
    for first, count in zip(begins.tolist(), words.tolist(), strict=True):
        drawn = order[first : first + count]
        hidden_words[_fitting(drawn.tolist(), sizes[drawn].tolist(), int(wanted[word_sequences[drawn[0]]]))] = True
    return np.flatnonzero(hidden_words[word_of_token])


def _fitting(words: list[int], sizes: list[int], wanted: int) -> list[int]:
    """Words in their order until `wanted` tokens are hidden; one that is too long for what is left is passed over."""
    chosen, hidden = [], 0
    for word, size in zip(words, sizes, strict=True):
        if hidden + size <= wanted:
            chosen.append(word)
            hidden += size
        if hidden == wanted:
            break
    return chosen or [words[sizes.index(min(sizes))]]
