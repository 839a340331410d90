"""ModernBERT's encoder: rotary positions, pre-norm layers, gated feed-forward, most attention local, no biases.

Letters: B rows of the batch, T tokens of a row, D hidden width, F feed-forward width, L layers.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from bertsmith.config import ModelConfig
from bertsmith.model.activations import ACTIVATIONS
from bertsmith.model.attention import AttentionMask, SelfAttention, at_places, attention_mask_of
from bertsmith.model.dropout import Dropout
from bertsmith.model.encoder import check_length, embedding_table
from bertsmith.model.linear import Linear, product_dtype
from bertsmith.model.rotary import Rotary, rotary


class Shared(NamedTuple):
    """What all layers of a kind share in a forward pass: the attention mask, and the angles of the places."""

    attention_mask: AttentionMask
    rotary: Rotary

    def bias(self) -> Tensor | None:
        """The attention mask, where it is a bias or None: wherever torch's plain products compute."""
        assert self.attention_mask is None or isinstance(self.attention_mask, Tensor)
        return self.attention_mask


class ModernEncoder(nn.Module):
    """Token ids -> one hidden state a token, as `BertEncoder` and with the same arguments.

    There are no segments, so `token_type_ids` change nothing. Positions need no table; rows are bounded by
    `max_position_embeddings` all the same, the longest ones that the model is meant for.

    Reference:
        Warner et al. 2024, "Smarter, Better, Faster, Longer", section 2.1; Hugging Face, `modeling_modernbert.py`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = ModernEmbeddings(config)
        self.layers = nn.ModuleList(ModernLayer(config, first=not index) for index in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)

    def forward(
        self,
        input_ids: Tensor,
        *,
        token_type_ids: Tensor,
        position_ids: Tensor,
        sequence_ids: Tensor | None,
        places: Tensor | None = None,
    ) -> Tensor:
        """The hidden states after the last layer and the final norm, (B, T, D), or those of the places only, (P, D).

        `BertEncoder.forward` says what the arguments are.
        """
        hidden: Tensor = self.embeddings(input_ids)  # (B, T) -> (B, T, D)
        *shared, of_last = self.shared(hidden, position_ids, sequence_ids)
        for layer, given in zip(self.layers[:-1], shared, strict=True):
            hidden = layer(hidden, *given)
        normed: Tensor = self.final_norm(self.layers[-1](hidden, *of_last, places))
        return normed

    def hidden_states(
        self, input_ids: Tensor, *, token_type_ids: Tensor, position_ids: Tensor, sequence_ids: Tensor | None
    ) -> list[Tensor]:
        """As `forward`, but with all on the way: L + 1 times (B, T, D), the embeddings first; the last is normed."""
        states = [self.embeddings(input_ids)]
        for layer, given in zip(self.layers, self.shared(states[0], position_ids, sequence_ids), strict=True):
            states.append(layer(states[-1], *given))
        return [*states[:-1], self.final_norm(states[-1])]

    def shared(self, hidden: Tensor, position_ids: Tensor, sequence_ids: Tensor | None) -> list[Shared]:
        """What each layer is given with a batch; made once a forward pass, and the same for all layers of a kind."""
        config, dtype, length = self.config, product_dtype(hidden), hidden.shape[1]
        attention, reach = cast(ModernLayer, self.layers[0]).attention, config.local_attention // 2
        width, dropped = attention.width, attention.dropped
        everywhere: AttentionMask = None
        if sequence_ids is not None:
            everywhere = attention_mask_of(sequence_ids, hidden, width=width, dropped=dropped)
        near = everywhere
        if torch.compiler.is_exporting() or length > reach + 1:  # else every place of a row is near
            alone = torch.ones_like(position_ids[:1]) if sequence_ids is None else sequence_ids
            near = attention_mask_of(alone, hidden, width=width, dropped=dropped, reach=reach)
        of_global = Shared(everywhere, rotary(position_ids, width, theta=config.global_rope_theta, dtype=dtype))
        of_local = Shared(near, rotary(position_ids, width, theta=config.local_rope_theta, dtype=dtype))
        every = config.global_attn_every_n_layers
        return [of_local if index % every else of_global for index in range(len(self.layers))]


class ModernEmbeddings(nn.Module):
    """A learned vector a word; LayerNorm; dropout."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.longest = config.max_position_embeddings
        self.word = embedding_table(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, D)."""
        check_length(input_ids, self.longest)
        embedded: Tensor = self.dropout(self.norm(self.word(input_ids)))
        return embedded


class ModernLayer(nn.Module):
    """Self-attention, then a gated feed-forward; each reads its normed input and is added to it (pre-norm)."""

    def __init__(self, config: ModelConfig, *, first: bool) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        # What the first layer reads was normed with the embeddings.
        self.attention_norm = nn.Identity() if first else nn.LayerNorm(width, eps=config.layer_norm_eps, bias=False)
        self.attention = SelfAttention(config)
        self.attention_dropout = Dropout(config.attention_probs_dropout_prob)
        self.feed_forward_norm = nn.LayerNorm(width, eps=config.layer_norm_eps, bias=False)
        self.widen = Linear(width, 2 * inner, bias=False)  # what is gated and its gate, under one another
        self.activation = config.hidden_act
        self.narrow = Linear(inner, width, bias=False)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(
        self, hidden: Tensor, attention_mask: AttentionMask, angles: Rotary, places: Tensor | None = None
    ) -> Tensor:
        """(B, T, D), the attention mask, the angles -> (B, T, D); or (P, D), as in `Layer` of BERT."""
        seen = self.attention_dropout(self.attention(self.attention_norm(hidden), attention_mask, angles, places))
        hidden = seen + (hidden if places is None else at_places(hidden, places))
        gated, gate = self.widen(self.feed_forward_norm(hidden)).chunk(2, dim=-1)  # (B, T, D) -> 2 x (B, T, F)
        fed: Tensor = self.narrow(self.dropout(ACTIVATIONS[self.activation](gated) * gate))  # (B, T, F) -> (B, T, D)
        return hidden + fed
