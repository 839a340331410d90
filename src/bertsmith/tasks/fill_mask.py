"""Masked LM put to use: the likeliest WordPieces at each [MASK] of a text.

Letters: T tokens, M masked places, D hidden width, V vocabulary.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bertsmith.errors import InputError
from bertsmith.model.bert import Bert
from bertsmith.text.wordpiece import WordPiece

TOP_K = 5


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


@dataclass(frozen=True)
class _Window:
    """What the model reads at once: `input_ids` and `token_type_ids`, and where the masks are in it."""

    input_ids: list[int]
    token_type_ids: list[int]
    places: list[int]


@torch.inference_mode()
def fill_masks(
    bert: Bert,
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
        bert: a model with the masked LM head, in evaluation mode.
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
    allowed = _candidate_ids(tokenizer, candidates)
    count = top_k if top_k is not None else (len(allowed) if allowed else TOP_K)
    if count < 1:
        raise InputError(f"top_k is {count}; at least 1 answer a mask is needed")
    homes = _homes(tokenizer, text, pair)
    windows = _windows(tokenizer, text, pair, bert.config.max_position_embeddings)
    logits = torch.cat([_masked_logits(bert, window) for window in windows])  # (M, V)
    return [_answers(tokenizer, row, home, count, allowed) for row, home in zip(logits, homes, strict=True)]


def _masked_logits(bert: Bert, window: _Window) -> Tensor:
    device = bert.encoder.embeddings.word.weight.device
    input_ids = torch.tensor([window.input_ids], device=device)  # (1, T)
    hidden = bert(
        input_ids,
        token_type_ids=torch.tensor([window.token_type_ids], device=device),
        position_ids=torch.arange(input_ids.shape[1], device=device)[None],
        sequence_ids=None,
    )
    return bert.masked_lm_logits(hidden[0, window.places])  # (1, T, D) -> (M, D) -> (M, V)


def _answers(
    tokenizer: WordPiece, logits: Tensor, home: tuple[str, str], count: int, allowed: list[int] | None
) -> list[Fill]:
    probabilities = torch.softmax(logits.float(), dim=-1).cpu()  # (V,)
    ids = torch.tensor(allowed) if allowed else torch.arange(tokenizer.vocab_size)
    best = probabilities[ids].topk(min(count, len(ids)))
    return [
        Fill(tokenizer.tokens[token_id], token_id, probability, _filled(home, tokenizer.tokens[token_id]))
        for token_id, probability in zip(ids[best.indices].tolist(), best.values.tolist(), strict=True)
    ]


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


def _windows(tokenizer: WordPiece, text: str, pair: str | None, longest: int) -> list[_Window]:
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
        stacklevel=4,
    )
    windows = []
    for place in places:
        start = min(max(0, place - room // 2), len(body) - room)
        span = slice(start, start + room)
        windows.append(_window(tokenizer, body[span], types[span], [place - start], closing_type=types[span][-1]))
    return windows


def _window(
    tokenizer: WordPiece, body: list[int], types: list[int], places: list[int], *, closing_type: int
) -> _Window:
    return _Window(
        [tokenizer.cls_id, *body, tokenizer.sep_id],
        [0, *types, closing_type],
        [place + 1 for place in places],
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
