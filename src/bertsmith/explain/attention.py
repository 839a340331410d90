"""What attention as a whole shows: where each head looks, and how far words have mixed.

Letters: L layers, N heads, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bertsmith.explain.heads import Floats
from bertsmith.explain.reading import Token

RoleName = Literal[
    "previous word", "next word", "itself", "first token", "separator", "same word", "nearby", "broad", "mixed"
]
ROLES: tuple[RoleName, ...] = get_args(RoleName)

CLEAR = 0.4  # share of the weights that makes a role, well above what it has by chance
NEAR = 3  # tokens to either side
NEARLY_ALL = 0.6  # of the weights on so many neighbours makes a head that looks around
BROAD = 0.85  # of the entropy of looking everywhere alike


@dataclass(frozen=True)
class Role:
    """Where a head looks in this sentence.

    Attributes:
        name: the role by which it stands out.
        share: mean weight that its tokens give to what the role says; of "broad", the share of the highest entropy.
    """

    name: RoleName
    share: float


def rollout(attention: Floats) -> Floats:
    """How much of each input token has reached each token, if only attention and the ways past it carry anything.

    Args:
        attention: (L, N, T, T) weights.

    Returns:
        (L, T, T) after each layer; each row sums to 1.

    Reference:
        Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers".
    """
    tokens = attention.shape[-1]
    steps = (attention.mean(axis=1) + np.eye(tokens, dtype=np.float32)) / 2  # (L, N, T, T) -> (L, T, T)
    flows = [steps[0]]
    for step in steps[1:]:
        flows.append(step @ flows[-1])
    return np.stack(flows)


def find_roles(attention: Floats, tokens: Sequence[Token]) -> list[list[Role]]:
    """The role of each head, layer by layer, by what this one sentence shows.

    Args:
        attention: (L, N, T, T) weights.
        tokens: T of them.
    """
    masks = _where_roles_look(tokens)
    asking = np.array([token.word is not None for token in tokens])  # [CLS] and [SEP] look where nothing is
    if not asking.any():
        asking[:] = True
    return [
        [_role(head[asking], {name: mask[asking] for name, mask in masks.items()}) for head in layer]
        for layer in attention
    ]


def _where_roles_look(tokens: Sequence[Token]) -> dict[RoleName, Floats]:
    """(T, T) for each role: 1 where a token that has it would look."""
    count = len(tokens)
    words = np.array([-1 - place if token.word is None else token.word for place, token in enumerate(tokens)])
    texts = np.array([token.text for token in tokens])
    separators = np.array([token.word is None and place > 0 for place, token in enumerate(tokens)])
    itself = np.eye(count, dtype=bool)
    same = ((words[:, None] == words) | (texts[:, None] == texts)) & ~itself
    first = np.zeros((count, count), bool)
    first[:, 0] = True
    looks: dict[RoleName, np.ndarray[tuple[int, int], np.dtype[np.bool_]]] = {
        "previous word": np.eye(count, k=-1, dtype=bool),
        "next word": np.eye(count, k=1, dtype=bool),
        "itself": itself,
        "first token": first,
        "separator": np.broadcast_to(separators, (count, count)),
        "same word": same,
        "nearby": (np.abs(np.subtract.outer(np.arange(count), np.arange(count))) <= NEAR) & ~itself,
    }
    return {name: mask.astype(np.float32) for name, mask in looks.items()}


def _role(weights: Floats, masks: dict[RoleName, Floats]) -> Role:
    """Of one head, (asking, T)."""
    shares: dict[RoleName, float] = {}
    for name, mask in masks.items():
        can = mask.any(axis=1)  # "same word" is asked of those tokens that have another piece, or come twice
        shares[name] = float((weights * mask).sum(axis=1)[can].mean()) if can.sum() > 1 else 0.0
    near = shares.pop("nearby")
    best = max(shares, key=lambda name: shares[name])
    if shares[best] >= CLEAR:
        return Role(best, shares[best])
    if near >= NEARLY_ALL and weights.shape[1] > 4 * NEAR:
        return Role("nearby", near)
    tokens = weights.shape[1]
    entropy = -(weights * np.log(np.maximum(weights, 1e-12))).sum(axis=1).mean() / np.log(max(2, tokens))
    return Role("broad", float(entropy)) if entropy >= BROAD else Role("mixed", shares[best])
