"""What a training step on a processor does between its products, fused: one pass over memory each, where torch takes
several.

`native/passes.c`, compiled when bertsmith was installed. Where it was not, on a GPU, and where no gradient is wanted,
torch's own functions do the same.

Letters: B rows of the batch, N of all places, D hidden width, F feed-forward width, A heads, Q places that ask, T that
are seen.
"""

from __future__ import annotations

from ctypes import CDLL
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bertsmith.model.activations import ACTIVATIONS, NUMBERS
from bertsmith.model.linear import Linear
from bertsmith.model.native import passes as native
from bertsmith.model.native.files import TYPES, float32_room


class Hidden(NamedTuple):
    """Hidden states between layers.

    Attributes:
        exact: (…, D), for the residual connection: float32.
        rounded: (…, D), the same in the type of the products, for the next linear layer; or `exact` itself.
    """

    exact: Tensor
    rounded: Tensor


def add_norm(values: Tensor, residual: Tensor, norm: nn.LayerNorm) -> Hidden:
    """LayerNorm of the sum of what a linear layer gave and what it was given: two (…, D) -> (…, D)."""
    if fuses(values) and residual.dtype == norm.weight.dtype == torch.float32:
        return Hidden(*_AddNorm.apply(values, residual, norm.weight, norm.bias, norm.eps))  # type: ignore[no-untyped-call]
    exact = norm(values + residual)
    return Hidden(exact, exact)


def activated(linear: Linear, rows: Tensor, activation: str) -> Tensor:
    """Through a linear layer that has a bias, and an activation: (…, D) -> (…, F). Hooks on the layer are passed by."""
    if not fuses(rows):
        return ACTIVATIONS[activation](linear(rows))
    values = linear.without_bias(rows)
    if not fuses(values):
        return ACTIVATIONS[activation](values + linear.bias.to(values.dtype))
    made: Tensor = _Activated.apply(values, linear.bias, activation)  # type: ignore[no-untyped-call]
    return made


def softmax_in_place(scores: Tensor, bias: Tensor | None) -> None:
    """The softmax of scores plus a bias, in the scores' place, outside autograd; where `can_fuse`.

    Args:
        scores: (B, A, Q, T), dense.
        bias: (B, 1, Q, T), or one of (1, 1, Q, T) for all rows of the batch; or None.
    """
    (rows, heads, asking, seen), threads = scores.shape, torch.get_num_threads()
    assert scores.is_contiguous()
    if bias is not None:
        bias = bias.to(scores.dtype).expand(-1, 1, asking, seen).contiguous()
        assert len(bias) in (1, rows)
    space = float32_room(threads, 2, seen)
    _code().softmax_rows(
        *(scores.data_ptr(), _at(bias), 0 if bias is None else len(bias), rows, heads, asking, seen),
        *(TYPES[scores.dtype], space.data_ptr(), threads),
    )


def can_fuse(values: Tensor) -> bool:
    """Whether there are compiled passes for values of this type, and where they lie."""
    if values.device.type != "cpu" or values.dtype not in TYPES or torch.compiler.is_compiling():
        return False
    return native.passes() is not None


def fuses(values: Tensor) -> bool:
    """Whether what follows these values is fused into one pass: it is there, and their gradients are wanted."""
    return values.requires_grad and can_fuse(values)


class _Activated(torch.autograd.Function):
    """The activation of (…, F) and a bias (F,). Its derivatives take the place of the values, which nobody needs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bias: Tensor, activation: str) -> Tensor:
        values = values.contiguous()
        assert values.shape[-1:] == bias.shape
        made = torch.empty_like(values)
        bias = bias.float().contiguous()
        ctx.shape = (values.numel() // len(bias), len(bias), TYPES[values.dtype])
        number, threads = NUMBERS[activation], torch.get_num_threads()
        _code().activate_rows(values.data_ptr(), bias.data_ptr(), *ctx.shape, number, made.data_ptr(), threads)
        ctx.save_for_backward(values)
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (slopes,) = ctx.saved_tensors
        gradient, of_values = gradient.contiguous(), torch.empty_like(slopes)
        sums = float32_room(native.BLOCKS, ctx.shape[1])
        _code().activate_rows_backward(
            *(gradient.data_ptr(), slopes.data_ptr(), *ctx.shape),
            *(of_values.data_ptr(), sums.data_ptr(), torch.get_num_threads()),
        )
        return of_values, sums.sum(0), None


class _AddNorm(torch.autograd.Function):
    """As `add_norm`: values, residual, and LayerNorm's weight, bias and epsilon -> `Hidden`."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        values, residual = values.contiguous(), residual.contiguous()
        assert values.shape == residual.shape
        assert values.shape[-1:] == weight.shape == bias.shape
        hidden, normal = torch.empty_like(residual), torch.empty_like(residual)
        width, rounded = len(weight), None if values.dtype == torch.float32 else torch.empty_like(values)
        ctx.shape = (values.numel() // width, width, TYPES[values.dtype])
        scales = residual.new_empty(ctx.shape[0])
        given = (values, residual, weight.contiguous(), bias.contiguous(), hidden, normal, scales, rounded)
        _code().add_norm(native.AddNorm(*map(_at, given), *ctx.shape, eps), torch.get_num_threads())
        ctx.save_for_backward(normal, scales, weight)
        ctx.set_materialize_grads(False)
        return hidden, hidden.detach() if rounded is None else rounded

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_hidden: Tensor | None, of_rounded: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, None]:
        normal, scales, weight = ctx.saved_tensors
        if of_hidden is None and of_rounded is None:
            return None, None, None, None, None
        of_residual = torch.empty_like(normal)
        of_values = None if ctx.shape[2] == 0 else torch.empty_like(normal, dtype=torch.bfloat16)
        sums = float32_room(native.BLOCKS, 2, len(weight))
        gradients = (None if each is None else each.contiguous() for each in (of_hidden, of_rounded))
        given = (*gradients, normal, scales, weight.contiguous(), of_residual, of_values, sums)
        _code().add_norm_backward(native.AddNormBackward(*map(_at, given), *ctx.shape), torch.get_num_threads())
        of_weight, of_bias = sums.sum(0)
        return of_residual if of_values is None else of_values, of_residual, of_weight, of_bias, None


def _code() -> CDLL:
    code = native.passes()
    assert code is not None  # see `can_fuse`
    return code


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
