"""Multi-head self-attention, blind to padding and to the other sequences of a row.

Letters: B rows of the batch, T tokens of a row, N heads, H head width, D = N * H hidden width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.config import ModelConfig
from bertsmith.model.attention_step import attention_step
from bertsmith.model.dropout import dropout
from bertsmith.model.rotary import Rotary, rotate


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


def scores_dtype(hidden: Tensor) -> torch.dtype:
    """The type that attention scores of hidden states will have: autocast's where it is on."""
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype


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
        self.dropout = config.attention_probs_dropout_prob
        self.qkv = nn.Linear(width, 3 * width, bias=biased)  # query, key, value under one another: one product
        self.output = nn.Linear(width, width, bias=biased)

    def forward(
        self, hidden: Tensor, bias: Tensor | None, by: Rotary | None = None, places: Tensor | None = None
    ) -> Tensor:
        """(B, T, D), bias (B, 1, T, T) or None where every token of a row sees every other -> (B, T, D).

        With places (P,), indices into B * T, what they alone see: (P, D).
        """
        qkv = self.qkv(hidden).unflatten(-1, (3, self.heads, -1))  # (B, T, D) -> (B, T, 3, N, H)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, T, 3, N, H) -> 3 x (B, N, T, H)
        if by is not None:
            query, key = rotate(query, by), rotate(key, by)
        share = self.dropout if self.training else 0.0
        # The fused kernel's backward is slow on a CPU: a quarter of a whole bf16 step, plain products 7%.
        by_hand = hidden.device.type == "cpu" and share < 1 and (share > 0 or qkv.requires_grad)
        attend = attention_step if by_hand else F.scaled_dot_product_attention
        mixed = attend(query, key, value, bias, share)
        joined = mixed.transpose(1, 2).flatten(2)  # (B, N, T, H) -> (B, T, D)
        projected: Tensor = self.output(joined if places is None else at_places(joined, places))
        return projected


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
