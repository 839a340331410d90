"""Muon: a layer's matrix moves by the orthogonal matrix that is nearest to the momentum of its gradients.

Every direction of a matrix learns at the same pace, where AdamW follows the few that the gradient is largest in.

Of attention's matrices each head's share is a matrix of its own: it is what a head does, and its products are a small
part of the whole one's. Matrices of one shape are worked on together, as batched products.

Reference:
    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": momentum, iteration, coefficients;
    Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2: the scale, so that a step is as long as AdamW's.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bertsmith.training.sharding import divided_like, gathered

MOMENTUM = "momentum"  # what is kept of a matrix
_DECAY = 0.95  # of the momentum
_RMS = 0.2  # of a step's values at learning rate 1
_ITERATIONS, _COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)


class Blocks(NamedTuple):
    """How a matrix falls into such as are made orthogonal each for itself: `number` of rows, or of columns."""

    number: int
    of_columns: bool = False

    def of(self, matrix: Tensor) -> Tensor:
        """(R, C) -> (K, R / K, C), or (K, C / K, R) with the columns as rows."""
        rows = matrix.mT if self.of_columns else matrix
        return rows.reshape(self.number, -1, rows.shape[1])

    def joined(self, pieces: Tensor) -> Tensor:
        """The matrix that falls into these."""
        rows = pieces.flatten(0, 1)
        return rows.mT if self.of_columns else rows


@torch.no_grad()
def step_matrices(group: Mapping[str, Any], state: Mapping[Tensor, dict[str, Any]]) -> None:
    """One step of a group's matrices that have a gradient.

    Args:
        group: "params", "lr", "weight_decay"; "blocks", the `Blocks` of each of the parameters; "product_dtype", of the
            iteration's products.
        state: of the optimizer; a parameter's is {MOMENTUM: its momentum}.
    """
    alike: dict[torch.Size, list[tuple[nn.Parameter, Blocks, Tensor]]] = defaultdict(list)
    for matrix, blocks in zip(group["params"], group["blocks"], strict=True):
        if matrix.grad is None:
            continue
        kept = state[matrix]
        if not kept:
            kept[MOMENTUM] = torch.zeros_like(matrix)
        momentum = kept[MOMENTUM]
        momentum.lerp_(matrix.grad, 1 - _DECAY)
        ahead = gathered(matrix.grad.lerp(momentum, _DECAY))  # Nesterov's; every rank iterates over all of it
        pieces = blocks.of(ahead.to(group["product_dtype"]))
        alike[pieces.shape[1:]].append((matrix, blocks, pieces))
    for shape, members in alike.items():
        directions = orthogonalise(torch.cat([pieces for _, _, pieces in members]))
        length = _RMS * max(shape) ** 0.5
        counts = [blocks.number for _, blocks, _ in members]
        for (matrix, blocks, _), direction in zip(members, torch.split(directions, counts), strict=True):
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            step = divided_like(blocks.joined(direction), matrix)
            matrix.add_(step, alpha=-group["lr"] * length)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Singular values are brought near 1 (0.7 … 1.2; tiny ones stay below), by Newton and Schulz's iteration.

    (K, R, C) -> (K, R, C).
    """
    tall = matrices.shape[1] > matrices.shape[2]
    given = matrices.mT if tall else matrices
    near: Tensor = given / (torch.linalg.vector_norm(given, dim=(1, 2), keepdim=True) + 1e-7)
    for iterations in _passes(given):
        gram = _symmetric(near, near.mT)  # (K, R, C) -> (K, R, R)
        factor = whole = _factor(gram)
        for _ in range(iterations - 1):
            gram = _symmetric(_symmetric(factor, gram), factor)  # that of the next iteration, from its square one
            factor = _factor(gram)
            whole = _symmetric(factor, whole)
        near = whole @ near
    return near.mT if tall else near


def _passes(matrices: Tensor) -> list[int]:
    """How many iterations each pass over the matrices does, (K, R, C) with R <= C.

    Of oblong ones a pass does several on the gram, which is square. An iteration makes a gram's errors twelve times as
    large, so that in bfloat16 it is made anew after three.
    """
    oblong = matrices.shape[1] != matrices.shape[2]
    most = 1 if not oblong else _ITERATIONS if matrices.dtype == torch.float32 else 3
    return [min(most, _ITERATIONS - done) for done in range(0, _ITERATIONS, most)]


def _factor(gram: Tensor) -> Tensor:
    """What one iteration multiplies a matrix by, from its gram: (K, R, R) -> (K, R, R)."""
    a, b, c = _COEFFICIENTS
    factor = _symmetric(gram, gram).mul_(c).add_(gram, alpha=b)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor


def _symmetric(left: Tensor, right: Tensor) -> Tensor:
    """Products that are known to be symmetric, three quarters of them computed: (K, R, C), (K, C, R) -> (K, R, R).

    As all are that are made of one gram. In bfloat16 the library is slow with parts of matrices: whole ones there.
    """
    if left.dtype != torch.float32:
        return left @ right
    half = left.shape[1] // 2
    made = left.new_empty(len(left), left.shape[1], left.shape[1])
    made[:, :half] = left[:, :half] @ right
    made[:, half:, half:] = left[:, half:] @ right[:, :, half:]
    made[:, half:, :half] = made[:, :half, half:].mT
    return made
