"""Products for training where a processor multiplies in tiles (AMX), much faster than it does anything else.

`native/tiles.c`, compiled when bertsmith was installed, reads each matrix as it lies, float32 or bfloat16, and either
way round: weights need no copy, gradients no transposing. Where it was not compiled, oneDNN multiplies.

Letters: M rows, K what is summed over, N columns.
"""

from __future__ import annotations

from ctypes import byref
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from bertsmith.model.activations import NUMBERS
from bertsmith.model.native import tiles as native
from bertsmith.model.native.files import TYPES, dense_one_way


@cache
def has_tiles_for(dtype: torch.dtype) -> bool:
    """Whether the processor multiplies this format in tiles, whatever code asks it to.

    By the processor and not by a measurement, so that a resumed run computes the same numbers.
    """
    return dtype == torch.bfloat16 and bool(torch.cpu.get_capabilities().get("amx_bf16"))


def can_use_tiles(dtype: torch.dtype, *given: Tensor) -> bool:
    """Whether our compiled products can multiply these tensors in a format."""
    if torch.compiler.is_compiling() or not has_tiles_for(dtype):
        return False
    return all(each.device.type == "cpu" and each.dtype in TYPES for each in given) and native.tiles() is not None


def multiply(left: Tensor, right: Tensor, *, dtype: torch.dtype, bias: Tensor | None = None) -> Tensor:
    """`left @ right + bias`; where `can_use_tiles`.

    What is float32 is rounded to bfloat16 first; sums are float32. No gradients.

    Args:
        left: (M, K), float32 or bfloat16; where neither its rows nor its columns are dense it is copied.
        right: (K, N), likewise.
        dtype: of the result: float32 or bfloat16.
        bias: (N,), float32; or None.

    Returns:
        (M, N), dense.
    """
    made = left.new_empty(left.shape[0], right.shape[1], dtype=dtype)
    if not left.shape[1]:
        return made.zero_() if bias is None else made.copy_(bias)
    if dtype == torch.float32 and bias is None and left.shape[0] < right.shape[1]:
        _run(native.AS_IT_IS, right.t(), left.t(), made.t())  # the smaller one is laid out whole
    else:
        _run(native.AS_IT_IS, left, right, made, bias=bias)
    return made


class Activated(NamedTuple):
    """What an activation makes of a product, and its derivatives; both (M, N) in bfloat16."""

    values: Tensor
    slopes: Tensor


def multiply_and_activate(left: Tensor, right: Tensor, bias: Tensor, activation: str) -> Activated:
    """The activation of `left @ right + bias`; as `multiply`."""
    made = Activated(*(left.new_empty(len(left), right.shape[1], dtype=torch.bfloat16) for _ in range(2)))
    _run(native.ACTIVATED, left, right, made.values, bias=bias, slopes=made.slopes, activation=NUMBERS[activation])
    return made


def multiply_by_slopes(left: Tensor, right: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """`(left @ right) * slopes`; as `multiply`.

    Args:
        left: (M, K).
        right: (K, N).
        slopes: (M, N), bfloat16, dense.

    Returns:
        (M, N) in bfloat16, and its sums over the rows before it was rounded, (N,) in float32.
    """
    made, totals = torch.empty_like(slopes), _totals(left, right)
    _run(native.SLOPED, left, right, made, slopes=slopes, totals=totals)
    return made, totals.sum(0)


def powers_of_product(left: Tensor, right: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Two to the power of `left @ right + bias[:, None]`; as `multiply`, but with a bias for each row, (M,).

    Returns:
        (M, N) in bfloat16, and its sums over the rows before it was rounded, (N,) in float32. A power beyond 2^126 is
        2^126, one below 2^-126 zero.
    """
    made, totals = left.new_empty(len(left), right.shape[1], dtype=torch.bfloat16), _totals(left, right)
    _run(native.POWERS, left, right, made, bias=bias, totals=totals)
    return made, totals.sum(0)


def _totals(left: Tensor, right: Tensor) -> Tensor:
    """Room for sums over the rows of each block."""
    return left.new_empty(-(-len(left) // native.BLOCK), right.shape[1], dtype=torch.float32)


def _run(
    ending: int,
    left: Tensor,
    right: Tensor,
    made: Tensor,
    *,
    bias: Tensor | None = None,
    slopes: Tensor | None = None,
    totals: Tensor | None = None,
    activation: int = 0,
) -> None:
    """`multiply_in_tiles`, which writes to `made`, and to `totals`, or the slopes of an activation."""
    left, right = dense_one_way(left), dense_one_way(right)
    code, made_in = native.tiles(), _matrix(made)
    assert code is not None
    plain = ending == native.AS_IT_IS and made.dtype == torch.float32 and bias is None
    assert plain or not made_in.turned
    (rows, inner), columns = left.shape, right.shape[1]
    assert right.shape[0] == inner > 0
    assert made.shape == (rows, columns)
    assert bias is None or (bias.dtype == torch.float32 and bias.is_contiguous())
    assert bias is None or len(bias) == (rows if ending == native.POWERS else columns)
    assert slopes is None or (slopes.shape == made.shape and slopes.dtype == torch.bfloat16)
    assert slopes is None or (slopes.is_contiguous() and made.is_contiguous())
    if not made.numel():
        return
    product = native.TileProduct(
        *(_matrix(left), _matrix(right), rows, columns, inner),
        *(made_in.values, made_in.type, made_in.stride, made_in.turned),
        *(ending, activation),
        *(None if each is None else each.data_ptr() for each in (bias, slopes, totals)),
    )
    if code.multiply_in_tiles(byref(product), torch.get_num_threads()):
        raise MemoryError(f"no memory for a product of {rows} x {inner} by {inner} x {columns}")


def _matrix(values: Tensor) -> native.Matrix:
    """As C reads it; the tensor must live as long."""
    turned = values.stride(1) != 1 and values.shape[1] > 1
    assert not turned or values.stride(0) == 1 or values.shape[0] == 1
    stride = values.stride(1) if turned else values.stride(0)
    return native.Matrix(values.data_ptr(), TYPES[values.dtype], stride, int(turned))
