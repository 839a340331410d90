"""BERT's encoder: three embeddings, then layers of self-attention and feed-forward.

Letters: B rows of the batch, T tokens of a row, D hidden width, F feed-forward width, L layers.
"""

from typing import cast

import torch
from torch import Tensor, nn

from bertsmith.config import ModelConfig
from bertsmith.errors import ShapeError
from bertsmith.model.attention import AttentionMask, SelfAttention, at_places, attention_mask_of, long_sequences
from bertsmith.model.dropout import Dropout
from bertsmith.model.feed_forward_step import feed_forward
from bertsmith.model.fused_passes import Hidden, add_norm
from bertsmith.model.linear import Linear


class BertEncoder(nn.Module):
    """Token ids -> one hidden state a token.

    Reference:
        Devlin et al. 2019, section 3; google-research/bert, `modeling.py`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(
        self,
        input_ids: Tensor,
        *,
        token_type_ids: Tensor,
        position_ids: Tensor,
        sequence_ids: Tensor | None,
        places: Tensor | None = None,
    ) -> Tensor:
        """The last layer's hidden states.

        Args:
            input_ids: (B, T) int, ids of WordPieces.
            token_type_ids: (B, T) int, 0 for segment A, 1 for segment B.
            position_ids: (B, T) int, the place of a token in its own sequence; short rows may count from a later one.
            sequence_ids: (B, T) int, k for the k-th sequence of a row, 0 for padding: a token sees only its
                own sequence. None where each row is one sequence without padding.
            places: (P,) int, the only tokens whose hidden states are wanted, as indices into B * T; None for all.

        Returns:
            (B, T, D); what stands at padding means nothing. Or (P, D), for less: past attention the last layer computes
            nothing else.

        Raises:
            ShapeError: rows longer than `max_position_embeddings`.
        """
        hidden: Tensor = self.embeddings(input_ids, token_type_ids, position_ids)  # (B, T) -> (B, T, D)
        attention_mask: AttentionMask
        if places is not None and sequence_ids is not None and (long := long_sequences(sequence_ids)):
            tokens, attention_mask = long
            hidden, places = at_places(hidden, tokens)[None], torch.searchsorted(tokens, places)
        else:
            attention_mask = self._attention_mask(sequence_ids, hidden)
        states = Hidden(hidden, hidden)
        for layer in self.layers[:-1]:
            states = layer(states, attention_mask)
        last: Hidden = self.layers[-1](states, attention_mask, places)
        return last.exact

    def hidden_states(
        self, input_ids: Tensor, *, token_type_ids: Tensor, position_ids: Tensor, sequence_ids: Tensor | None
    ) -> list[Tensor]:
        """As `forward`, but with all on the way: L + 1 times (B, T, D), first of them the embeddings."""
        states = [self.embeddings(input_ids, token_type_ids, position_ids)]
        attention_mask = self._attention_mask(sequence_ids, states[0])
        for layer in self.layers:
            states.append(layer(Hidden(states[-1], states[-1]), attention_mask).exact)
        return states

    def _attention_mask(self, sequence_ids: Tensor | None, hidden: Tensor) -> AttentionMask:
        """That of all layers."""
        if sequence_ids is None:
            return None
        attention = cast(Layer, self.layers[0]).attention
        return attention_mask_of(sequence_ids, hidden, width=attention.width, dropped=attention.dropped)


class Embeddings(nn.Module):
    """Word + segment + position, each a learned vector; LayerNorm; dropout."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word = embedding_table(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.token_type = embedding_table(config.type_vocab_size, width)
        self.position = embedding_table(config.max_position_embeddings, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor) -> Tensor:
        """Three (B, T) -> (B, T, D)."""
        check_length(input_ids, self.position.num_embeddings)
        return self.of_tokens(input_ids, token_type_ids, position_ids)

    def of_tokens(self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor) -> Tensor:
        """As `forward`, of tokens that lie anyhow: three (…) -> (…, D)."""
        summed = self.word(input_ids) + self.token_type(token_type_ids) + self.position(position_ids)
        embedded: Tensor = self.dropout(self.norm(summed))
        return embedded


def check_length(input_ids: Tensor, longest: int) -> None:
    """Raise a ShapeError where rows, (B, T), are longer than a model's positions."""
    length = input_ids.shape[1]
    if length > longest:
        raise ShapeError(
            f"rows of {length} tokens, but the model has {longest} positions (max_position_embeddings). "
            f"Cut the rows to {longest} tokens, or take a model with more positions."
        )


def embedding_table(rows: int, width: int, *, padding_idx: int | None = None) -> nn.Embedding:
    """A table of vectors without values; nn.Embedding's own draw loads torch's compiler, for two seconds."""
    return nn.Embedding(rows, width, padding_idx=padding_idx, _weight=torch.empty(rows, width))


class Layer(nn.Module):
    """Self-attention, then feed-forward; each dropped out, added to its input, normalised (post-norm)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.widen = Linear(width, config.intermediate_size)
        self.activation = config.hidden_act
        self.narrow = Linear(config.intermediate_size, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: Hidden, attention_mask: AttentionMask, places: Tensor | None = None) -> Hidden:
        """(B, T, D) -> (B, T, D); with places (P,), indices into B * T, their (P, D) alone.

        The last layer is asked for the places that are read: past attention nobody needs the others.
        """
        seen = self.dropout(self.attention(hidden.rounded, attention_mask, places=places))
        residual = hidden.exact if places is None else at_places(hidden.exact, places)
        attended = add_norm(seen, residual, self.attention_norm)
        fed = feed_forward(self.widen, self.narrow, attended.rounded, self.activation)  # (B, T, D) -> (B, T, D)
        return add_norm(self.dropout(fed), attended.exact, self.feed_forward_norm)
