"""Dropout from cheap bits: the right share, the mean kept, the same in both directions, seeded by torch."""

import pytest
import torch

from bertsmith.model.dropout import Dropout, dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_about_the_share_is_dropped_and_the_rest_scaled(share):
    torch.manual_seed(0)
    dropped = dropout(torch.ones(100_000), share)
    kept = dropped[dropped != 0]
    assert len(kept) / 100_000 == pytest.approx(1 - share, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01 / (1 - share))
    assert kept.unique().numel() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_is_dropped_where_the_value_was(dtype):
    torch.manual_seed(0)
    values = torch.ones(1000, dtype=dtype, requires_grad=True)
    dropped = dropout(values, 0.3)
    dropped.sum().backward()
    assert dropped.dtype == dtype
    assert torch.equal(values.grad, dropped.detach())


def test_the_draw_is_that_of_torchs_seed_and_moves_on():
    torch.manual_seed(7)
    first, second = dropout(torch.ones(1000), 0.5), dropout(torch.ones(1000), 0.5)
    torch.manual_seed(7)
    assert torch.equal(dropout(torch.ones(1000), 0.5), first)
    assert not torch.equal(first, second)
    agree = ((first > 0) == (second > 0)).float().mean().item()
    assert agree == pytest.approx(0.5, abs=0.06)


def test_neighbouring_values_are_dropped_independently():
    torch.manual_seed(0)
    kept = (dropout(torch.ones(200_000), 0.5) > 0).float()
    for distance in (1, 2, 7, 8, 64):
        both = (kept[:-distance] * kept[distance:]).mean().item()
        assert both == pytest.approx(0.25, abs=0.01)


def test_the_ends_of_the_range():
    values = torch.ones(100)
    assert torch.equal(dropout(values, 0.0), values)
    assert not dropout(values, 1.0).any()
    assert dropout(values, 1e-6).sum() > 0
    layer = Dropout(0.5)
    assert torch.equal(layer.eval()(values), values)
    assert not torch.equal(layer.train()(values), values)
