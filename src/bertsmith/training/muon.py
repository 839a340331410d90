"""Muon: a layer's matrix moves by the orthogonal matrix that is nearest to the momentum of its gradients.

Every direction of a matrix learns at the same pace, where AdamW follows the few that the gradient is largest in.
Matrices of one shape are worked on together, as batched products. Where a step has few tokens beside their width,
layers take turns: each is stepped every second or fourth step, so many times as far, along the momentum of all
gradients.

Reference:
    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": momentum, iteration, coefficients;
    Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2: the scale, so that a step is as long as AdamW's.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bertsmith.model.whole import multiply_whole
from bertsmith.training.sharding import divided_like, gathered

MOMENTUM = "momentum"  # what is kept of a matrix
_DECAY = 0.95  # of the momentum
_RMS = 0.2  # of a step's values at learning rate 1
_ITERATIONS, _COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
_TOKENS_A_COLUMN = 20  # from a step of a layer to the next, as far as _TURNS allows; see bench/RESULTS.md
_TURNS = (1, 2, 4)  # which divide the layers of most models into steps that cost the same


def turns_of(width: int, tokens: int) -> int:
    """Every how many steps a layer is stepped, when a step has so many tokens.

    The iteration's work grows with the width, and is the same for few tokens as for many.
    """
    return next((turns for turns in _TURNS if turns * tokens >= _TOKENS_A_COLUMN * width), _TURNS[-1])


@torch.no_grad()
def step_matrices(group: Mapping[str, Any], state: Mapping[Tensor, dict[str, Any]]) -> None:
    """One step of a group's matrices that have a gradient; those whose turn it is not keep it in their momentum.

    Args:
        group: "params", "lr", "weight_decay"; "stacked", the square or oblong matrices that lie under one another in
            each of the parameters; "layers", the layer of each; "turns", every how many steps a layer is stepped;
            "step", the steps before this one; "product_dtype", of the iteration's products: a type of floats, or int16,
            see `model/whole.py`.
        state: of the optimizer; a parameter's is {MOMENTUM: its momentum}.
    """
    alike: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
    turns = group["turns"]
    rate = group["lr"] * turns
    dtype = torch.float32 if group["product_dtype"] == torch.int16 else group["product_dtype"]
    for matrix, stacked, layer in zip(group["params"], group["stacked"], group["layers"], strict=True):
        if matrix.grad is None:
            continue
        kept = state[matrix]
        if not kept:
            kept[MOMENTUM] = torch.zeros_like(matrix)
        momentum = kept[MOMENTUM]
        momentum.lerp_(matrix.grad, 1 - _DECAY)
        if (group["step"] - layer) % turns:
            continue
        ahead = gathered(matrix.grad.lerp(momentum, _DECAY))  # Nesterov's; every rank iterates over all of it
        parts = ahead.to(dtype).reshape(stacked, -1, ahead.shape[1])  # (K * R, C) -> (K, R, C)
        alike[parts.shape[1:]].append((matrix, parts))
    for shape, pairs in alike.items():
        together = torch.cat([parts for _, parts in pairs])
        directions = orthogonalise(together, whole=group["product_dtype"] == torch.int16)
        length = _RMS * max(shape) ** 0.5
        sizes = [len(parts) for _, parts in pairs]
        for (matrix, _), direction in zip(pairs, torch.split(directions, sizes), strict=True):
            matrix.mul_(1 - rate * group["weight_decay"])
            step = divided_like(direction.flatten(0, 1), matrix)
            matrix.add_(step, alpha=-rate * length)


def orthogonalise(matrices: Tensor, *, whole: bool = False) -> Tensor:
    """Singular values are brought near 1 (0.7 … 1.2; tiny ones stay below), by Newton and Schulz's iteration.

    (K, R, C) -> (K, R, C); with products of whole numbers or in the type of what is given.
    """
    multiply = _multiply_whole if whole else torch.matmul
    tall = matrices.shape[1] > matrices.shape[2]
    given = matrices.mT if tall else matrices
    near: Tensor = given / (torch.linalg.vector_norm(given, dim=(1, 2), keepdim=True) + 1e-7)
    for iterations in _passes(given, exact=given.dtype == torch.float32 and not whole):
        gram = multiply(near, near.mT)  # (K, R, C) -> (K, R, R)
        factor = all_factors = _factor(gram, multiply)
        for _ in range(iterations - 1):
            gram = multiply(multiply(factor, gram), factor)  # that of the next iteration, from its square one
            factor = _factor(gram, multiply)
            all_factors = multiply(factor, all_factors)
        near = multiply(all_factors, near)
    return near.mT if tall else near


def _passes(matrices: Tensor, *, exact: bool) -> list[int]:
    """How many iterations each pass over the matrices does, (K, R, C) with R <= C.

    Of oblong ones a pass does several on the gram, which is square. An iteration makes a gram's errors twelve times as
    large, so that where products are not exact it is made anew after three.
    """
    oblong = matrices.shape[1] != matrices.shape[2]
    most = 1 if not oblong else _ITERATIONS if exact else 3
    return [min(most, _ITERATIONS - done) for done in range(0, _ITERATIONS, most)]


def _multiply_whole(left: Tensor, right: Tensor) -> Tensor:
    return torch.stack([multiply_whole(*pair) for pair in zip(left, right, strict=True)])


def _factor(gram: Tensor, multiply: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """What one iteration multiplies a matrix by, from its gram: (K, R, R) -> (K, R, R)."""
    a, b, c = _COEFFICIENTS
    factor = multiply(gram, gram).mul_(c).add_(gram, alpha=b)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor
