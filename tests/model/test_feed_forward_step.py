"""The feed-forward in tiles is the two layers that it stands for."""

import pytest
import torch
from torch import nn

from bertsmith.model import feed_forward_step as module
from bertsmith.model.feed_forward_step import feed_forward
from bertsmith.model.linear import Linear
from bertsmith.model.tiles import can_use_tiles

needs_tiles = pytest.mark.skipif(not can_use_tiles(torch.bfloat16), reason="no compiled products in tiles")


def layers():
    torch.manual_seed(0)
    return nn.ModuleList([Linear(48, 200), Linear(200, 48)])


def numbers(pair, rows, activation="gelu"):
    pair.zero_grad()
    given = rows.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = feed_forward(*pair, given, activation)
    made.float().sin().sum().backward()
    return [made, given.grad, *(each.grad for each in pair.parameters())]


@needs_tiles
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize("shape", [(3, 25, 48), (75, 48), (1, 48)])
def test_numbers_and_gradients_are_those_of_two_layers(shape, activation, monkeypatch):
    pair, rows = layers(), torch.randn(shape)
    tiled = numbers(pair, rows, activation)
    monkeypatch.setattr(module, "can_use_tiles", lambda *given: False)
    for ours, theirs in zip(tiled, numbers(pair, rows, activation), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


@needs_tiles
def test_it_goes_in_tiles_only_where_both_layers_are_trained(monkeypatch):
    taken = []
    real = module.multiply_and_activate
    monkeypatch.setattr(module, "multiply_and_activate", lambda *given: taken.append(given) or real(*given))
    pair, rows = layers(), torch.randn(5, 48)

    def step():
        taken.clear()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            feed_forward(*pair, rows, "gelu")
        return len(taken)

    assert step() == 1
    with torch.no_grad():
        assert step() == 0
    pair[1].weight.requires_grad_(False)
    assert step() == 0
    pair.requires_grad_(True).eval()
    assert step() == 0


def test_in_float32_it_is_the_two_layers():
    pair, rows = layers(), torch.randn(7, 48)
    widened = torch.nn.functional.gelu(pair[0](rows))
    torch.testing.assert_close(feed_forward(*pair, rows, "gelu"), pair[1](widened), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_layers_of_other_types_go_the_usual_way(training):
    pair, rows = layers().double().train(training), torch.randn(7, 48).double()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        made = feed_forward(*pair, rows, "gelu")
        assert torch.equal(made, pair[1](torch.nn.functional.gelu(pair[0](rows))))
