"""FlashAttention's varying lengths by plain products, where there is no GPU: the same arguments, the same answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.attention import varlen


def varlen_attn(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    window_size: tuple[int, int],
) -> Tensor:
    """(B * T, N, H) -> (B * T, N, H), sequence by sequence."""
    assert cu_seq_q is cu_seq_k
    assert max_q == max_k
    assert cu_seq_q.dtype == torch.int32
    bounds, mixed = cu_seq_q.cpu().tolist(), []
    assert (bounds[0], bounds[-1]) == (0, len(query))
    left, right = (max_q if reach == -1 else reach for reach in window_size)
    for begin, end in pairwise(bounds):
        assert begin < end <= begin + max_q
        q, k, v = (each[begin:end].transpose(0, 1) for each in (query, key, value))  # (t, N, H) -> (N, t, H)
        places = torch.arange(end - begin, device=query.device)
        ahead = places[None, :] - places[:, None]
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        scores = scores.masked_fill((ahead < -left) | (ahead > right), float("-inf"))
        mixed.append((scores.softmax(-1) @ v).transpose(0, 1))
    return torch.cat(mixed)


@contextmanager
def flash_by_hand() -> Iterator[list[Tensor]]:
    """While the block runs attention goes as on a GPU, and the outputs of this module are collected."""
    made = []

    def collected(*args: Tensor, **more: tuple[int, int]) -> Tensor:
        made.append(varlen_attn(*args, **more))  # type: ignore[arg-type]
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(varlen, "varlen_attn", collected)
        patch.setattr("bertsmith.model.attention.can_use_flash", lambda *_, width, dropped: not dropped)
        yield made
