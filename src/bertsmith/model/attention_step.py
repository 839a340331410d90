"""Attention as training on a processor computes it: forward and backward by hand, with few passes over the scores.

Letters: B rows of the batch, T tokens of a row, N heads, H head width, K parts: query, key, value.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bertsmith.model.dropout import Draw
from bertsmith.model.fused_passes import can_fuse, softmax_in_place
from bertsmith.model.tiles import has_tiles_for


def attention_step(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, share: float) -> Tensor:
    """As `plain_attention`, to rounding; the bias gets no gradient.

    Args:
        query, key, value: (B, N, T, H), on a processor, of one type.
        bias: (B, 1, T, T), of that type, added to the scores; or None.
        share: of the attention weights to drop, below 1.

    Returns:
        (B, N, T, H).
    """
    mixed: Tensor = _Attention.apply(query, key, value, bias, share)  # type: ignore[no-untyped-call]
    return mixed


class _Attention(torch.autograd.Function):
    """Of (B, N, T, T) it keeps the weights before dropout and the draw, and works in place on one tensor beside them.

    Dropout's factor 1 / (1 - share) is applied to the values, which are smaller than the weights.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, share: float) -> Tensor:
        shape = query.shape
        queries, keys, values = (each.reshape(-1, *each.shape[2:]) for each in (query, key, value))  # (B * N, …, H)
        weights = _scaled(queries, keys.mT, shape[3] ** -0.5)  # (B * N, T, T)
        scores = weights.view(*shape[:2], *weights.shape[1:])  # (B * N, T, T) -> (B, N, T, T)
        if can_fuse(weights):
            softmax_in_place(scores, bias)
        else:
            torch.softmax(scores if bias is None else scores.add_(bias), -1, out=scores)
        kept, scale, dropped = None, 1.0, weights
        if share:
            kept, scale = draw = Draw.of(weights, share)
            values = values * scale
            dropped = draw.apply(weights, torch.empty_like(weights))
        ctx.shape, ctx.scale = shape, scale
        ctx.save_for_backward(queries, keys, values, weights, kept)
        return torch.bmm(dropped, values).view(shape)  # (B * N, T, H) -> (B, N, T, H)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        queries, keys, values, weights, kept = ctx.saved_tensors
        draw = None if kept is None else Draw(kept, ctx.scale)
        gradient = gradient.reshape(queries.shape)  # (B, N, T, H) -> (B * N, T, H)
        scores = torch.empty_like(weights)
        dropped = weights if draw is None else draw.apply(weights, scores)
        of_value = _by_transpose(dropped, gradient, ctx.scale)
        torch.bmm(gradient, values.mT, out=scores)  # the gradients of what dropout left, then of what it was given
        if draw is not None:
            draw.apply(scores, scores)
        torch._softmax_backward_data(scores, weights, -1, weights.dtype, grad_input=scores)
        scale = queries.shape[-1] ** -0.5
        of_query, of_key = _scaled(scores, keys, scale), _by_transpose(scores, queries, scale)
        of_query, of_key, of_value = (
            each.view(*ctx.shape[:2], *each.shape[1:]) for each in (of_query, of_key, of_value)
        )
        return of_query, of_key, of_value, None, None


def _scaled(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """Products, (B * N, …), multiplied by a number before they are rounded."""
    made = left.new_empty(len(left), left.shape[1], right.shape[2])
    return torch.baddbmm(made, left, right, beta=0, alpha=scale, out=made)


def _by_transpose(scores: Tensor, values: Tensor, scale: float) -> Tensor:
    """(B * N, T, T), (B * N, T, H) -> (B * N, T, H), scoresᵀ values.

    A product with the transpose of a large matrix is slow, but less so in tiles than to read a transposed result.
    """
    return _scaled(scores.mT, values, scale) if has_tiles_for(scores.dtype) else _scaled(values.mT, scores, scale).mT


def split_heads(qkv: Tensor) -> tuple[Tensor, ...]:
    """(B, T, K, N, H) -> K times (B, N, T, H), whose gradients are put together where the linear layer reads them."""
    parts: tuple[Tensor, ...] = _Split.apply(qkv)  # type: ignore[no-untyped-call]
    return parts


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor) -> tuple[Tensor, ...]:
        return qkv.permute(2, 0, 3, 1, 4).unbind()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return torch.stack([each.transpose(1, 2) for each in gradients], 2)  # K x (B, N, T, H) -> (B, T, K, N, H)
