"""Attention on a GPU: the sequences of all rows go through FlashAttention side by side, each seeing itself alone.

No score between two sequences is made, and none is kept for the backward pass, where a bias would make both.

Letters: B rows of the batch, T tokens of a row, N heads, H head width, S sequences of all rows, padding being some too.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

CAPABILITY = (8, 0)  # what FlashAttention wants of a card: Ampere or later
TYPES = (torch.bfloat16, torch.float16)
WIDTH_MULTIPLE, WIDEST = 8, 256  # of a head


class Ragged(NamedTuple):
    """Who sees whom, without a bias.

    Attributes:
        begins: (S + 1,) int32, the first place of each sequence among B * T, and B * T.
        longest: no sequence has more tokens.
        reach: how many places to either side a token sees; -1 for all of its sequence.
    """

    begins: Tensor
    longest: int
    reach: int = -1


def can_use_flash(dtype: torch.dtype, device: torch.device, *, width: int, dropped: float) -> bool:
    """Whether attention may go this way: torch's varying lengths know no dropout, 16-bit numbers and some H only."""
    fits = device.type == "cuda" and dtype in TYPES and not dropped and width % WIDTH_MULTIPLE == 0 and width <= WIDEST
    return fits and torch.cuda.get_device_capability(device) >= CAPABILITY


def ragged(sequence_ids: Tensor) -> Ragged:
    """Each sequence of each row by itself, and what is left of the row as padding.

    Args:
        sequence_ids: (B, T) int, k for the k-th sequence of a row, 0 for padding.
    """
    ids, length = sequence_ids, sequence_ids.shape[1]
    new = F.pad(ids[:, 1:] != ids[:, :-1], (1, 0), value=True)  # (B, T): a row begins with a sequence
    starts = new.flatten().nonzero().flatten()
    return Ragged(F.pad(starts, (0, 1), value=ids.numel()).int(), length)


def flash_attention(query: Tensor, key: Tensor, value: Tensor, attention_mask: Ragged) -> Tensor:
    """As `plain_attention` with the bias that says the same, to rounding.

    Args:
        query, key, value: (B, N, T, H), of 16-bit numbers on a GPU.
        attention_mask: where sequences begin and end.

    Returns:
        (B, N, T, H).
    """
    from torch.nn.attention.varlen import varlen_attn

    rows, length = query.shape[0], query.shape[2]
    queries, keys, values = (each.transpose(1, 2).flatten(0, 1) for each in (query, key, value))  # (B * T, N, H)
    begins, longest, reach = attention_mask
    mixed = varlen_attn(queries, keys, values, begins, begins, longest, longest, window_size=(reach, reach))
    assert isinstance(mixed, Tensor)  # nothing else was asked for
    return mixed.view(rows, length, *mixed.shape[1:]).transpose(1, 2)  # (B * T, N, H) -> (B, N, T, H)
