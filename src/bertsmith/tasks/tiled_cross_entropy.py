"""`linear_cross_entropy` where a processor multiplies in tiles, so fast that passes over the logits take most of it.

Softmax is not made: a product writes powers of two in the place of logits, and sums them up; what they are to be
divided by goes to the few rows of hidden states and of their gradients. Powers lie as (V, M).

Letters: M places, D width, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bertsmith.model.linear import gradient_of_weight
from bertsmith.model.tiles import multiply, powers_of_product

_LOG2E, _LN2 = math.log2(math.e), math.log(2)
_LEAST, _MOST = 1e-20, 1e20  # sums of powers that leave room for all that they are multiplied by


def tiled_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, ignored: int) -> Tensor:
    """As `linear_cross_entropy`, with products in the type of `hidden`: bfloat16.

    Args:
        hidden: (M, D).
        weight: (V, D).
        bias: (V,).
        labels: (M,) int64 in [0, V), or `ignored`.
        ignored: the label of a place that has no loss.

    Returns:
        () float32, in nats.
    """
    loss: Tensor = _Tiled.apply(hidden, weight, bias, labels, ignored)  # type: ignore[no-untyped-call]
    return loss


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, ignored: int) -> Tensor:
        places = (labels != ignored).nonzero()[:, 0]
        wanted = labels[places]
        columns, bits = (hidden * _LOG2E).t(), bias.float() * _LOG2E  # so that a product is in bits
        right = (weight[wanted].to(hidden.dtype).float() * columns.t()[places].float()).sum(1) + bits[wanted]
        powers, sums = powers_of_product(weight, columns, bits)  # (V, M), (M,)
        if not bool(((sums > _LEAST) & (sums < _MOST)).all()):
            del powers
            logits = multiply(weight, columns, dtype=torch.float32).add_(bits[:, None])
            most = logits.amax(0)
            exact = logits.sub_(most).exp2_()
            powers, sums, right = exact.to(hidden.dtype), exact.sum(0), right - most[places]
        # The label's entry becomes (p - 1) times the sum: entries over sums are the gradient then, softmax - one-hot.
        powers[wanted, places] = (right.exp2() - sums[places]).to(powers.dtype)
        # Nothing where a place has no loss.
        inverse = torch.zeros_like(sums).index_copy_(0, places, 1 / sums[places])
        ctx.save_for_backward(hidden, weight, powers, inverse)
        return (sums[places].log2() - right).sum() * _LN2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        hidden, weight, excess, inverse = ctx.saved_tensors
        inverse = inverse * gradient
        with torch.autocast("cpu", enabled=False):
            scaled = (hidden * inverse[:, None]).to(hidden.dtype)
            of_weight = gradient_of_weight(excess.t(), scaled, weight.dtype)  # -> (V, D)
            of_bias = torch.mv(excess, inverse.to(excess.dtype))  # (V, M) x (M,) -> (V,)
            of_hidden = multiply(excess.t(), weight, dtype=torch.float32)  # (M, V) x (V, D) -> (M, D)
        return of_hidden.mul_(inverse[:, None]).to(hidden.dtype), of_weight, of_bias.to(weight.dtype), None, None
