"""`linear_cross_entropy` where a processor multiplies in tiles, so fast that passes over the logits take most of it.

Logits lie as (V, M): so the products that make them and the weights' gradient take half the time or less. Softmax is
slow over columns, and is not made: powers of two take the place of the logits, and what they are to be divided by goes
to the few rows of hidden states and of their gradients. The bias is a weight whose input is one.

Letters: M places, D width, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_TILE = 32  # values of a row of a tile, to which the columns of the biases are filled up
_LOG2E, _LN2 = math.log2(math.e), math.log(2)
_SUM_ROWS = 64  # whose sum is rounded to the type of the products; sums of these are float32
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
        words, rows = _words(weight, bias, hidden.dtype), _rows(hidden)
        places = (labels != ignored).nonzero()[:, 0]
        wanted = labels[places]
        with torch.autocast("cpu", enabled=False):
            powers, right, sums = _powers(words @ rows.t().contiguous(), places, wanted)  # (V, M)
            if not bool(((sums > _LEAST) & (sums < _MOST)).all()):
                del powers
                bits = words @ rows.t().contiguous()
                powers, right, sums = _powers(bits.sub_(bits.amax(0)), places, wanted)
        # From here on the excess over what is right, times the sum: what is right has a probability of one.
        powers[wanted, places] = (powers[wanted, places].float() - sums[places]).to(powers.dtype)
        # Nothing where a place has no loss.
        inverse = torch.zeros_like(sums).index_copy_(0, places, 1 / sums[places])
        ctx.save_for_backward(words, rows, powers, inverse)
        ctx.weight_dtype, ctx.width = weight.dtype, weight.shape[1]
        return (sums[places].log2() - right).sum() * _LN2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        words, rows, excess, inverse = ctx.saved_tensors
        inverse = (inverse * gradient)[:, None]
        with torch.autocast("cpu", enabled=False):
            of_words = excess @ (rows * (inverse * _LN2)).to(rows.dtype)  # (V, M) x (M, D') -> (V, D')
            of_hidden = (words[:, : ctx.width].t() @ excess).t() * inverse  # (D, V) x (V, M) -> (M, D)
        of_weight = of_words[:, : ctx.width].to(ctx.weight_dtype)
        of_bias = of_words[:, ctx.width].to(ctx.weight_dtype) * _LOG2E
        return of_hidden.to(rows.dtype), of_weight, of_bias, None, None


def _words(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """(V, D), (V,) -> (V, D'): weights, and biases in bits, each as two numbers, to twice the digits of one."""
    width = weight.shape[1]
    words = weight.new_empty(len(weight), width + _TILE, dtype=dtype)
    words[:, :width].copy_(weight)
    bits = bias.float() * _LOG2E
    rounded = bits.to(dtype)
    words[:, width:] = 0
    words[:, width], words[:, width + 1] = rounded, (bits - rounded).nan_to_num_(0, 0, 0)  # of infinity nothing is left
    return words


def _rows(hidden: Tensor) -> Tensor:
    """(M, D) -> (M, D'), so that a product with the words' is in bits; with ones where these have the biases."""
    width = hidden.shape[1]
    rows = hidden.new_zeros(len(hidden), width + _TILE)
    torch.mul(hidden, _LOG2E, out=rows[:, :width])
    rows[:, width : width + 2] = 1
    return rows


def _powers(bits: Tensor, places: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits in bits, (V, M) -> the powers of two, which take their place; what was at the labels; the powers' sums."""
    right = bits[wanted, places].float()
    powers = bits.exp2_()
    runs = len(powers) // _SUM_ROWS
    even, rest = powers.tensor_split([runs * _SUM_ROWS])
    parts = even.view(_SUM_ROWS, runs, powers.shape[1]).sum(0)  # (64, V / 64, M) -> (V / 64, M)
    return powers, right, parts.float().sum(0) + rest.float().sum(0)
