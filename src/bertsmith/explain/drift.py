"""How far apart two models of one shape are: their weights, and what they make of the same tokens.

Letters: L layers, N heads, T tokens, n tokens of a sample, D hidden width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertsmith.explain.heads import Floats
from bertsmith.model.bert import Bert

_EMBEDDINGS = {"word": "words", "token_type": "segments", "position": "positions", "norm": "norm"}
_OF_LAYER = {"attention": "attention", "widen": "feed-forward", "narrow": "feed-forward"}
_HEADS = {
    "masked_lm": "masked LM head",
    "pooler": "pooler",
    "next_sentence": "next-sentence head",
    "classifier": "task head",
    "qa_outputs": "task head",
}


@dataclass(frozen=True)
class WeightDrift:
    """How far a room of the model has moved.

    Attributes:
        name: "embeddings", "layer 1" …, or a head that both models have.
        change: ‖W - W'‖ / ‖W'‖ over all its weights W, which were W'.
        parts: the same of its parts, such as "attention" and "feed-forward".
    """

    name: str
    change: float
    parts: dict[str, float]


def weight_drift(bert: Bert, was: Bert) -> tuple[WeightDrift, ...]:
    """What became of each room's weights.

    Args:
        bert: the model.
        was: what it is compared with; parts that only one of the two has are passed over.
    """
    before = dict(was.named_parameters())
    sums: dict[str, dict[str, list[float]]] = {}
    for name, weight in bert.named_parameters():
        if name in before and before[name].shape == weight.shape:
            room, part = _place_of(name)
            moved, size = sums.setdefault(room, {}).setdefault(part, [0.0, 0.0])
            old = before[name].detach().double()
            moved += (weight.detach().double() - old).square().sum().item()
            sums[room][part] = [moved, size + old.square().sum().item()]
    return tuple(_drift(room, parts) for room, parts in sums.items())


def _place_of(name: str) -> tuple[str, str]:
    """The room and its part that a parameter belongs to."""
    words = name.split(".")
    if words[0] != "encoder":
        return _HEADS[words[0]], "all"
    if words[1] == "embeddings":
        return "embeddings", _EMBEDDINGS[words[2]]
    if words[1] == "layers":
        return f"layer {int(words[2]) + 1}", _OF_LAYER.get(words[3], "norms")
    return "last norm", "all"


def _drift(room: str, parts: dict[str, list[float]]) -> WeightDrift:
    def change(moved: float, size: float) -> float:
        return math.sqrt(moved / size) if size else math.inf if moved else 0.0

    moved, size = (sum(each) for each in zip(*parts.values(), strict=True))
    return WeightDrift(room, change(moved, size), {part: change(*each) for part, each in parts.items()})


def linear_cka(one: Floats, other: Floats) -> float:
    """How alike two representations of the same tokens are, however they are turned or scaled: 0 … 1.

    Of fewer tokens than values it is high even for strangers.

    Args:
        one: (n, D) a row a token.
        other: (n, D') the same tokens.

    Reference:
        Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited", section 3:
        ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) of the centred columns.
    """
    x, y = (each.astype(np.float64) - each.mean(axis=0, dtype=np.float64) for each in (one, other))
    sizes = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return float(np.linalg.norm(y.T @ x)) ** 2 / sizes if sizes else 0.0


def attention_moved(weights: Floats, was: Floats) -> Floats:
    """The share of its attention that each head gives to other tokens than before, in the mean over tokens.

    Args:
        weights, was: (L, N, T, T).

    Returns:
        (L, N): half of Σ|a - a'| of each row (total variation), 0 … 1.
    """
    moved: Floats = np.abs(weights - was).sum(axis=-1).mean(axis=-1) / 2
    return moved


def cka_of_layers(states: Sequence[Floats], were: Sequence[Floats]) -> Floats:
    """(L + 1,) after the embeddings and after each layer."""
    return np.array([linear_cka(one, other) for one, other in zip(states, were, strict=True)], np.float32)
