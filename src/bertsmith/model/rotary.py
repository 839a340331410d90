"""Rotary positions: queries and keys are turned by an angle that grows with their place.

A score then depends on how far apart two places are, not on where they stand.

Letters: B rows of the batch, T tokens of a row, N heads, H head width.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Rotary(NamedTuple):
    """The angles of a batch's places.

    Attributes:
        cosine, sine: (B, 1, T, H); a value's partner stands half a head further on, round the head's end. The sine
            is that of the partner's share: negative in the first half.
    """

    cosine: Tensor
    sine: Tensor


def rotary(position_ids: Tensor, width: int, *, theta: float, dtype: torch.dtype) -> Rotary:
    """The table of a batch; the H / 2 pairs of a head turn with wavelengths from 2π to nearly 2π · theta.

    Args:
        position_ids: (B, T) int, the place of a token in its own sequence.
        width: H, even.
        theta: the base of the wavelengths.
        dtype: that of queries and keys.

    Reference:
        Su et al. 2021, "RoFormer", section 3.4.2; the pairing is that of Hugging Face's `rotate_half`.
    """
    share = torch.arange(0, width, 2, dtype=torch.float32, device=position_ids.device) / width
    angles = position_ids[:, None, :, None] * (1.0 / theta**share)  # (B, T) -> (B, 1, T, H / 2), float32
    cosine, sine = angles.cos().to(dtype), angles.sin().to(dtype)
    return Rotary(torch.cat((cosine, cosine), -1), torch.cat((-sine, sine), -1))


def rotate(values: Tensor, angles: Rotary) -> Tensor:
    """Queries or keys, (B, N, T, H), turned by the angles of their places."""
    turned: Tensor = _Turn.apply(values, *angles)  # type: ignore[no-untyped-call]
    return turned


class _Turn(torch.autograd.Function):
    """Two passes over the values and nothing kept of them; the gradient is turned back. Autograd would need twice."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _turn(values, cosine, sine)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return _turn(gradient, cosine, -sine), None, None


def _turn(values: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    partners = values.roll(values.shape[-1] // 2, -1)
    return torch.addcmul(values * cosine, partners, sine)
