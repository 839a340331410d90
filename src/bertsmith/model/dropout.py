"""Dropout from cheap random bits.

On a processor `F.dropout` spends its time on random numbers: one full draw a value. Sixteen bits a value are enough to
decide keep or drop, and make it about four times as fast (forward and backward).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 1 << 16  # of sixteen bits: the share is rounded to a multiple of 1/65536


def dropout(values: Tensor, share: float) -> Tensor:
    """Zero about this share of the values and scale the others up, so that the mean stays.

    Args:
        values: of any shape.
        share: 0 … 1; on a processor rounded to a multiple of 1/65536.

    Returns:
        The same shape and type. The draw depends on torch's global generator, and moves it on.
    """
    if share == 0:
        return values
    if values.device.type != "cpu" or share == 1:
        return F.dropout(values, share)
    dropped: Tensor = _BitDropout.apply(values, share)  # type: ignore[no-untyped-call]
    return dropped


class Dropout(nn.Module):
    """`dropout` while training, nothing else."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return dropout(values, self.share) if self.training else values


class Draw(NamedTuple):
    """Which of some values are dropped; drawn once, applied to the values and to their gradients.

    Attributes:
        kept: of the shape and type of the values: one where a value is kept, zero where it is dropped.
        scale: what makes up for the dropped values.
    """

    kept: Tensor
    scale: float

    @classmethod
    def of(cls, like: Tensor, share: float) -> Draw:
        """For values of this shape and type, on a processor; of the share, above 0 and below 1."""
        level = min(max(1, round(share * LEVELS)), LEVELS - 1)  # of so many patterns of bits a value is dropped
        bits = _random_bits(like.numel()).view(like.shape)
        # Compared straight into the type of the values: by way of bool it takes six times as long.
        kept = torch.ge(bits, level - LEVELS // 2, out=torch.empty(like.shape, dtype=like.dtype))
        return cls(kept, LEVELS / (LEVELS - level))

    def apply(self, values: Tensor, out: Tensor) -> Tensor:
        """Zero what is dropped, without scaling the rest, into `out`, which may be the values."""
        return torch.mul(values, self.kept, out=out)


class _BitDropout(torch.autograd.Function):
    """Values and gradients through the same draw."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, share: float) -> Tensor:
        draw = Draw.of(values, share)
        ctx.save_for_backward(draw.kept)
        ctx.scale = draw.scale
        return draw.apply(values, torch.empty_like(values)).mul_(draw.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return Draw(kept, ctx.scale).apply(gradient, torch.empty_like(gradient)).mul_(ctx.scale), None


def _random_bits(count: int) -> Tensor:
    """(count,) int16 of a fast generator that torch's seeds: recomputing under the same state draws the same."""
    seed = int(torch.randint(2**62, ()).item())
    words = np.random.SFC64(seed).random_raw((count + 3) // 4)
    return torch.from_numpy(words.view(np.int16))[:count]
