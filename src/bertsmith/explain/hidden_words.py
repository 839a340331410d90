"""Each word of a sentence hidden in turn: what the model guesses in its place.

Letters: W words, T tokens, K guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from bertsmith.explain.heads import Floats, Ints, array
from bertsmith.explain.passes import next_pass
from bertsmith.explain.reading import Token
from bertsmith.explain.recording import places, rows_of
from bertsmith.model.bert import Bert
from bertsmith.text.wordpiece import WordPiece

MOST_TOKENS = 2048  # read for it in all: a word of a sentence is as dear as the sentence
_PASS_TOKENS = 512  # computed at once


@dataclass(frozen=True)
class HiddenWord:
    """The guesses where one word, all of its WordPieces, is hidden and the rest is as it was.

    Attributes:
        places: the word's tokens.
        ids, probabilities: (tokens of the word, K).
        own: (tokens of the word,) the probability of what stood there.
    """

    places: tuple[int, ...]
    ids: Ints
    probabilities: Floats
    own: Floats


@torch.no_grad()
def hide_each_word(bert: Bert, tokenizer: WordPiece, tokens: Sequence[Token], *, top_k: int) -> tuple[HiddenWord, ...]:
    """Hide word after word, those that are not hidden already; of a long sentence those nearest to what is.

    Args:
        bert: with the masked LM head, in evaluation mode.
        tokenizer: the model's.
        tokens: the sentence, from a `Reader`.
        top_k: K.
    """
    words = [group for group in _words(tokens) if all(tokens[place].id != tokenizer.mask_id for place in group)]
    centre = next((place for place, token in enumerate(tokens) if token.id == tokenizer.mask_id), 0)
    near = sorted(words, key=lambda word: abs(word[0] - centre))[: max(1, MOST_TOKENS // len(tokens))]
    words = sorted(near)
    step = max(1, _PASS_TOKENS // len(tokens))
    found: list[HiddenWord] = []
    for first in range(0, len(words), step):
        next_pass()
        found += _hidden(bert, tokenizer, tokens, words[first : first + step], top_k)
    return tuple(found)


def _words(tokens: Sequence[Token]) -> list[tuple[int, ...]]:
    """The places of each word, [CLS] and [SEP] left out."""
    ordinary = [place for place, token in enumerate(tokens) if token.word is not None]
    return [tuple(group) for _, group in groupby(ordinary, key=lambda place: tokens[place].word)]


def _hidden(
    bert: Bert, tokenizer: WordPiece, tokens: Sequence[Token], words: Sequence[tuple[int, ...]], top_k: int
) -> list[HiddenWord]:
    input_ids, token_type_ids, position_ids = (row.repeat(len(words), 1) for row in rows_of(bert, tokens))
    own = [[tokens[place].id for place in word] for word in words]
    for row, word in enumerate(words):
        input_ids[row, list(word)] = tokenizer.mask_id
    flat = places([row * len(tokens) + place for row, word in enumerate(words) for place in word])
    hidden = bert(
        input_ids,
        token_type_ids=token_type_ids,
        position_ids=position_ids,
        sequence_ids=None,
        places=torch.from_numpy(flat).to(bert.device),
    )
    probabilities = torch.softmax(bert.masked_lm_logits(hidden), dim=-1)  # (masked places, V)
    best = probabilities[:, : tokenizer.vocab_size].topk(min(top_k, tokenizer.vocab_size))
    found, start = [], 0
    for word, ids in zip(words, own, strict=True):
        these = slice(start, start + len(word))
        right = probabilities[these].gather(1, torch.tensor(ids, device=bert.device)[:, None])[:, 0]
        found.append(HiddenWord(word, best.indices[these].cpu().numpy(), array(best.values[these]), array(right)))
        start += len(word)
    return found
