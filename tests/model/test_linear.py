"""Linear layers for training: torch's values and gradients, through another library's products."""

import pytest
import torch
from torch import nn

from bertsmith.model import linear
from bertsmith.model.linear import Linear, product

ROWS, INPUTS, OUTPUTS = (3, 5), 24, 40


@pytest.fixture
def one_dnn(monkeypatch):
    """oneDNN also on processors where another library is the faster one."""
    linear._one_dnn_is_faster.cache_clear()
    has = torch.cpu.get_capabilities() | {"cpu_name": "AMD, let us say", "avx512_f": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)  # else true: what is compiled is asked for once
    if not linear._one_dnn_is_faster(torch.float32):
        pytest.skip("this torch has no oneDNN")
    yield
    linear._one_dnn_is_faster.cache_clear()


def twins(*, bias=True):
    torch.manual_seed(3)
    theirs = nn.Linear(INPUTS, OUTPUTS, bias=bias)
    ours = Linear(INPUTS, OUTPUTS, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def step(layer, rows, *, bfloat16=False):
    rows = rows.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        made = layer(rows)
    made.float().transpose(0, 1).sin().sum().backward()  # gradients whose rows do not lie one after the other
    return [made.detach(), rows.grad, *(parameter.grad for parameter in layer.parameters())]


@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_torch(one_dnn, bias):
    rows = torch.randn(*ROWS, INPUTS)
    ours, theirs = (step(layer, rows) for layer in twins(bias=bias))
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("outputs", [1, linear._RUN, 2 * linear._RUN + 3])
@pytest.mark.parametrize("narrow", [True, False])
def test_more_outputs_than_are_asked_for_at_once_are_all_there(monkeypatch, outputs, narrow):
    monkeypatch.setattr(linear, "_one_dnn_is_faster", lambda dtype: False)
    monkeypatch.setattr(linear, "mkl_is_faster", lambda dtype: narrow)
    rows, weight, bias = torch.randn(7, INPUTS), torch.randn(outputs, INPUTS), torch.randn(outputs)
    expected = nn.functional.linear(rows, weight, bias)
    torch.testing.assert_close(linear.linear(rows, weight, bias), expected, rtol=1e-5, atol=1e-5)


def test_under_autocast_types_and_values_are_those_of_torch():
    rows = torch.randn(*ROWS, INPUTS)
    ours, theirs = (step(layer, rows, bfloat16=True) for layer in twins())
    assert ours[0].dtype == torch.bfloat16
    for left, right in zip(ours, theirs, strict=True):
        assert left.dtype == right.dtype
        assert (left - right).float().norm() < 0.01 * right.float().norm()


def test_a_worked_product_and_its_gradient(one_dnn):
    layer = Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -1.0]]))
        layer.bias.fill_(0.5)
    rows = torch.tensor([[1.0, 3.0], [4.0, 0.0]], requires_grad=True)
    made = layer(rows)
    assert made.tolist() == [[-0.5], [8.5]]
    (made * torch.tensor([[1.0], [10.0]])).sum().backward()
    assert layer.weight.grad.tolist() == [[41.0, 3.0]]
    assert layer.bias.grad.tolist() == [11.0]
    assert rows.grad.tolist() == [[2.0, -1.0], [20.0, -10.0]]


def test_outside_training_it_is_torch_bit_for_bit(one_dnn):
    ours, theirs = twins()
    rows = torch.randn(*ROWS, INPUTS)
    assert torch.equal(ours.eval()(rows), theirs(rows))
    with torch.no_grad():
        assert torch.equal(ours.train()(rows), theirs(rows))


def test_a_frozen_layer_gives_its_input_a_gradient_and_its_weight_none(one_dnn):
    ours, theirs = (layer.requires_grad_(False) for layer in twins())
    rows = torch.randn(*ROWS, INPUTS)
    left, right = (step(layer, rows) for layer in (ours, theirs))
    assert torch.equal(left[1], right[1])
    assert left[2] is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_matrices_with_gaps_are_multiplied_too(one_dnn, dtype):
    left, right = (torch.arange(60.0, dtype=dtype).view(6, 10)[:, :-3] % 5 for _ in range(2))
    expected = torch.einsum("ab,cb->ac", left, right)  # integers below 256: exact in each type
    assert torch.equal(product(left, right.t()), expected)


@pytest.mark.parametrize(
    ("name", "avx512", "taken"), [("AMD EPYC", True, True), ("AMD EPYC", False, False), ("Intel Xeon", True, False)]
)
def test_float32_by_the_processor(one_dnn, monkeypatch, name, avx512, taken):
    linear._one_dnn_is_faster.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": name, "avx512_f": avx512})
    assert linear._one_dnn_is_faster(torch.float32) == taken


def test_a_torch_without_one_dnn_trains_as_ever(monkeypatch):
    def missing(*_):
        raise AttributeError

    linear._one_dnn_is_faster.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "AMD EPYC", "avx512_f": True})
    monkeypatch.setattr(linear, "_one_dnn", missing)
    ours, theirs = (step(layer, torch.ones(*ROWS, INPUTS)) for layer in twins())
    linear._one_dnn_is_faster.cache_clear()
    assert all(torch.equal(left, right) for left, right in zip(ours, theirs, strict=True))
