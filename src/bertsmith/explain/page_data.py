"""An explanation as JSON: what the page is fed with, from a file or by a server.

What is worked out on the page is there in float32. Of vectors the first values are shown, of long sentences fewer of
them and only some rows of attention, so that the page of a base model stays under three megabytes.

Letters: T tokens, L layers, N heads, H head width, D hidden width, K guesses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.explain.beside_data import BESIDE_BYTES, beside_data, task_data
from bertsmith.explain.explanation import Explanation
from bertsmith.explain.heads import Floats
from bertsmith.explain.packing import Packer, plain
from bertsmith.explain.recording import Recording

FORMAT = 1
ROOM_BYTES = 2_200_000  # of arrays, before they are deflated and turned into text
_OF_LAYER = ("attended", "attention_sum", "attention_output", "widened", "activated", "fed", "fed_sum", "output")
_OF_TOKENS = 8  # embeddings, the head: about so many more vectors a token


@dataclass(frozen=True)
class Detail:
    """How much of a recording is given.

    Attributes:
        vector: values of a hidden state, from the first; None for all.
        head: values of a query, key or value.
        rows: tokens whose rows of attention are worked out; None for all.
        shades: levels of what is only seen as a colour.
    """

    vector: int | None
    head: int | None
    rows: int | None
    shades: int


WHOLE = Detail(None, None, None, 255)
DETAILS = (
    Detail(48, 16, None, 255),
    Detail(32, 8, None, 255),
    Detail(16, 4, None, 63),
    Detail(16, 4, 16, 63),
    Detail(12, 4, 8, 31),
    Detail(8, 3, 4, 15),
)


def page_data(explanation: Explanation, *, whole: bool = False) -> dict[str, Any]:
    """See `Explanation.as_json`."""
    recording = explanation.recording
    room = ROOM_BYTES - (BESIDE_BYTES if explanation.beside else 0)
    detail = WHOLE if whole else _fitting(recording, room)
    worked = worth_working(explanation)[: detail.rows] if detail.rows else list(range(len(recording.tokens)))
    packer = Packer()
    _add_tokens(packer, recording, detail)
    _add_layers(packer, recording, detail, worked)
    packer.add("rollout", explanation.rollout[-1])
    return {
        "format": FORMAT,
        "model": recording.model,
        "config": recording.config.model_dump(),
        "texts": recording.texts,
        "tokens": [dataclasses.asdict(token) for token in recording.tokens],
        "masked": recording.masked,
        "worked": worked,
        "start": worth_working(explanation)[0],
        "vocabulary": _pieces(explanation),
        "roles": [[dataclasses.asdict(role) for role in layer] for layer in explanation.roles],
        "next_sentence": _next_sentence(recording),
        "lens": plain(explanation.lens),
        "hidden_words": plain(explanation.hidden_words),
        "evidence": plain(explanation.evidence),
        "task": task_data(recording),
        "beside": beside_data(packer, explanation, whole=whole),
        "arrays": packer.packed(),
    }


def worth_working(explanation: Explanation) -> list[int]:
    """Tokens in the order in which someone will look at them: masks, what the task says, words, the rest."""
    recording = explanation.recording
    first = [*recording.masked, *(each.place for each in explanation.evidence)]
    if recording.task is not None:
        first += recording.task.places.tolist()[:1]
    words = [place for place, token in enumerate(recording.tokens) if token.word is not None]
    return list(dict.fromkeys([*first, *words, *range(len(recording.tokens))]))


def _fitting(recording: Recording, room: int) -> Detail:
    return next((detail for detail in DETAILS if _bytes(recording, detail) <= room), DETAILS[-1])


def _bytes(recording: Recording, detail: Detail) -> int:
    config, tokens = recording.config, len(recording.tokens)
    heads, rows = config.num_hidden_layers * config.num_attention_heads, detail.rows or tokens
    vectors = tokens * (len(_OF_LAYER) * config.num_hidden_layers + _OF_TOKENS) * (detail.vector or 0)
    return 4 * vectors + heads * (
        8 * (tokens + rows) * (detail.head or 0) + 8 * rows * tokens + tokens * tokens // 2
    )  # shades deflate well


def _add_tokens(packer: Packer, recording: Recording, detail: Detail) -> None:
    """Embeddings, output, and the heads at each token."""
    for name, step in recording.embeddings._asdict().items():
        if step is not None:
            packer.add(f"embeddings.{name}", step[:, : detail.vector])
    packer.add("output", recording.output[:, : detail.vector])
    if (head := recording.masked_lm) is not None:
        for name in ("dense", "activated", "normed"):
            packer.add(f"masked_lm.{name}", getattr(head, name)[:, : detail.vector])
        packer.add("masked_lm.rows", head.rows[:, :, : detail.head])
        for name in ("ids", "biases", "logits", "probabilities", "log_sum"):
            packer.add(f"masked_lm.{name}", getattr(head, name))
    if recording.task is not None:
        packer.add("task.read", recording.task.read[:, : detail.vector])
        packer.add("task.logits", recording.task.logits)


def _add_layers(packer: Packer, recording: Recording, detail: Detail, worked: Sequence[int]) -> None:
    """All layers of a kind of step as one array: (L, T, …), and of attention (L, N, …)."""
    layers, rows = recording.layers, list(worked)
    for name in _OF_LAYER:
        packer.add(f"layers.{name}", np.stack([getattr(layer, name)[:, : detail.vector] for layer in layers]))
    for name in ("key", "value"):
        packer.add(f"layers.{name}", np.stack([getattr(layer, name)[:, :, : detail.head] for layer in layers]))
    for name in ("query", "mixed"):
        found = [getattr(layer, name)[:, rows][:, :, : detail.head] for layer in layers]
        packer.add(f"layers.{name}", np.stack(found))
    for name in ("scores", "weights"):
        packer.add(f"layers.{name}", np.stack([getattr(layer, name)[:, rows] for layer in layers]))
    packer.add("layers.shades", _shades(recording.attention, detail.shades))


def _shades(weights: Floats, levels: int) -> NDArray[np.uint8]:
    """Weights as colours, 0 … 255 of so many levels: their square roots, or small ones would not be seen."""
    return np.round(np.round(np.sqrt(weights) * levels) * (255 / levels)).astype(np.uint8)


def _pieces(explanation: Explanation) -> dict[str, str]:
    """The WordPieces of all ids that are named."""
    beside = [each.other.recording.masked_lm for each in explanation.beside]
    named = [explanation.recording.masked_lm, explanation.lens, *explanation.hidden_words, *beside]
    ids = {int(token_id) for each in named if each is not None for token_id in np.unique(each.ids)}
    return {str(token_id): explanation.vocabulary[token_id] for token_id in sorted(ids)}


def _next_sentence(recording: Recording) -> dict[str, Any] | None:
    """Only of a pair: of one text there is nothing to say."""
    return plain(recording.next_sentence) if len(recording.texts) > 1 else None
