"""What is done otherwise where a processor multiplies in tiles (AMX), much faster than it does anything else.

Letters: N tokens, I inputs, O outputs.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# From so many tokens, and so wide, a transposed copy saves more than it takes; measured, see bench/RESULTS.md.
_MANY, _WIDE = 1024, 512
_OBLONG = 3  # times as many outputs as inputs, or the other way
_BLOCK = 256  # columns that are transposed by one product
_GAP = 32  # values between rows: by powers of two apart, they would compete for the same places of the cache


@cache
def in_tiles(dtype: torch.dtype) -> bool:
    """Whether products of a format are those of tiles.

    By the processor and not by a measurement, so that a run that goes on on it multiplies as it began.
    """
    return dtype == torch.bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16"))


def gradients_in_tiles(gradient: Tensor, rows: Tensor, *, biased: bool) -> tuple[Tensor, Tensor | None]:
    """The gradients of a linear layer's weight and bias, if it has one.

    A product with the transpose of a matrix takes oneDNN half as long again as one without. Of large ones it pays to
    transpose the smaller matrix before, and what comes of it where that lies the other way.

    Args:
        gradient: (N, O), of what the layer gave.
        rows: (N, I), what it was given.
        biased: whether the layer has a bias.

    Returns:
        (O, I), and (O,) or None, of the same type.
    """
    (tokens, outputs), inputs = gradient.shape, rows.shape[1]
    large = tokens >= _MANY and min(outputs, inputs) >= _WIDE
    if large and outputs >= _OBLONG * inputs:
        turned = _gapped(rows, inputs + 1, tokens)
        turned[inputs] = 1  # the bias is a weight whose input is one
        _transpose(rows, turned[:inputs])
        both = turned @ gradient  # (I + 1, N) x (N, O) -> (I + 1, O)
        of_weight = rows.new_empty(outputs, inputs)
        _transpose(both[:inputs], of_weight)
        return of_weight, both[inputs] if biased else None
    turned = gradient.t()
    if large and inputs >= _OBLONG * outputs:
        turned = _gapped(gradient, outputs, tokens)
        _transpose(gradient, turned)
    return turned @ rows, gradient.sum(0) if biased else None


def _gapped(like: Tensor, rows: int, columns: int) -> Tensor:
    """(R, C) to be filled; what lies between its rows is zero, since a product may read it, to multiply it by zero."""
    whole = like.new_empty(rows, columns + _GAP)
    whole[:, columns:] = 0
    return whole[:, :columns]


def _transpose(matrix: Tensor, out: Tensor) -> None:
    """(R, C) -> (C, R), by products with the identity: exact for what is finite, and faster than a copy."""
    identity = torch.eye(_BLOCK, dtype=matrix.dtype)
    for columns, block in zip(torch.split(matrix, _BLOCK, 1), torch.split(out, _BLOCK), strict=True):
        torch.mm(identity[: len(block), : len(block)], columns.t(), out=block)
