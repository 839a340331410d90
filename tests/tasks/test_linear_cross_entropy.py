"""The vocabulary's product and its loss in one step: the loss and the gradients of the two steps."""

import pytest
import torch
from torch.nn import functional as F

from bertsmith.tasks import linear_cross_entropy as module
from bertsmith.tasks.linear_cross_entropy import IGNORED, linear_cross_entropy

PLACES, WIDTH, WORDS = 37, 16, 301


def operands(scale: float = 1.0):
    generator = torch.Generator().manual_seed(2)
    hidden, weight = (torch.randn(rows, WIDTH, generator=generator) * scale for rows in (PLACES, WORDS))
    bias = torch.randn(WORDS, generator=generator)
    labels = torch.randint(0, WORDS, (PLACES,), generator=generator)
    return [each.requires_grad_() for each in (hidden, weight, bias)], labels


def two_steps(hidden, weight, bias, labels):
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), labels, reduction="sum")


def loss_and_gradients(function, *, scale=1.0, bfloat16=False):
    given, labels = operands(scale)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        loss = function(*given, labels)
    (loss / PLACES).backward()
    return [loss.detach(), *(each.grad for each in given)]


@pytest.mark.parametrize("scale", [0.1, 1.0, 6.0])  # with the last, logits of hundreds: probabilities that are zero
def test_in_float32_it_is_the_two_steps(scale):
    ours, theirs = (loss_and_gradients(function, scale=scale) for function in (linear_cross_entropy, two_steps))
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


@pytest.fixture(params=[True, False], ids=["tiled", "rows"])
def tiled(request, monkeypatch):
    """With AMX and without, on any processor."""
    monkeypatch.setattr(module, "in_tiles", lambda dtype: request.param and dtype == torch.bfloat16)
    return request.param


def test_under_autocast_it_stays_near_float32_and_gradients_have_the_type_of_the_weights(tiled):
    rough = loss_and_gradients(linear_cross_entropy, bfloat16=True)
    exact = loss_and_gradients(two_steps)
    assert all(each.dtype == torch.float32 for each in rough)
    for left, right in zip(rough, exact, strict=True):
        assert (left - right).square().mean().sqrt() < 0.02 * right.square().mean().sqrt()


@pytest.mark.parametrize("shift", [0, 300, -300])  # of all logits; their powers are infinite, or all zero
def test_any_logits_are_borne_in_bfloat16(tiled, shift):
    (hidden, weight, bias), labels = operands(0.5)
    shifted = (bias + shift).detach().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, shifted, labels)
    loss.backward()
    exact, _ = operands(0.5)
    wanted = two_steps(*exact, labels)
    wanted.backward()
    near = 0.02 if shift == 0 else 0.4  # bfloat16 has steps of one or two at 300, but in what two steps would do too
    assert (loss - wanted).abs() < near * wanted
    assert (hidden.grad - exact[0].grad).norm() < 2 * near * exact[0].grad.norm()
    assert shifted.grad.isfinite().all()


def test_many_words_are_summed_up_exactly_enough(tiled):
    """A sum over thousands of words that bfloat16 alone would lose: 3,000 equal logits."""
    hidden, labels = torch.zeros(5, 16), torch.arange(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, torch.zeros(3001, 16), torch.zeros(3001), labels)
    assert loss.item() / 5 == pytest.approx(8.00670, abs=0.002 if tiled else 0.01)  # ln 3001


def test_on_a_gpu_too_the_products_are_of_one_type(monkeypatch):
    monkeypatch.setattr(module, "in_tiles", lambda dtype: False)
    softmax = torch.softmax

    def as_autocast_of_cuda(logits, axis, *, out):
        return softmax(logits.float(), axis) if torch.is_autocast_enabled("cpu") else softmax(logits, axis, out=out)

    usual = loss_and_gradients(linear_cross_entropy, bfloat16=True)
    monkeypatch.setattr(torch, "softmax", as_autocast_of_cuda)
    for left, right in zip(loss_and_gradients(linear_cross_entropy, bfloat16=True), usual, strict=True):
        assert torch.equal(left, right)


def test_nothing_to_guess_is_a_loss_of_zero(tiled):
    (hidden, weight, bias), labels = operands()
    for dtype in (torch.float32, torch.bfloat16):
        loss = linear_cross_entropy(hidden[:0].to(dtype), weight, bias, labels[:0])
        loss.backward()
        assert loss == 0
        assert not weight.grad.any()


@pytest.mark.parametrize("bfloat16", [True, False])
def test_ignored_places_have_no_loss_and_no_gradient(tiled, bfloat16):
    given, labels = operands()
    labels[[0, 7, PLACES - 1]] = IGNORED
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        loss = linear_cross_entropy(*given, labels)
    loss.backward()
    assert not given[0].grad[labels == IGNORED].any()
    kept = labels != IGNORED
    exact, _ = operands()
    wanted = two_steps(exact[0][kept], *exact[1:], labels[kept])
    wanted.backward()
    near = 0.02 if bfloat16 else 1e-5
    torch.testing.assert_close(loss, wanted, rtol=near, atol=0)
    for ours, theirs in zip(given, exact, strict=True):
        assert (ours.grad - theirs.grad).norm() <= near * theirs.grad.norm()
