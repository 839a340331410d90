"""The vocabulary's product and its loss in one step: the loss and the gradients of the two steps."""

import pytest
import torch
from torch.nn import functional as F

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


def test_under_autocast_it_stays_near_float32_and_gradients_have_the_type_of_the_weights():
    rough = loss_and_gradients(linear_cross_entropy, bfloat16=True)
    exact = loss_and_gradients(two_steps)
    assert all(each.dtype == torch.float32 for each in rough)
    for left, right in zip(rough, exact, strict=True):
        assert (left - right).square().mean().sqrt() < 0.02 * right.square().mean().sqrt()


def test_on_a_gpu_too_the_products_are_of_one_type(monkeypatch):
    softmax = torch.softmax

    def as_autocast_of_cuda(logits, axis, *, out):
        return softmax(logits.float(), axis) if torch.is_autocast_enabled("cpu") else softmax(logits, axis, out=out)

    usual = loss_and_gradients(linear_cross_entropy, bfloat16=True)
    monkeypatch.setattr(torch, "softmax", as_autocast_of_cuda)
    for left, right in zip(loss_and_gradients(linear_cross_entropy, bfloat16=True), usual, strict=True):
        assert torch.equal(left, right)


def test_nothing_to_guess_is_a_loss_of_zero():
    (hidden, weight, bias), labels = operands()
    assert linear_cross_entropy(hidden[:0], weight, bias, labels[:0]) == 0


def test_ignored_places_have_no_loss_and_no_gradient():
    given, labels = operands()
    labels[[0, 7, PLACES - 1]] = IGNORED
    loss = linear_cross_entropy(*given, labels)
    loss.backward()
    kept = labels != IGNORED
    exact, _ = operands()
    wanted = two_steps(exact[0][kept], *exact[1:], labels[kept])
    wanted.backward()
    torch.testing.assert_close(loss, wanted)
    for ours, theirs in zip(given, exact, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
