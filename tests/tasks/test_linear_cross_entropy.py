"""The vocabulary's product and its loss in one step: the loss and the gradients of the two steps."""

import pytest
import torch
from torch.nn import functional as F

from bertsmith.model.tiles import can_use_tiles
from bertsmith.model.whole import whole_products
from bertsmith.tasks import linear_cross_entropy as module
from bertsmith.tasks.linear_cross_entropy import IGNORED, linear_cross_entropy
from marks import needs_whole

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


@needs_whole
@pytest.mark.parametrize("scale", [0.1, 1.0, 6.0])
def test_in_whole_numbers_it_stays_near_float32(scale):
    exact = loss_and_gradients(two_steps, scale=scale)
    with whole_products(True):
        given, labels = operands(scale)
        loss = linear_cross_entropy(*given, labels)
    (loss / PLACES).backward()  # as it was asked for, wherever the backward pass is
    for ours, theirs in zip([loss.detach(), *(each.grad for each in given)], exact, strict=True):
        assert not torch.equal(ours, theirs)
        near = 1e-3 if scale < 6 else 0.02  # logits of hundreds
        assert (ours - theirs).norm() < near * theirs.norm()


@needs_whole
def test_whole_numbers_leave_the_likely_and_the_label_their_digits():
    """The label's share is -0.99, those of the others in its group are thousands of times smaller."""
    hidden, labels = torch.ones(2, 16), torch.tensor([3, 4])
    found = []
    for whole in (True, False):
        weight, bias = torch.zeros(6000, 16, requires_grad=True), torch.zeros(6000)
        with whole_products(whole):
            linear_cross_entropy(hidden, weight, bias, labels).backward()
        found.append(weight.grad)
    torch.testing.assert_close(found[0], found[1], rtol=5e-3, atol=1e-7)


@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("int16", marks=needs_whole)])
def test_a_word_that_is_right_a_thousand_times_is_counted_so_often(precision):
    """One added after another in bfloat16, a sum stops growing at 256."""
    labels = torch.zeros(3000, dtype=torch.int64)
    labels[:1000] = torch.randint(1, 300, (1000,), generator=torch.Generator().manual_seed(0))
    bias = torch.zeros(300, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"), whole_products(precision == "int16"):
        linear_cross_entropy(torch.randn(3000, 16), torch.zeros(300, 16), bias, labels).backward()
    assert bias.grad[0].item() == pytest.approx(3000 / 300 - 2000, rel=0.01)


@pytest.fixture(params=[True, False], ids=["tiled", "rows"])
def tiled(request, monkeypatch):
    """With AMX and without."""
    if not request.param:
        monkeypatch.setattr(module, "can_use_tiles", lambda *given: False)
    elif not can_use_tiles(torch.bfloat16):
        pytest.skip("no compiled products in tiles here")
    return request.param


def test_under_autocast_it_stays_near_float32_and_gradients_have_the_type_of_the_weights(tiled):
    rough = loss_and_gradients(linear_cross_entropy, bfloat16=True)
    exact = loss_and_gradients(two_steps)
    assert all(each.dtype == torch.float32 for each in rough)
    for left, right in zip(rough, exact, strict=True):
        assert (left - right).square().mean().sqrt() < 0.02 * right.square().mean().sqrt()


@pytest.mark.parametrize(
    "shift", [0, 45, -45, 60, 300, -300]
)  # in nats; of the largest the powers are infinite or zero
@pytest.mark.parametrize("everywhere", [True, False])
def test_any_logits_are_borne_in_bfloat16(tiled, shift, everywhere):
    (hidden, weight, bias), labels = operands(0.5)
    with torch.no_grad():
        hidden[:, 0], weight[:, 0] = 1, 0
        weight[:, 1], hidden[:, 1] = 64, 0
        hidden[slice(None) if everywhere else 3, 1] = shift / 64  # all logits of a place alike
    hidden = hidden.detach().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, bias, labels)
    loss.backward()
    exact = [each.detach().requires_grad_() for each in (hidden, weight, bias)]
    wanted = two_steps(*exact, labels)
    wanted.backward()
    near = 0.02 if abs(shift) < 100 else 0.2  # near 300 bfloat16 has steps of two
    assert (loss - wanted).abs() < near * wanted
    for ours, theirs in zip((hidden, bias), (exact[0], exact[2]), strict=True):
        assert (ours.grad - theirs.grad)[..., 2:].norm() < 3 * near * theirs.grad[..., 2:].norm()


def test_many_words_are_summed_up_exactly_enough(tiled):
    """A sum over thousands of words that bfloat16 alone would lose: 3,000 equal logits."""
    hidden, labels = torch.zeros(5, 16), torch.arange(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, torch.zeros(3001, 16), torch.zeros(3001), labels)
    assert loss.item() / 5 == pytest.approx(8.00670, abs=0.002 if tiled else 0.01)  # ln 3001


def test_on_a_gpu_too_the_products_are_of_one_type(monkeypatch):
    monkeypatch.setattr(module, "can_use_tiles", lambda *given: False)
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


def test_what_is_nearly_sure_has_a_gradient_to_the_type_s_digits(tiled):
    """Of a probability near one little is left to learn: bfloat16 would round that away beside one."""
    hidden, weight = torch.ones(1, 16), torch.zeros(40, 16)
    weight[3] = 11 / 16
    bias = torch.zeros(40, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, bias, torch.tensor([3]))
    loss.backward()
    left = 39 / (39 + torch.tensor(11.0).exp())
    if tiled:
        assert loss.item() == pytest.approx(left.item(), rel=0.05)
        assert bias.grad[3].item() == pytest.approx(-left.item(), rel=0.05)
    assert bias.grad[5].item() == pytest.approx(left.item() / 39, rel=0.05)
