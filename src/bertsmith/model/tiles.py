"""What is done otherwise where a processor multiplies in tiles (AMX), ten times as fast as anything else that it does.

Letters: N tokens, I inputs, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NARROW = 512  # width from which a transposed copy saves more than it takes
_OBLONG = 3  # widths of so unlike sizes, or more
_BLOCK = 256  # columns that are transposed by one product
_GAP = 32  # values between rows: by powers of two apart, they would compete for the same places of the cache


def in_tiles(dtype: torch.dtype) -> bool:
    """Whether products of a format are those of tiles.

    By the processor and not by a measurement, so that a run that goes on multiplies as it began.
    """
    return dtype == torch.bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16"))


def gradients_in_tiles(gradient: Tensor, rows: Tensor, *, biased: bool) -> tuple[Tensor, Tensor | None]:
    """The gradients of a linear layer's weight and bias, if it has one.

    A product with the transpose of a matrix takes oneDNN half as long again as one without: of large ones it pays to
    transpose the smaller one before.

    Args:
        gradient: (N, O), of what the layer gave.
        rows: (N, I), what it was given.

    Returns:
        (O, I), and (O,) or None, of the same type.
    """
    outputs, inputs = gradient.shape[1], rows.shape[1]
    narrow, wide = sorted((outputs, inputs))
    if narrow >= _NARROW and outputs >= _OBLONG * inputs:
        turned = rows.new_empty(inputs + 1, len(rows) + _GAP)[:, : len(rows)]
        turned[inputs] = 1  # the bias is a weight whose input is one
        _transpose(rows, turned[:inputs])
        both = turned @ gradient  # (I + 1, N) x (N, O) -> (I + 1, O)
        of_weight = rows.new_empty(outputs, inputs)
        _transpose(both[:inputs], of_weight)
        return of_weight, both[inputs] if biased else None
    turned = gradient.t()
    if narrow >= _NARROW and inputs >= _OBLONG * outputs:
        turned = gradient.new_empty(outputs, len(rows) + _GAP)[:, : len(rows)]
        _transpose(gradient, turned)
    return turned @ rows, gradient.sum(0) if biased else None


def _transpose(matrix: Tensor, out: Tensor) -> None:
    """(R, C) -> (C, R), by products with the identity, which are exact and three times as fast as a copy."""
    identity = torch.eye(_BLOCK, dtype=matrix.dtype)
    for columns, block in zip(matrix.split(_BLOCK, 1), out.split(_BLOCK), strict=True):
        torch.mm(identity[: len(block), : len(block)], columns.t(), out=block)
