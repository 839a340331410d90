"""Attention with its backward by hand is the definition, packed or not, with dropout and without."""

import pytest
import torch
from torch import Tensor

from bertsmith.model import attention_step as module
from bertsmith.model.attention import attention_bias, plain_attention
from bertsmith.model.attention_step import attention_step, split_heads
from bertsmith.model.dropout import Draw

SEQUENCES = torch.tensor([[1, 1, 1, 2, 2, 3, 0, 0, 0], [1] * 9])


def heads(dtype: torch.dtype, seed: int = 0, *, count: int = 4, tokens: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key, value (2, 4, 9, 6) as they come out of one linear layer: no view of them is contiguous."""
    draw = torch.randn(2, tokens, 3, count, 6, generator=torch.Generator().manual_seed(seed)).to(dtype)
    query, key, value = draw.permute(2, 0, 3, 1, 4).detach()
    return query.requires_grad_(), key.requires_grad_(), value.requires_grad_()


def with_gradients(attend, dtype, bias, share=0.0, seed=0) -> list[Tensor]:
    """The result and the gradients of query, key and value under one draw of dropout."""
    inputs = heads(dtype)
    torch.manual_seed(seed)
    mixed = attend(*inputs, bias, share)
    towards = torch.randn(mixed.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    return [mixed.detach(), *torch.autograd.grad(mixed, inputs, towards)]


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.float64, 1e-12), (torch.bfloat16, 0.05)])
def test_it_is_the_definition_forward_and_backward(dtype, near, tiled, masked, share, monkeypatch):
    monkeypatch.setattr(module, "has_tiles_for", lambda dtype: tiled)
    bias = attention_bias(SEQUENCES, dtype) if masked else None
    by_hand = with_gradients(attention_step, dtype, bias, share)
    for mine, right in zip(by_hand, with_gradients(plain_attention, dtype, bias, share), strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine, right, atol=near, rtol=near)


def test_bfloat16_is_as_near_to_the_truth_as_the_definition_in_bfloat16():
    truth = with_gradients(plain_attention, torch.float64, None)
    errors = {
        attend: [
            (rough.double() - right).square().mean().sqrt().item()
            for rough, right in zip(with_gradients(attend, torch.bfloat16, None), truth, strict=True)
        ]
        for attend in (attention_step, plain_attention)
    }
    for mine, plain in zip(errors[attention_step], errors[plain_attention], strict=True):
        assert mine < 1.2 * plain


def test_heads_are_split_and_their_gradients_put_together():
    qkv = torch.randn(2, 5, 3, 4, 6, dtype=torch.float64, requires_grad=True)  # (B, T, 3, N, H)
    query, _, value = split_heads(qkv)
    assert query.shape == (2, 4, 5, 6)
    assert torch.equal(value, qkv[:, :, 2].transpose(1, 2))
    assert torch.autograd.gradcheck(split_heads, [qkv])


def test_gradients_with_dropout_are_those_of_small_steps():
    inputs = heads(torch.float64, count=2, tokens=5)

    def drawn_alike(*parts: Tensor) -> Tensor:
        torch.manual_seed(3)
        return attention_step(*parts, None, 0.4)

    assert torch.autograd.gradcheck(drawn_alike, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_its_share_of_the_weights_is_dropped_and_the_mean_kept(dtype):
    torch.manual_seed(0)
    query = key = torch.zeros(8, 4, 50, 50, dtype=dtype)  # every weight is 1 / 50
    value = torch.eye(50, dtype=dtype).expand(8, 4, 50, 50)  # so that the result is the weights
    weights = attention_step(query, key, value, None, 0.3).float()
    assert (weights == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)  # 80,000 draws: 6 sigma
    assert weights.sum(-1).mean().item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("share", [1 / 65536, 0.1, 0.498, 0.5, 0.501, 0.9, 0.9961, 0.999])
def test_of_all_patterns_of_bits_exactly_the_share_is_dropped(share, monkeypatch):
    patterns = torch.arange(-32768, 32768).to(torch.int16)
    monkeypatch.setattr("bertsmith.model.dropout._random_bits", lambda count: patterns)
    for dtype in (torch.bfloat16, torch.float32):
        ones = torch.ones(65536, dtype=dtype)
        draw = Draw.of(ones, share)
        dropped = int((draw.apply(ones, torch.empty_like(ones)) == 0).sum())
        assert dropped == max(1, round(share * 65536))
        assert draw.scale == 65536 / (65536 - dropped)
