"""Multi-head self-attention, blind to padding and to the other sequences of a row.

Letters: B rows of the batch, T tokens of a row, N heads, H head width, D = N * H hidden width, P places that are read.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.config import ModelConfig
from bertsmith.model.attention_step import attention_step, split_heads
from bertsmith.model.dropout import dropout
from bertsmith.model.flash import Ragged, can_use_flash, flash_attention, ragged
from bertsmith.model.linear import Linear, product_dtype
from bertsmith.model.rotary import Rotary, rotate

LONG_TOKENS = 96  # of a sequence in the mean, from which attention may go sequence by sequence
SEEN_SHARE = 0.75  # of the rows' pairs of places, below which it does: else little is saved for many small products
# Which tokens a token attends to, as one of four: a bias (B, 1, T, T) that is added to the scores; None, for all of its
# row; for FlashAttention where each sequence begins and ends; or, on a processor, the lengths of long sequences that
# lie side by side in a batch of one row without padding.
AttentionMask = Tensor | Ragged | list[int] | None


def attention_bias(sequence_ids: Tensor, dtype: torch.dtype, *, reach: int | None = None) -> Tensor:
    """What is added to the attention scores so that a token sees its own sequence only.

    Padding (id 0) sees padding: every place sees at least itself, so no softmax is over nothing.

    Args:
        sequence_ids: (B, T) int, k for the k-th sequence of a row, 0 for padding.
        dtype: that of the scores.
        reach: how many places to either side a token sees; None for all of its sequence.

    Returns:
        (B, 1, T, T): 0 where two places belong to the same sequence and are near enough, -inf elsewhere.
    """
    apart = sequence_ids[:, :, None] != sequence_ids[:, None, :]  # (B, T) -> (B, T, T)
    if reach is not None:
        places = torch.arange(sequence_ids.shape[1], device=sequence_ids.device)
        apart = apart | ((places[:, None] - places).abs() > reach)
    bias = torch.zeros(apart.shape, dtype=dtype, device=apart.device)
    return bias.masked_fill_(apart, float("-inf"))[:, None]  # (B, T, T) -> (B, 1, T, T)


def sequence_lengths(sequence_ids: Tensor) -> list[int]:
    """(B, T) -> the tokens of each sequence, in order; a sequence's lie side by side."""
    ids = sequence_ids.numpy()
    begins = np.ones(ids.shape, bool)
    begins[:, 1:] = ids[:, 1:] != ids[:, :-1]
    starts = np.flatnonzero(begins)
    lengths: list[int] = np.diff(starts, append=ids.size)[ids.flat[starts] > 0].tolist()
    return lengths


def long_sequences(sequence_ids: Tensor) -> tuple[Tensor, list[int]] | None:
    """The tokens of all sequences, (N,) indices into B * T, and the sequences' lengths, which sum to N: what is left
    of (B, T) without padding. None where they are so short, or fill the rows so well, that one call for each costs more
    than it saves.
    """
    if sequence_ids.device.type != "cpu":
        return None
    lengths = sequence_lengths(sequence_ids)
    pairs = sequence_ids.numel() * sequence_ids.shape[1]  # of places: the scores that rows as they are would have
    few = sum(length * length for length in lengths) < SEEN_SHARE * pairs
    if not few or sum(lengths) < LONG_TOKENS * len(lengths):
        return None
    return (sequence_ids.flatten() > 0).nonzero().flatten(), lengths


def attention_mask_of(
    sequence_ids: Tensor, hidden: Tensor, *, width: int, dropped: float, reach: int | None = None
) -> Tensor | Ragged:
    """That a token attends to its own sequence only; made once a forward pass.

    Args:
        sequence_ids: (B, T) int, k for the k-th sequence of a row, 0 for padding.
        hidden: hidden states, for the type that scores will have, and the device.
        width: H.
        dropped: the share of attention's weights that training drops.
        reach: how many places to either side a token sees; None for all of its sequence.
    """
    dtype = product_dtype(hidden)
    if can_use_flash(dtype, hidden.device, width=width, dropped=dropped):
        return ragged(sequence_ids)._replace(reach=-1 if reach is None else reach)
    return attention_bias(sequence_ids, dtype, reach=reach)


class SelfAttention(nn.Module):
    """softmax(Q Kᵀ / √H + bias) V for each head, then a linear layer over the joined heads.

    In ModernBERT the linear layers have no biases, and Q and K are rotated.

    Reference:
        Vaswani et al. 2017, section 3.2; Devlin et al. 2019, section 3.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, biased = config.hidden_size, config.architecture == "bert"
        self.heads = config.num_attention_heads
        self.width = width // self.heads  # H
        self.dropout = config.attention_probs_dropout_prob
        self.qkv = Linear(width, 3 * width, bias=biased)  # query, key, value under one another: one product
        self.output = Linear(width, width, bias=biased)

    def forward(
        self, hidden: Tensor, attention_mask: AttentionMask, angles: Rotary | None = None, places: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); with places (P,), indices into B * T, what they alone see: (P, D)."""
        qkv = self.qkv(hidden).unflatten(-1, (3, self.heads, -1))  # (B, T, D) -> (B, T, 3, N, H)
        if isinstance(attention_mask, list):
            joined = torch.cat([self._mix(part, None, angles) for part in qkv.split(attention_mask, dim=1)], dim=1)
        else:
            joined = self._mix(qkv, attention_mask, angles)
        projected: Tensor = self.output(joined if places is None else at_places(joined, places))
        return projected

    @property
    def dropped(self) -> float:
        """The share of the weights that is dropped now."""
        return self.dropout if self.training else 0.0

    def _by_hand(self, given: Tensor) -> bool:
        """Whether a step on a processor makes the gradients itself.

        The fused kernel's backward is slow there: a quarter of a whole bf16 step, plain products 7%.
        """
        return given.device.type == "cpu" and self.dropped < 1 and (self.dropped > 0 or given.requires_grad)

    def _mix(self, qkv: Tensor, attention_mask: Tensor | Ragged | None, angles: Rotary | None) -> Tensor:
        """(B, T, 3, N, H) -> (B, T, D), the heads' outputs side by side."""
        query, key, value = split_heads(qkv)  # (B, T, 3, N, H) -> 3 x (B, N, T, H)
        if angles is not None:
            query, key = rotate(query, angles), rotate(key, angles)
        if isinstance(attention_mask, Ragged):
            return flash_attention(query, key, value, attention_mask).transpose(1, 2).flatten(2)
        attend = attention_step if self._by_hand(qkv) else F.scaled_dot_product_attention
        mixed = attend(query, key, value, attention_mask, self.dropped)
        return mixed.transpose(1, 2).flatten(2)  # (B, N, T, H) -> (B, T, D)


def at_places(hidden: Tensor, places: Tensor) -> Tensor:
    """Some of the places of all rows: (B, T, D), (P,) indices into B * T -> (P, D)."""
    return hidden.flatten(0, 1).index_select(0, places)


def plain_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, share: float) -> Tensor:
    """The definition, which `attention_step` and `F.scaled_dot_product_attention` are tested against.

    Args:
        query, key, value: (B, N, T, H).
        bias: (B, 1, T, T), added to the scores; or None.
        share: of the attention weights to drop.

    Returns:
        (B, N, T, H).
    """
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, N, T, H) -> (B, N, T, T)
    if bias is not None:
        scores = scores + bias
    weights = dropout(scores.softmax(-1), share)
    return weights @ value  # (B, N, T, T) -> (B, N, T, H)
