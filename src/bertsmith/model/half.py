"""Linear layers for prediction with weights in float16, all else in float32: of the product with the vocabulary beside
16 bits; with AVX2 alone of ModernBERT, and of BERT where nothing was compiled.

A short text's time goes into reading weights. FBGEMM's product reads half the bytes and widens them on the way. For
many tokens it is as fast as others where there is AVX2 alone; with AVX512 up to some sixteen. A weight keeps eleven
bits, where bfloat16 keeps eight. torch has it for its quantisation.

Letters: I inputs, O outputs.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.model.packed import After, PackedLinear, activate

_LARGEST = 65504.0  # of float16


class HalfLinear(nn.Module):
    """`nn.Linear` for prediction; its weight is a copy in float16.

    Args:
        weight: (O, I), of finite values up to 65,504; it stays as it is.
        bias: (O,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        exact = None if bias is None else bias.detach().float()
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight.detach().float().contiguous(), exact)

    def forward(self, rows: Tensor, after: After = "none") -> Tensor:
        """(…, I) -> (…, O) in float32, the product and an activation."""
        made: Tensor = torch.ops.quantized.linear_dynamic_fp16(rows.contiguous(), self.packed)
        return activate(made, after)

    def plus(self, rows: Tensor, residual: Tensor) -> Tensor:
        """(…, I), (…, O) -> (…, O), the product and a residual."""
        return self.forward(rows).add_(residual)


def fits_half(weight: Tensor) -> bool:
    """Whether float16 can hold each of its values."""
    return bool(weight.detach().abs().max() <= _LARGEST)


def prediction_linear(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> PackedLinear | HalfLinear:
    """The linear layer for a format: in float16 one of half weights, if the values are not too large for it."""
    assert dtype != torch.int16, "which `NativeEncoder` alone has"
    if dtype != torch.float16:
        return PackedLinear(weight, bias, dtype)
    return HalfLinear(weight, bias) if fits_half(weight) else PackedLinear(weight, bias, torch.float32)


def hidden_dtype(dtype: torch.dtype) -> torch.dtype:
    """The format of hidden states beside weights in another: float32 beside those of 16 bits for processors."""
    return torch.float32 if dtype in (torch.float16, torch.int16) else dtype


@cache
def can_halve() -> bool:
    """Whether torch has this product on this machine: tried, since it is no public part of it."""
    weight = torch.eye(16, dtype=torch.float32, device="cpu")  # whatever torch's defaults are
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            return torch.equal(HalfLinear(weight, weight[0])(weight), F.linear(weight, weight, weight[0]))
    except (AttributeError, RuntimeError):  # a torch without FBGEMM, or another kind of processor
        return False
