"""Linear layers for training on a processor, by oneDNN's products; in tiles by our own, see `model/tiles.py`.

What `F.linear` calls writes the bias into the result first and reads it again while multiplying; oneDNN has a bias of
its own. And in float32 it calls MKL, which on AMD leaves AVX512 alone, and is the faster one without. torch has both
products for its compiler.

Letters: N tokens, I inputs, O outputs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from bertsmith.model.packed import mkl_is_faster
from bertsmith.model.tiles import can_use_tiles, multiply
from bertsmith.model.whole import multiply_whole, wants_whole, whole_linear

# Outputs that MKL is asked for at once, with AVX2 alone: for a whole vocabulary at once it takes a third longer there,
# see bench/RESULTS.md.
_RUN = 512


class Linear(nn.Linear):
    """`nn.Linear`, faster in training mode; else it is no other, and gives bit for bit the same."""

    def forward(self, rows: Tensor) -> Tensor:
        """(…, I) -> (…, O), in autocast's type where it is on."""
        return self._product(rows, self.bias)

    def without_bias(self, rows: Tensor) -> Tensor:
        """As `forward`, for what adds the bias itself."""
        return self._product(rows, None)

    @property
    def is_trained(self) -> bool:
        """Whether a gradient of its weight is wanted."""
        return self.training and self.weight.requires_grad and torch.is_grad_enabled()

    def _product(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        dtype = product_dtype(rows)
        whole = self.is_trained and dtype == torch.float32 and wants_whole(rows, self.weight)
        if not (whole or (self.is_trained and rows.device.type == "cpu" and _one_dnn_is_faster(dtype))):
            return F.linear(rows, self.weight, bias)
        flat = rows.to(dtype).contiguous().flatten(0, -2)  # (…, I) -> (N, I)
        made: Tensor = (whole_linear if whole else _linear)(flat, self.weight, bias)
        return made.view(*rows.shape[:-1], self.out_features)


def product_dtype(values: Tensor) -> torch.dtype:
    """The type of what products make of these values: autocast's where it is on, else their own."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype


def linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`F.linear` by the faster library, all of one type; for use inside `autograd.Function`.

    Args:
        rows: (N, I).
        weight: (O, I); a whole vocabulary, mostly.
        bias: (O,).

    Returns:
        (N, O).
    """
    if wants_whole(rows, weight):
        return multiply_whole(rows, weight.t(), bias)
    if rows.device.type == "cpu" and _one_dnn_is_faster(rows.dtype):
        return _one_dnn(_dense(rows), weight, bias)
    if rows.device.type != "cpu" or not mkl_is_faster(rows.dtype):
        return F.linear(rows, weight, bias)
    made = rows.new_empty(len(rows), len(weight))
    for columns, *of_run in zip(*(torch.split(each, _RUN) for each in (made.t(), weight, bias)), strict=True):
        columns.t().copy_(F.linear(rows, *of_run))
    return made


def product(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right` of matrices, by the faster library; for use inside `autograd.Function`."""
    if can_use_tiles(left.dtype, left, right):
        return multiply(left, right, dtype=left.dtype)
    if left.device.type == "cpu" and left.dtype == torch.float32 and _one_dnn_is_faster(torch.float32):
        return _one_dnn(_dense(left), _dense(right).t(), None)
    return left @ right


def _dense(matrix: Tensor) -> Tensor:
    """Without gaps between rows or columns: for others oneDNN has one that takes a thousand times as long."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def _linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    made: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return made


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.weight_dtype = weight.dtype
        if can_use_tiles(rows.dtype, rows, weight):
            ctx.save_for_backward(rows, weight)
            biases = None if bias is None else bias.float()
            return multiply(rows, weight.t(), dtype=rows.dtype, bias=biases)
        cast = weight.to(rows.dtype)
        ctx.save_for_backward(rows, cast)
        return _one_dnn(rows, cast, None if bias is None else bias.to(rows.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        rows, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        with torch.autocast("cpu", enabled=False):
            of_rows = product(gradient, weight) if ctx.needs_input_grad[0] else None  # (N, O) x (O, I) -> (N, I)
            of_weight = gradient_of_weight(gradient, rows, ctx.weight_dtype)
            of_bias = gradient.sum(0).to(ctx.weight_dtype) if ctx.needs_input_grad[2] else None
        return of_rows, of_weight, of_bias


def gradient_of_weight(gradient: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """A linear layer's, from (N, O), that of what it gave, and (N, I), what it was given: (O, I) of a type."""
    if can_use_tiles(rows.dtype, rows, gradient) and dtype == torch.float32:
        return multiply(gradient.t(), rows, dtype=dtype)
    return product(gradient.t(), rows).to(dtype)


def _one_dnn(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, I), (O, I), (O,) -> (N, O)."""
    made: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return made


@cache
def _one_dnn_is_faster(dtype: torch.dtype) -> bool:
    """Whether oneDNN's product is there for a format, and the faster one.

    It is tried, since it is no public part of torch. For float32 the processor decides and not a measurement, so that a
    resumed run computes the same numbers.
    """
    if dtype == torch.float32 and not _has_amd_avx512():
        return False
    try:
        rows = torch.ones(16, 16, dtype=dtype, device="cpu")
        _one_dnn(rows, rows, rows[0])
    except (AttributeError, RuntimeError):  # a torch without oneDNN, or a processor or a type that it does not know
        return False
    return True


def _has_amd_avx512() -> bool:
    processor = torch.cpu.get_capabilities()
    return "AMD" in processor.get("cpu_name", "") and bool(processor.get("avx512_f"))
