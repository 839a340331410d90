"""Muon: a layer's matrix moves by the orthogonal matrix that is nearest to the momentum of its gradients.

Every direction of a matrix learns at the same pace, where AdamW follows the few that the gradient is largest in.
Matrices of one shape are worked on together, as batched products.

Reference:
    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": momentum, iteration, coefficients;
    Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2: the scale, so that a step is as long as AdamW's.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bertsmith.training.sharding import divided_like, gathered

MOMENTUM = "momentum"  # what is kept of a matrix
_DECAY = 0.95  # of the momentum
_RMS = 0.2  # of a step's values at learning rate 1
_ITERATIONS, _COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)


@torch.no_grad()
def step_matrices(group: Mapping[str, Any], state: Mapping[Tensor, dict[str, Any]]) -> None:
    """One step of a group's matrices that have a gradient.

    Args:
        group: "params", "lr", "weight_decay"; "stacked", the square or oblong matrices that lie under one another in
            each of the parameters; "product_dtype", of the iteration's products.
        state: of the optimizer; a parameter's is {MOMENTUM: its momentum}.
    """
    alike: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
    for matrix, stacked in zip(group["params"], group["stacked"], strict=True):
        if matrix.grad is None:
            continue
        kept = state[matrix]
        if not kept:
            kept[MOMENTUM] = torch.zeros_like(matrix)
        momentum = kept[MOMENTUM]
        momentum.lerp_(matrix.grad, 1 - _DECAY)
        ahead = gathered(matrix.grad.lerp(momentum, _DECAY))  # Nesterov's; every rank iterates over all of it
        parts = ahead.to(group["product_dtype"]).reshape(stacked, -1, ahead.shape[1])  # (K * R, C) -> (K, R, C)
        alike[parts.shape[1:]].append((matrix, parts))
    for shape, pairs in alike.items():
        directions = orthogonalise(torch.cat([parts for _, parts in pairs]))
        length = _RMS * max(shape) ** 0.5
        sizes = [len(parts) for _, parts in pairs]
        for (matrix, _), direction in zip(pairs, torch.split(directions, sizes), strict=True):
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            step = divided_like(direction.flatten(0, 1), matrix)
            matrix.add_(step, alpha=-group["lr"] * length)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Singular values are brought near 1 (0.7 … 1.2; tiny ones stay below), by Newton and Schulz's iteration.

    (K, R, C) -> (K, R, C).
    """
    tall = matrices.shape[1] > matrices.shape[2]
    given = matrices.mT if tall else matrices
    near: Tensor = given / (torch.linalg.vector_norm(given, dim=(1, 2), keepdim=True) + 1e-7)
    oblong = matrices.shape[1] != matrices.shape[2]
    done = 0
    while done < _ITERATIONS:
        gram = near @ near.mT  # (K, R, C) -> (K, R, R)
        factor = _factor(gram)
        done += 1
        if oblong and done < _ITERATIONS:
            # Two iterations in one pass over the long side: the second gram is made of the first, which is square.
            factor = _factor(factor @ gram @ factor) @ factor
            done += 1
        near = factor @ near
    return near.mT if tall else near


def _factor(gram: Tensor) -> Tensor:
    """What one iteration multiplies a matrix by, from its gram: (K, R, R) -> (K, R, R)."""
    a, b, c = _COEFFICIENTS
    factor: Tensor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor
