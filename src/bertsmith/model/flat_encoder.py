"""BERT's encoder for prediction on a processor: what `BertEncoder` computes, several times as fast.

Padding is taken out before the first layer: tokens lie in one row, linear layers see nothing else, and attention is one
product for each run of sequences of equal length. See `packed.py` for the products.

Letters: B rows of the batch, T tokens of a row, N tokens of all sequences, P wanted places, D hidden width, A heads,
H head width, S sequences of t tokens each, of which p ask.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.config import ModelConfig
from bertsmith.model.encoder import BertEncoder, Layer
from bertsmith.model.flat_tokens import FlatTokens, flat_tokens
from bertsmith.model.half import hidden_dtype, prediction_linear

RUN_TOKENS = 512  # of sequences that go through attention at once: their scores stay in the cache
PLAIN_TOKENS = 32  # of a sequence, from which plain products are faster
MANY_TOKENS = 512  # of a batch, from which it pays to look whether few of them ask in the last layer
LARGEST = 2.0**127  # of a number in bfloat16
# Of a row's powers: beside it values may be millions, and down to its reciprocal no digit is lost that counts.
LARGEST_TOTAL = 2.0**100


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
        *layers, last = [cast(Layer, layer) for layer in encoder.layers]
        self.layers = [FlatLayer(layer, config, dtype) for layer in layers]
        self.last = LastLayer(last, config, dtype)

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
        tokens, hidden, runs = self._begun(input_ids, token_type_ids, position_ids, sequence_ids)
        for layer in self.layers:
            hidden = layer(hidden, runs)
        if places is None:
            return tokens.rows(self.last(hidden, runs))
        return self.last.at(hidden, runs, tokens.among(places)).float()

    def hidden_states(
        self, input_ids: Tensor, *, token_type_ids: Tensor, position_ids: Tensor, sequence_ids: Tensor | None
    ) -> list[Tensor]:
        """As `BertEncoder.hidden_states`, in float32."""
        tokens, hidden, runs = self._begun(input_ids, token_type_ids, position_ids, sequence_ids)
        states = [tokens.rows(hidden)]
        for layer in [*self.layers, self.last]:
            hidden = layer(hidden, runs)
            states.append(tokens.rows(hidden))
        return states

    def _begun(
        self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor, sequence_ids: Tensor | None
    ) -> tuple[FlatTokens, Tensor, list[Run]]:
        """Four (B, T) -> the tokens, their embeddings, (N, D), and how they go through attention."""
        longest = self.embeddings.position.num_embeddings
        tokens = flat_tokens(input_ids, token_type_ids, position_ids, sequence_ids, longest=longest)
        return tokens, self.embeddings.of_tokens(*tokens.ids).to(self.dtype), _runs(tokens.lengths)


class FlatLayer:
    """`Layer` for prediction, over tokens without padding."""

    def __init__(self, layer: Layer, config: ModelConfig, dtype: torch.dtype) -> None:
        self.heads, self.activation = config.num_attention_heads, config.hidden_act
        self.qkv = prediction_linear(*_query_key_value(layer, config, dtype), dtype)
        parts = (layer.attention.output, layer.widen, layer.narrow)
        self.output, self.widen, self.narrow = (prediction_linear(part.weight, part.bias, dtype) for part in parts)
        self.attention_norm, self.feed_forward_norm = layer.attention_norm, layer.feed_forward_norm

    def __call__(self, hidden: Tensor, runs: list[Run]) -> Tensor:
        """(N, D) -> (N, D)."""
        return self._after(self._mix(hidden, runs), hidden)

    def _mix(self, hidden: Tensor, runs: list[Run]) -> Tensor:
        """What attention finds for all tokens: (N, D) -> (N, D)."""
        query, seen = self.qkv(hidden).tensor_split([hidden.shape[1]], dim=1)  # (N, 3 D) -> (N, D), (N, 2 D)
        return self._attend(query, seen, runs)

    def _attend(self, query: Tensor, seen: Tensor, runs: list[Run], asking: int | None = None) -> Tensor:
        """What each query finds in its sequence, the heads' outputs side by side.

        Args:
            query: (n, D), of all tokens, or of so many of each sequence as are `asking`.
            seen: (N, 2 D), keys and values of all tokens.
            runs: of all sequences.
            asking: p.
        """
        found, start = [], 0
        for run in runs:
            end = start + run.sequences * (run.tokens if asking is None else asking)
            queries = query[start:end].view(run.sequences, -1, self.heads, query.shape[1] // self.heads)
            tokens = seen[run.start : run.start + run.sequences * run.tokens]
            keys_values = tokens.view(run.sequences, run.tokens, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
            heads = attention(queries.transpose(1, 2), keys_values)
            found.append(heads.transpose(1, 2).reshape(end - start, -1))  # (S, A, p, H) -> (S * p, D)
            start = end
        return found[0] if len(found) == 1 else torch.cat(found)

    def _after(self, mixed: Tensor, hidden: Tensor) -> Tensor:
        """What attention found and what the layer was given -> the layer's output: two (n, D) -> (n, D)."""
        attended = self.attention_norm(self.output.plus(mixed, hidden))
        made: Tensor = self.feed_forward_norm(self.narrow.plus(self.widen(attended, self.activation), attended))
        return made


class LastLayer(FlatLayer):
    """The last one, of which some tokens may be all that is wanted, such as each sequence's [CLS].

    For these it keeps query, key and value once more, the query apart.
    """

    def __init__(self, layer: Layer, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__(layer, config, dtype)
        (weight, bias), width = _query_key_value(layer, config, dtype), config.hidden_size
        self.query = prediction_linear(weight[:width], bias[:width], dtype)
        self.key_value = prediction_linear(weight[width:], bias[width:], dtype)

    def at(self, hidden: Tensor, runs: list[Run], at: Tensor) -> Tensor:
        """(N, D) -> (P, D) of the tokens `at`, (P,): they alone ask, and past attention the others matter no more."""
        order = _even_order(at, runs)
        if order is None:
            return self._after(self._mix(hidden, runs)[at], hidden[at])
        asking = hidden[at[order]]
        each = len(at) // sum(run.sequences for run in runs)
        made = self._after(self._attend(self.query(asking), self.key_value(hidden), runs, each), asking)
        return torch.empty_like(made).index_copy_(0, order, made)


def _even_order(at: Tensor, runs: list[Run]) -> Tensor | None:
    """What sorts these tokens, (P,), if they are few and as many of each sequence; else, or for a short text, None."""
    sequences = sum(run.sequences for run in runs)
    tokens = runs[-1].start + runs[-1].sequences * runs[-1].tokens
    if tokens < MANY_TOKENS or not 0 < 2 * len(at) <= tokens or len(at) % sequences:
        return None
    order = at.argsort()
    starts = torch.cat([torch.arange(run.sequences) * run.tokens + run.start for run in runs])
    owners = torch.searchsorted(starts, at[order], right=True) - 1
    even = torch.arange(sequences).repeat_interleave(len(at) // sequences)
    return order if torch.equal(owners, even) else None


def _query_key_value(layer: Layer, config: ModelConfig, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias, (3 D, D) and (3 D,); in bfloat16 queries come scaled, as `attention` wants them."""
    qkv, width = layer.attention.qkv, config.hidden_size
    weight, bias = qkv.weight.detach(), qkv.bias.detach()
    if dtype == torch.bfloat16:
        scale = query_scale(width // config.num_attention_heads)
        weight, bias = weight.clone(), bias.clone()
        weight[:width] *= scale
        bias[:width] *= scale
    return weight, bias


def query_scale(width: int) -> float:
    """What queries of H values are multiplied by, that their products with keys be the scores as exponents of two."""
    return math.log2(math.e) / math.sqrt(width)


def attention(query: Tensor, keys_values: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √H) V: (S, A, p, H), both of (2, S, A, t, H) -> (S, A, p, H).

    In bfloat16 queries come multiplied by `query_scale`, and products are plain ones, which take a third of the fused
    kernel's time but for very short sequences.
    """
    keys, values = keys_values.unbind()
    if query.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(query, keys, values)
    if keys.shape[-2] < PLAIN_TOKENS:
        return F.scaled_dot_product_attention(query, keys, values, scale=math.log(2))
    queries = query.flatten(0, 1)  # (S, A, p, H) -> (S * A, p, H)
    keys, values = keys_values.contiguous().flatten(1, 2).unbind()  # (2, S, A, t, H) -> 2 x (S * A, t, H)
    # Powers of two are quick, and a row's largest score, which softmax takes off first, is seldom too large for them.
    weights = torch.bmm(queries, keys.mT).exp2_()  # (S * A, p, t)
    totals = weights.sum(-1, keepdim=True)
    least, most = totals.aminmax()
    if least >= 1 / LARGEST_TOTAL and (most <= LARGEST_TOTAL or most * values.abs().max() < LARGEST):
        mixed = (weights @ values).div_(totals)
    else:
        mixed = torch.bmm(queries, keys.mT).float().mul_(math.log(2)).softmax(-1).to(values.dtype) @ values
    return mixed.view(query.shape)


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
