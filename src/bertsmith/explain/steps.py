"""The encoder once more, step by step: the weights of a model, and every tensor on the way kept.

The model's own forward pass is fused and keeps nothing; this one is plain, and tested equal to it.

Letters: B rows of the batch, T tokens of a row, N heads, H head width, D hidden width, F feed-forward width, L layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from bertsmith.model.activations import ACTIVATIONS
from bertsmith.model.bert import Bert
from bertsmith.model.encoder import Embeddings, Layer
from bertsmith.model.modern_encoder import ModernEmbeddings, ModernEncoder, ModernLayer, Shared
from bertsmith.model.rotary import rotate

A = TypeVar("A")  # a tensor with B rows, or the array of one row


class EmbeddingSteps(NamedTuple, Generic[A]):
    """From tokens to what the first layer reads; (B, T, D) each.

    Attributes:
        word: the learned vectors of the WordPieces.
        segment, position: those of the segments and the places; None in ModernBERT, which has neither table.
        summed: their sum.
        normed: its LayerNorm.
    """

    word: A
    segment: A | None
    position: A | None
    summed: A
    normed: A


class LayerSteps(NamedTuple, Generic[A]):
    """One layer. BERT norms each sum; ModernBERT norms what attention and feed-forward read, and not the sums.

    Attributes:
        query, key, value: (B, N, T, H); in ModernBERT queries and keys are turned by their places already.
        scores: (B, N, T, T) Q Kᵀ / √H; -inf where a token does not see another.
        weights: (B, N, T, T) softmax of the scores; each row sums to 1.
        mixed: (B, N, T, H) weights times V, the output of each head.
        attended: (B, T, D) the heads side by side, through the output matrix.
        attention_sum: (B, T, D) that and the layer's input.
        attention_output: (B, T, D) what the feed-forward reads: LayerNorm of the sum.
        widened: (B, T, F) through the first matrix (in ModernBERT its first half).
        activated: (B, T, F) GELU of it (in ModernBERT times the gate).
        fed: (B, T, D) through the second matrix.
        fed_sum: (B, T, D) that and what was before the feed-forward.
        output: (B, T, D) what the layer gives on: in BERT LayerNorm of the sum, in ModernBERT the sum.
    """

    query: A
    key: A
    value: A
    scores: A
    weights: A
    mixed: A
    attended: A
    attention_sum: A
    attention_output: A
    widened: A
    activated: A
    fed: A
    fed_sum: A
    output: A


def embedding_steps(
    bert: Bert, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor
) -> EmbeddingSteps[Tensor]:
    """Three (B, T) -> the embeddings of the tokens."""
    table = bert.encoder.embeddings
    if isinstance(table, Embeddings):
        segment, position = table.token_type(token_type_ids), table.position(position_ids)
        return _summed(bert, table.word(input_ids), segment, position)
    return _summed(bert, table.word(input_ids), None, None)


def _summed(bert: Bert, word: Tensor, segment: Tensor | None, position: Tensor | None) -> EmbeddingSteps[Tensor]:
    summed = word if segment is None or position is None else word + segment + position
    table = bert.encoder.embeddings
    assert isinstance(table, Embeddings | ModernEmbeddings)
    return EmbeddingSteps(word, segment, position, summed, table.norm(summed))


def with_words(bert: Bert, steps: EmbeddingSteps[Tensor], word: Tensor) -> EmbeddingSteps[Tensor]:
    """The same places and segments with other vectors of words, (B, T, D)."""
    return _summed(bert, word, steps.segment, steps.position)


def layer_steps(bert: Bert, embedded: Tensor, position_ids: Tensor) -> Iterator[LayerSteps[Tensor]]:
    """Layer after layer, of rows that are one sequence each, without padding.

    Args:
        bert: in evaluation mode.
        embedded: (B, T, D), `EmbeddingSteps.normed`.
        position_ids: (B, T).
    """
    encoder, hidden = bert.encoder, embedded
    shared = encoder.shared(hidden, position_ids, None) if isinstance(encoder, ModernEncoder) else []
    for index, layer in enumerate(encoder.layers):
        if isinstance(layer, ModernLayer):
            steps = _modern_layer(layer, hidden, shared[index])
        else:
            assert isinstance(layer, Layer)
            steps = _bert_layer(layer, hidden)
        hidden = steps.output
        yield steps


def hidden_states(bert: Bert, embedded: Tensor, position_ids: Tensor) -> list[Tensor]:
    """L + 1 times (B, T, D), the embeddings first; as `encoder.hidden_states`, from embeddings of any kind."""
    states = [embedded, *(steps.output for steps in layer_steps(bert, embedded, position_ids))]
    return [*states[:-1], final(bert, states[-1])]


def final(bert: Bert, hidden: Tensor) -> Tensor:
    """What heads read of the last layer's output, (…, D) -> (…, D): ModernBERT norms it once more."""
    if not isinstance(bert.encoder, ModernEncoder):
        return hidden
    normed: Tensor = bert.encoder.final_norm(hidden)
    return normed


def _bert_layer(layer: Layer, hidden: Tensor) -> LayerSteps[Tensor]:
    attention = layer.attention
    qkv = attention.qkv(hidden).unflatten(-1, (3, attention.heads, -1))  # (B, T, D) -> (B, T, 3, N, H)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)  # 3 x (B, N, T, H)
    scores, weights, mixed = _attend(query, key, value, None)
    attended = attention.output(mixed.transpose(1, 2).flatten(2))  # (B, N, T, H) -> (B, T, D)
    attention_sum = hidden + attended
    attention_output = layer.attention_norm(attention_sum)
    widened = layer.widen(attention_output)
    activated = ACTIVATIONS[layer.activation](widened)
    fed = layer.narrow(activated)
    fed_sum = attention_output + fed
    output = layer.feed_forward_norm(fed_sum)
    seen = (query, key, value, scores, weights, mixed, attended, attention_sum, attention_output)
    return LayerSteps(*seen, widened, activated, fed, fed_sum, output)


def _modern_layer(layer: ModernLayer, hidden: Tensor, given: Shared) -> LayerSteps[Tensor]:
    attention = layer.attention
    qkv = attention.qkv(layer.attention_norm(hidden)).unflatten(-1, (3, attention.heads, -1))
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    query, key = rotate(query, given.rotary), rotate(key, given.rotary)
    scores, weights, mixed = _attend(query, key, value, given.bias())
    attended = attention.output(mixed.transpose(1, 2).flatten(2))
    attention_sum = hidden + attended
    attention_output = layer.feed_forward_norm(attention_sum)
    widened, gate = layer.widen(attention_output).chunk(2, dim=-1)
    activated = ACTIVATIONS[layer.activation](widened) * gate
    fed = layer.narrow(activated)
    fed_sum = attention_sum + fed
    seen = (query, key, value, scores, weights, mixed, attended, attention_sum, attention_output)
    return LayerSteps(*seen, widened, activated, fed, fed_sum, fed_sum)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5  # (B, N, T, H) -> (B, N, T, T)
    if bias is not None:
        scores = scores + bias
    weights = torch.softmax(scores, dim=-1)
    return scores, weights, weights @ value
