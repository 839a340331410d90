"""Attention as training on a processor computes it: forward and backward by hand, with few passes over the scores.

Letters: B rows of the batch, T tokens of a row, Q of them that ask, N heads, H head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bertsmith.model.dropout import Draw


def attention_step(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, share: float) -> Tensor:
    """As `plain_attention`, to rounding; the bias gets no gradient.

    Args:
        query: (B, N, Q, H), on a processor.
        key, value: (B, N, T, H), of the same type.
        bias: (B, 1, Q, T), of that type, added to the scores; or None.
        share: of the attention weights to drop, below 1.

    Returns:
        (B, N, Q, H).
    """
    mixed: Tensor = _Attention.apply(query, key, value, bias, share)  # type: ignore[no-untyped-call]
    return mixed


class _Attention(torch.autograd.Function):
    """Of (B, N, Q, T) it keeps the weights before dropout and the draw, and works in place on one tensor beside them.

    What is dropped is scaled up at the values, which are smaller than the weights.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, share: float) -> Tensor:
        shape = query.shape
        queries, keys, values = (each.reshape(-1, *each.shape[2:]) for each in (query, key, value))  # (B * N, …, H)
        weights = queries.new_empty(len(queries), shape[2], key.shape[2])
        torch.baddbmm(weights, queries, keys.mT, beta=0, alpha=shape[3] ** -0.5, out=weights)  # (B * N, Q, T)
        if bias is not None:
            weights.view(*shape[:2], *weights.shape[1:]).add_(bias)
        torch.softmax(weights, -1, out=weights)
        ctx.draw, kept, dropped = None, None, weights
        if share:
            draw = Draw.of(weights, share)
            kept, values = draw.kept, values * draw.scale
            dropped = draw.apply(weights, torch.empty_like(weights))
            ctx.draw = draw._replace(kept=kept[:0])  # the tensor itself only where autograd can let go of it
        ctx.shape = shape
        ctx.save_for_backward(queries, keys, values, weights, kept)
        return torch.bmm(dropped, values).view(shape)  # (B * N, Q, H) -> (B, N, Q, H)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        queries, keys, values, weights, kept = ctx.saved_tensors
        draw: Draw | None = ctx.draw and ctx.draw._replace(kept=kept)
        gradient = gradient.reshape(queries.shape)  # (B, N, Q, H) -> (B * N, Q, H)
        scores = torch.empty_like(weights)
        dropped = weights if draw is None else draw.apply(weights, scores)
        # Transposed, (B * N, H, T), here and below: a product with the transpose of a large matrix is slower.
        of_value = torch.bmm(gradient.mT, dropped)
        torch.bmm(gradient, values.mT, out=scores)  # the gradients of what dropout left, then of what it was given
        if draw is not None:
            draw.apply(scores, scores)
            of_value *= draw.scale
        torch._softmax_backward_data(scores, weights, -1, weights.dtype, grad_input=scores)
        scale = queries.shape[-1] ** -0.5
        of_query = torch.bmm(scores, keys).mul_(scale)
        of_key = torch.bmm(queries.mT, scores).mul_(scale)
        of_key, of_value = (each.view(*ctx.shape[:2], *each.shape[1:]).mT for each in (of_key, of_value))
        return of_query.view(ctx.shape), of_key, of_value, None, None
