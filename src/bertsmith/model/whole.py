"""Products of whole numbers, for training on a processor that multiplies no 16-bit floats fast.

Such a processor still multiplies whole numbers of 16 bits one and a half times as fast as float32. `native/whole.c`,
compiled when bertsmith was installed, takes matrices of float32 as they lie, rounds them to whole numbers with a scale
for each 256 that are summed, and gives float32: of the largest of each group twelve bits are kept, where bfloat16 keeps
eight of each number. So what is a thousandth of the largest in its group keeps two.

Letters: M rows, K what is summed over, N columns, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ctypes import byref
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bertsmith.model.native import whole as native
from bertsmith.model.native.files import dense_one_way

_wanted = ContextVar("whole products", default=False)


def can_multiply_whole(device: torch.device) -> bool:
    """Whether there are such products for tensors on a device."""
    return device.type == "cpu" and native.whole() is not None


@contextmanager
def whole_products(wanted: bool) -> Iterator[None]:
    """What is trained within has them in its linear layers and a vocabulary's loss, forward and backward."""
    before = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(before)


def wants_whole(*given: Tensor) -> bool:
    """Whether these tensors are to be multiplied so here."""
    if torch.compiler.is_compiling() or not _wanted.get():
        return False
    return all(each.dtype == torch.float32 and can_multiply_whole(each.device) for each in given)


def multiply_whole(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """`left @ right + bias`, to about four digits of the largest summand. No gradients.

    Args:
        left: (M, K), float32; where neither its rows nor its columns are dense it is copied.
        right: (K, N), likewise.
        bias: (N,), float32; or None.

    Returns:
        (M, N), dense.

    Raises:
        MemoryError: there is none for the whole numbers.
    """
    left, right = dense_one_way(left), dense_one_way(right.t()).t()
    (rows, inner), columns, code = left.shape, right.shape[1], native.whole()
    assert code is not None
    assert right.shape[0] == inner
    assert {left.dtype, right.dtype} | ({bias.dtype} if bias is not None else set()) == {torch.float32}
    made = left.new_empty(rows, columns)
    if not made.numel() or not inner:
        return made.zero_() if bias is None else made.copy_(bias)
    bias = None if bias is None else bias.contiguous()
    assert bias is None or bias.shape == (columns,)
    product = native.WholeProduct(
        *(native.Matrix(left.data_ptr(), *_steps(left)), native.Matrix(right.data_ptr(), *_steps(right.t()))),
        *(rows, columns, inner),
        *(None if bias is None else bias.data_ptr(), made.data_ptr()),
    )
    if code.multiply_whole_matrices(byref(product), torch.get_num_threads()):
        raise MemoryError(f"no memory for a product of {rows} x {inner} by {inner} x {columns}")
    return made


def whole_linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear` with such products, also for its gradients: (N, I), (O, I), (O,) -> (N, O)."""
    made: Tensor = _WholeLinear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return made


class _WholeLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return multiply_whole(rows, weight.t(), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        of_rows = multiply_whole(gradient, weight) if ctx.needs_input_grad[0] else None  # (N, O) x (O, I) -> (N, I)
        of_weight = multiply_whole(gradient.t(), rows) if ctx.needs_input_grad[1] else None
        return of_rows, of_weight, gradient.sum(0) if ctx.needs_input_grad[2] else None


def _steps(values: Tensor) -> tuple[int, int]:
    """From row to row, and along a row; one of both is 1, also of one number alone, whose steps may be any."""
    step, inner_step = values.stride()
    return (step, inner_step) if inner_step == 1 or step == 1 else (step, 1)
