"""BERT's encoder for prediction on a processor: what `BertEncoder` computes, several times as fast.

Padding is taken out before the first layer: tokens lie in one row, linear layers see nothing else, and attention is one
product for each run of sequences of equal length. See `packed.py` for the products.

Letters: B rows of the batch, T tokens of a row, N tokens of all sequences, P wanted places, D hidden width, A heads,
H head width, S sequences of t tokens each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.config import ModelConfig
from bertsmith.model.attention import sequence_lengths
from bertsmith.model.encoder import BertEncoder, Layer, check_length
from bertsmith.model.half import hidden_dtype, prediction_linear

RUN_TOKENS = 512  # of sequences that go through attention at once: their scores stay in the cache
PLAIN_TOKENS = 32  # of a sequence, from which plain products are faster
LEAST_TOTAL = 2.0**-100  # of a row's powers: below it small ones would lose digits
LARGEST = 2.0**127  # of a number in bfloat16


class Run(NamedTuple):
    """Sequences of equal length, one after the other: S of t tokens each, from token `start` on."""

    start: int
    sequences: int
    tokens: int


class FlatEncoder(nn.Module):
    """`BertEncoder` for prediction; the same words in and out.

    Args:
        encoder: whose weights are copied, but for embeddings and LayerNorms, which are shared.
        config: its shape.
        dtype: of weights and hidden states: float32, or bfloat16, which costs three digits; or float16, of the weights
            alone, which costs four.
    """

    def __init__(self, encoder: BertEncoder, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.embeddings, self.dtype = encoder.embeddings, hidden_dtype(dtype)
        self.layers = [FlatLayer(cast(Layer, layer), config, dtype) for layer in encoder.layers]

    def forward(
        self,
        input_ids: Tensor,
        *,
        token_type_ids: Tensor,
        position_ids: Tensor,
        sequence_ids: Tensor | None,
        places: Tensor | None = None,
    ) -> Tensor:
        """As `BertEncoder.forward`, in float32; each sequence's tokens lie side by side. At padding is zero."""
        hidden, tokens, runs = self._flat(input_ids, token_type_ids, position_ids, sequence_ids)
        last = len(self.layers) - 1
        at = None if places is None else places if tokens is None else torch.searchsorted(tokens, places)
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, runs, at if index == last else None)
        return hidden.float() if places is not None else _rows(hidden, tokens, input_ids)

    def hidden_states(
        self, input_ids: Tensor, *, token_type_ids: Tensor, position_ids: Tensor, sequence_ids: Tensor | None
    ) -> list[Tensor]:
        """As `BertEncoder.hidden_states`, in float32."""
        hidden, tokens, runs = self._flat(input_ids, token_type_ids, position_ids, sequence_ids)
        states = [_rows(hidden, tokens, input_ids)]
        for layer in self.layers:
            hidden = layer(hidden, runs)
            states.append(_rows(hidden, tokens, input_ids))
        return states

    def _flat(
        self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, sequence_ids: Tensor | None
    ) -> tuple[Tensor, Tensor | None, list[Run]]:
        """The embeddings of the tokens, (N, D); their places in B * T, (N,), None if that is all; the sequences."""
        check_length(input_ids, self.embeddings.position.num_embeddings)
        ids = [each.flatten() for each in (input_ids, token_type_ids, position_ids)]  # (B, T) -> (B * T,)
        tokens, lengths = None, [input_ids.shape[1]] * len(input_ids)
        if sequence_ids is not None:
            tokens, lengths = sequence_ids.flatten().nonzero().flatten(), sequence_lengths(sequence_ids)
            ids = [each[tokens] for each in ids]  # (B * T,) -> (N,)
        return self.embeddings.of_tokens(*ids).to(self.dtype), tokens, _runs(lengths)


class FlatLayer:
    """`Layer` for prediction, over tokens without padding.

    No `nn.Module`, and it calls none: for a short text their calls cost as much as the products.
    """

    def __init__(self, layer: Layer, config: ModelConfig, dtype: torch.dtype) -> None:
        self.heads, self.activation = config.num_attention_heads, config.hidden_act
        parts = (layer.attention.qkv, layer.attention.output, layer.widen, layer.narrow)
        packed = (prediction_linear(part.weight, part.bias, dtype) for part in parts)
        self.qkv, self.output, self.widen, self.narrow = packed
        self.norms = [
            partial(
                F.layer_norm, normalized_shape=norm.normalized_shape, weight=norm.weight, bias=norm.bias, eps=norm.eps
            )
            for norm in (layer.attention_norm, layer.feed_forward_norm)
        ]

    def __call__(self, hidden: Tensor, runs: list[Run], at: Tensor | None = None) -> Tensor:
        """(N, D) -> (N, D), or (P, D) of the tokens `at`, (P,): past attention the others matter no more."""
        qkv = self.qkv.forward(hidden)
        mixed = self._attend(qkv, runs[0]) if len(runs) == 1 else torch.cat([self._attend(qkv, run) for run in runs])
        if at is not None:
            mixed, hidden = mixed[at], hidden[at]
        attended = self.norms[0](self.output.plus(mixed, hidden))
        return self.norms[1](self.narrow.plus(self.widen.forward(attended, self.activation), attended))

    def _attend(self, qkv: Tensor, run: Run) -> Tensor:
        """(N, 3 D) -> (S * t, D), the heads' outputs side by side."""
        total = run.sequences * run.tokens
        split = qkv[run.start : run.start + total].view(run.sequences, run.tokens, 3, self.heads, -1)
        heads = attention(split.permute(2, 0, 3, 1, 4))  # (S, t, 3, A, H) -> (3, S, A, t, H) -> (S, A, t, H)
        return heads.transpose(1, 2).reshape(total, -1)  # (S, A, t, H) -> (S * t, D)


def attention(heads: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √H) V, of all three: (3, S, A, t, H) -> (S, A, t, H).

    In bfloat16 by plain products, which take a third of the fused kernel's time but for very short sequences.
    """
    if heads.dtype == torch.float32 or heads.shape[-2] < PLAIN_TOKENS:
        query, keys, values = heads.unbind()
        return F.scaled_dot_product_attention(query, keys, values)
    query, keys, values = heads.contiguous().flatten(1, 2).unbind()  # (3, S, A, t, H) -> 3 x (S * A, t, H)
    # Powers of two are quick, and a row's largest score, which softmax takes off first, is seldom too large for them.
    weights = _scores(query, keys, math.log2(math.e)).exp2_()  # (S * A, t, t)
    totals = weights.sum(-1, keepdim=True)
    least, most = totals.aminmax()
    if least >= LEAST_TOTAL and most * values.abs().max() < LARGEST:
        mixed = (weights @ values).div_(totals)
    else:
        mixed = _scores(query, keys).softmax(-1) @ values
    return mixed.view(heads.shape[1:])


def _scores(query: Tensor, keys: Tensor, scale: float = 1.0) -> Tensor:
    """Q Kᵀ / √H, scaled: two (S * A, t, H) -> (S * A, t, t)."""
    return torch.baddbmm(query.new_empty(1), query, keys.mT, beta=0, alpha=scale * query.shape[-1] ** -0.5)


def _runs(lengths: Iterable[int]) -> list[Run]:
    """Neighbours of equal length together, as many as RUN_TOKENS allow."""
    runs, start = [], 0
    for length, alike in groupby(lengths):
        left, several = len(list(alike)), max(1, RUN_TOKENS // length)
        while left > 0:
            runs.append(Run(start, min(left, several), length))
            start += runs[-1].sequences * length
            left -= several
    return runs


def _rows(hidden: Tensor, tokens: Tensor | None, input_ids: Tensor) -> Tensor:
    """(N, D) -> (B, T, D) float32, zeros at padding."""
    rows = hidden.float()
    if tokens is not None:
        rows = rows.new_zeros(input_ids.numel(), rows.shape[1]).index_copy_(0, tokens, rows)
    return rows.view(*input_ids.shape, -1)
