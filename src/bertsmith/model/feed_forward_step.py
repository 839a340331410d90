"""BERT's feed-forward as training computes it where a processor multiplies in tiles: activation, bias and the gradients
of both are made while the products that they belong to are written.

Letters: N tokens, D hidden width, F feed-forward width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bertsmith.model.fused_passes import activated
from bertsmith.model.linear import Linear, gradient_of_weight, product_dtype
from bertsmith.model.tiles import can_use_tiles, multiply, multiply_and_activate, multiply_by_slopes


def feed_forward(widen: Linear, narrow: Linear, rows: Tensor, activation: str) -> Tensor:
    """`narrow(activation(widen(rows)))`: (…, D) -> (…, F) -> (…, D). In tiles hooks on the layers are passed by.

    Args:
        widen: D -> F, with a bias; where nothing is trained another layer may stand in its place.
        narrow: F -> D, likewise.
        rows: (…, D).
        activation: by its name.
    """
    dtype = product_dtype(rows)
    trained = all(isinstance(layer, Linear) and layer.is_trained for layer in (widen, narrow))
    if not (trained and can_use_tiles(dtype, rows, widen.weight, narrow.weight)):
        plain: Tensor = narrow(activated(widen, rows, activation))
        return plain
    of_both = (widen.weight, widen.bias, narrow.weight, narrow.bias)
    flat = rows.to(dtype).contiguous().flatten(0, -2)  # (…, D) -> (N, D)
    made: Tensor = _FeedForward.apply(flat, *of_both, activation)  # type: ignore[no-untyped-call]
    return made.view(rows.shape)


class _FeedForward(torch.autograd.Function):
    """As `feed_forward`; between the products only what was activated is kept, and the activation's derivatives."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, widen: Tensor, of_widen: Tensor, narrow: Tensor, of_narrow: Tensor, activation: str
    ) -> Tensor:
        inner = multiply_and_activate(rows, widen.t(), of_widen.float(), activation)
        ctx.save_for_backward(rows, widen, narrow, *inner)
        return multiply(inner.values, narrow.t(), dtype=rows.dtype, bias=of_narrow.float())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor, Tensor, None]:
        rows, widen, narrow, values, slopes = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_narrow = gradient_of_weight(gradient, values, narrow.dtype)
        of_inner, of_bias = multiply_by_slopes(gradient, narrow, slopes)
        of_widen = gradient_of_weight(of_inner, rows, widen.dtype)
        of_rows = multiply(of_inner, widen, dtype=rows.dtype) if ctx.needs_input_grad[0] else None
        return of_rows, of_widen, of_bias.to(widen.dtype), of_narrow, gradient.sum(0).to(narrow.dtype), None
