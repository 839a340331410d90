"""Masked LM put to use: the likeliest WordPieces at each [MASK] of a text.

Letters: M masked places, V vocabulary.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.windows import BATCH_TOKENS, Window
from bertsmith.errors import InputError
from bertsmith.tasks.drawing import drawn
from bertsmith.tasks.reader import Float32s, Reader, reader_of
from bertsmith.text.wordpiece import WordPiece

if TYPE_CHECKING:
    from bertsmith.model.bert import Bert

TOP_K = 5
STRETCH = 64  # values of a row of logits that are looked at together

_Best: TypeAlias = list[tuple[int, float]]  # ids by falling probability


@dataclass(frozen=True)
class Fill:
    """One answer at one [MASK].

    Args:
        token: the WordPiece; `##` in front says that it goes on with the word before.
        token_id: its id.
        probability: softmax over the whole vocabulary, also where candidates were given.
        text: the text (of a pair, the one with this mask) with this mask filled and the others left.
    """

    token: str
    token_id: int
    probability: float
    text: str


class Fills(list[Fill]):
    """The answers at one [MASK], likeliest first."""

    def _repr_html_(self) -> str:
        return drawn(self[0].text if self else "", [(fill.token, fill.probability) for fill in self])


def fill_masks(
    model: Bert | Reader,
    tokenizer: WordPiece,
    text: str,
    *,
    pair: str | None = None,
    top_k: int | None = None,
    candidates: Sequence[str] | None = None,
) -> list[list[Fill]]:
    """The likeliest fills of each [MASK] in a text, or in a pair of texts.

    The masks are filled one by one, each while the others stay masked, as in the `fill-mask` pipeline of
    `transformers`. Around each mask of a text that is longer than the model, the model's length is read.

    Args:
        model: one with the masked LM head, in evaluation mode.
        tokenizer: the model's.
        text: with at least one [MASK], unless `pair` has it.
        pair: the second text.
        top_k: answers a mask; 5 if not given, or all candidates.
        candidates: answer only among these words, each of which is one WordPiece.

    Returns:
        One list a mask, in the order of the text; its answers by falling probability.

    Raises:
        InputError: no [MASK]; a candidate of several WordPieces; `top_k` below 1.
        ConfigError: the model has no masked LM head.
    """
    return fill_texts(model, tokenizer, [text], pair=pair, top_k=top_k, candidates=candidates)[0]


def fill_texts(
    model: Bert | Reader,
    tokenizer: WordPiece,
    texts: Sequence[str],
    *,
    pair: str | None = None,
    top_k: int | None = None,
    candidates: Sequence[str] | None = None,
) -> list[list[list[Fill]]]:
    """As `fill_masks` for each of several texts, with the same `pair`; texts of similar length are read together."""
    allowed = _candidate_ids(tokenizer, candidates)
    count = top_k if top_k is not None else (len(allowed) if allowed else TOP_K)
    if count < 1:
        raise InputError(f"top_k is {count}; at least 1 answer a mask is needed")
    homes = [_homes(tokenizer, text, pair) for text in texts]
    reader = reader_of(model)
    longest = reader.config.max_position_embeddings
    windows = [window for text in texts for window in _windows(tokenizer, text, pair, longest)]
    found: list[list[_Best]] = [[] for _ in windows]

    def find(batch: list[int]) -> None:
        logits = reader.mask_logits([windows[index] for index in batch])  # (M, V)
        best = _best(logits, count, tokenizer.vocab_size, allowed)
        for index in batch:
            found[index] = [next(best) for _ in windows[index].places]

    deque(reader.each_batch(find, windows, BATCH_TOKENS), maxlen=0)
    coming = chain.from_iterable(found)
    return [[_answers(tokenizer, next(coming), home) for home in each] for each in homes]


def _best(logits: Float32s, count: int, vocab_size: int, allowed: list[int] | None) -> Iterator[_Best]:
    """(M, V) -> for each mask the likeliest ids, of the allowed ones, with their probabilities."""
    for row in logits:
        highest = row.max()
        total = np.exp(row - highest).sum()
        ids = _with_highest(row[:vocab_size], count) if allowed is None else np.array(allowed)
        if count < len(ids):  # the best ones first, so that no more than they are sorted
            ids = ids[np.argpartition(-row[ids], count - 1)[:count]]
        ids = ids[np.argsort(-row[ids], kind="stable")]
        yield list(zip(ids.tolist(), (np.exp(row[ids] - highest) / total).tolist(), strict=True))


def _with_highest(values: Float32s, count: int) -> NDArray[np.int64]:
    """Places, rising, that the `count` highest values are among: the stretches of values with the highest maxima.

    To part all places by their values is a tenth of what a short text takes.
    """
    stretches = len(values) // STRETCH
    if count >= stretches:
        return np.arange(len(values))
    maxima = values[: stretches * STRETCH].reshape(stretches, STRETCH).max(1)
    chosen = np.sort(np.argpartition(-maxima, count - 1)[:count])
    inside = (chosen[:, None] * STRETCH + np.arange(STRETCH)).ravel()
    return np.concatenate((inside, np.arange(stretches * STRETCH, len(values))))


def _answers(tokenizer: WordPiece, best: _Best, home: tuple[str, str]) -> list[Fill]:
    return Fills(
        Fill(tokenizer.tokens[token_id], token_id, probability, _filled(home, tokenizer.tokens[token_id]))
        for token_id, probability in best
    )


def _filled(home: tuple[str, str], token: str) -> str:
    before, after = home
    if token.startswith("##"):
        return before.rstrip() + token[2:] + after
    return before + token + after


def _homes(tokenizer: WordPiece, text: str, pair: str | None) -> list[tuple[str, str]]:
    """For each mask, what stands before and after it in its text."""
    mask = tokenizer.tokens[tokenizer.mask_id]
    homes = []
    for each in (text, pair):
        if each is not None and not isinstance(each, str):
            raise InputError(f"a text to fill is a str, not {type(each).__name__}")
        parts = (each or "").split(mask)
        homes += [(mask.join(parts[:k]), mask.join(parts[k:])) for k in range(1, len(parts))]
    if not homes:
        raise InputError(f'no {mask} in "{text}": write {mask} where the word to be found stands')
    return homes


def _windows(tokenizer: WordPiece, text: str, pair: str | None, longest: int) -> list[Window]:
    """The whole text as one window if the model is long enough, else a window around each mask."""
    first, second = _token_ids(tokenizer, text), _token_ids(tokenizer, pair or "")
    body, types = first, [0] * len(first)
    if pair is not None:
        body, types = [*first, tokenizer.sep_id, *second], [*types, 0, *[1] * len(second)]
    places = [place for place, token_id in enumerate(body) if token_id == tokenizer.mask_id]
    room = longest - 2
    if len(body) <= room:
        return [_window(tokenizer, body, types, places, closing_type=int(pair is not None))]
    warnings.warn(
        f"the text has {len(body)} tokens and the model reads {room}: around each mask, {room} were read",
        stacklevel=6,
    )
    windows = []
    for place in places:
        start = min(max(0, place - room // 2), len(body) - room)
        span = slice(start, start + room)
        windows.append(_window(tokenizer, body[span], types[span], [place - start], closing_type=types[span][-1]))
    return windows


def _window(tokenizer: WordPiece, body: list[int], types: list[int], places: list[int], *, closing_type: int) -> Window:
    return Window(
        np.array([tokenizer.cls_id, *body, tokenizer.sep_id], np.int32),
        np.array([0, *types, closing_type], np.uint8),
        np.array([place + 1 for place in places], np.int32),
    )


def _token_ids(tokenizer: WordPiece, text: str) -> list[int]:
    """Ids without [CLS] and [SEP]; of all special tokens only the mask is read as one."""
    ids: list[int] = []
    for part in text.split(tokenizer.tokens[tokenizer.mask_id]):
        ids += [*tokenizer.encode_sentences([part])[0].tolist(), tokenizer.mask_id]
    return ids[:-1]


def _candidate_ids(tokenizer: WordPiece, candidates: Sequence[str] | None) -> list[int] | None:
    if candidates is None:
        return None
    if isinstance(candidates, str) or not candidates:
        raise InputError('candidates are a list of words, such as ["pain", "fever"]')
    ids = [_candidate_id(tokenizer, word) for word in candidates]
    return list(dict.fromkeys(ids))  # once each: "Pain" and "pain" are the same to an uncased model


def _candidate_id(tokenizer: WordPiece, word: str) -> int:
    token_id = tokenizer.token_to_id(word)
    if token_id is not None:
        return token_id
    ids = tokenizer.encode_sentences([word])[0].tolist()
    if len(ids) == 1 and ids[0] != tokenizer.unk_id:
        return int(ids[0])
    pieces = " ".join(tokenizer.tokens[piece] for piece in ids) or "nothing"
    raise InputError(
        f'candidate "{word}" is not one WordPiece of this vocabulary but {pieces}, and a mask holds one. '
        "Leave it out, or take a word that the vocabulary has."
    )
