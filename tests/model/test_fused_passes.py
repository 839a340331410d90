"""The fused passes of a training step: torch's values and gradients, compiled."""

from collections import Counter

import pytest
import torch
from bert_twins import rows, tiny_bert
from torch import nn
from torch.nn import functional as F

from bertsmith.model import feed_forward_step
from bertsmith.model import fused_passes as passes
from bertsmith.model.activations import ACTIVATIONS
from bertsmith.model.fused_passes import activated, add_norm, softmax_in_place
from bertsmith.model.linear import Linear
from bertsmith.model.native import passes as native

there = pytest.mark.skipif(
    native.passes() is None, reason="bertsmith was installed without a C compiler, or the processor has no AVX2"
)
HERE = native.passes.__wrapped__  # whatever tests put in its place


def compiled(test):
    """Once with each of what was compiled."""
    return there(pytest.mark.usefixtures("build")(test))


@pytest.fixture(params=[name for name, _ in native.BUILDS])
def build(request, monkeypatch):
    """What the passes are computed by."""
    monkeypatch.setattr(native, "BUILDS", [each for each in native.BUILDS if each[0] == request.param])
    made = HERE()
    if made is None:
        pytest.skip("not for this processor")
    monkeypatch.setattr(native, "passes", lambda: made)


# Widths that neither vectors nor stretches divide, one row and none, fewer rows than blocks.
SHAPES = [(3, 5, 24), (2, 40, 300), (1, 7), (0, 16), (70, 1)]
FORMATS = [torch.float32, torch.bfloat16]


def near(made, wanted, dtype, *, at=1.0):
    """To float32's rounding, or to that of results in bfloat16."""
    assert made.shape == wanted.shape
    close = {"atol": 1e-5 * at, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.01 * at, "rtol": 0.01}
    torch.testing.assert_close(made.float(), wanted.float(), **close)


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_activation_has_torchs_values_and_gradients(shape, activation, dtype):
    torch.manual_seed(0)
    values, bias = torch.randn(shape).to(dtype) * 2, torch.randn(shape[-1])
    upstream = torch.randn(shape).to(dtype)
    given = [values.float().requires_grad_(), bias.clone().requires_grad_()]
    wanted = ACTIVATIONS[activation](given[0] + given[1])
    wanted_gradients = torch.autograd.grad(wanted, given, upstream.float())
    given = [values.clone().requires_grad_(), bias.clone().requires_grad_()]
    made = passes._Activated.apply(given[0].clone(), given[1], activation)
    gradients = torch.autograd.grad(made, given, upstream)
    assert made.dtype == gradients[0].dtype == dtype
    near(made, wanted, dtype)
    near(gradients[0], wanted_gradients[0], dtype)
    near(gradients[1], wanted_gradients[1], dtype, at=10)  # a sum over the rows


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("used", ["both", "exact", "rounded"])
def test_a_sum_and_its_norm_have_torchs_values_and_gradients(shape, used, dtype):
    torch.manual_seed(1)
    norm = nn.LayerNorm(shape[-1], eps=1e-12 if shape[-1] > 1 else 1.0)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    values, residual = torch.randn(shape).to(dtype), torch.randn(shape)
    upstream = [torch.randn(shape), torch.randn(shape).to(dtype)]
    weights = {"both": (1, 1), "exact": (1, 0), "rounded": (0, 1)}[used]

    given = [values.float().requires_grad_(), residual.clone().requires_grad_(), norm.weight, norm.bias]
    wanted = norm(given[0] + given[1])
    wanted_gradients = torch.autograd.grad(
        wanted, given, sum(weight * each.float() for weight, each in zip(weights, upstream, strict=True))
    )
    given = [values.clone().requires_grad_(), residual.clone().requires_grad_(), norm.weight, norm.bias]
    made = add_norm(given[0], given[1], norm)
    results = [each for weight, each in zip(weights, made, strict=True) if weight]
    gradients = torch.autograd.grad(
        results, given, [each for weight, each in zip(weights, upstream, strict=True) if weight]
    )
    assert "AddNorm" in type(made.exact.grad_fn).__name__
    assert (made.exact.dtype, made.rounded.dtype) == (torch.float32, dtype)
    assert (gradients[0].dtype, gradients[1].dtype) == (dtype, torch.float32)
    near(made.exact, wanted, torch.float32)
    near(made.rounded, wanted, dtype)
    near(gradients[0], wanted_gradients[0], dtype)
    for ours, theirs in zip(gradients[1:], wanted_gradients[1:], strict=True):
        near(ours, theirs, torch.float32, at=10)


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("asking", "seen"), [(9, 9), (3, 50), (1, 1), (20, 129)])
def test_softmax_is_torchs_with_a_bias_for_each_row_of_the_batch_for_all_of_them_or_none(asking, seen, dtype):
    torch.manual_seed(2)
    scores = (torch.randn(3, 2, asking, seen) * 5).to(dtype)
    bias = torch.zeros(3, 1, asking, seen).masked_fill_(torch.rand(3, 1, asking, seen) < 0.4, float("-inf"))
    bias[..., 0] = 0.0
    for added in (bias.to(dtype), bias[:1].to(dtype), None):
        made = scores.clone()
        softmax_in_place(made, added)
        near(made, (scores.float() + (0 if added is None else added.float())).softmax(-1), dtype, at=0.1)
        if added is not None:
            assert not made[added.expand(3, 2, asking, seen) == float("-inf")].any()  # nothing at all is seen of it


@compiled
def test_softmax_bears_any_scores_and_hides_nothing_that_is_broken():
    scores = torch.tensor([[1e30, -1e30, 1e30], [-300.0, 0.0, 3e38], [0.0, torch.nan, 1.0], [-1e-30, 0.0, 1e-30]])
    made = scores.clone()[None, None]
    softmax_in_place(made, None)
    torch.testing.assert_close(made[0, 0], scores.softmax(-1), equal_nan=True)


@compiled
def test_rounding_is_torchs():
    """Of every kind of number, as a LayerNorm's bias beside a weight of zero."""
    tied = torch.tensor([1.00390625, 1.01171875])  # between two neighbours: to the even one
    odd = torch.tensor([torch.inf, torch.nan, 1e-40, 3.4e38, 0.0])
    bias = torch.cat([tied, odd, torch.randn(200), torch.randn(200) * 1e-30])
    norm = nn.LayerNorm(2 * len(bias))
    norm.weight.data.zero_()
    norm.bias.data.copy_(torch.cat([bias, -bias]))
    made = add_norm(torch.randn(3, len(norm.bias)).bfloat16().requires_grad_(), torch.randn(3, len(norm.bias)), norm)
    torch.testing.assert_close(made.exact, norm.bias.expand(3, -1), rtol=0, atol=0, equal_nan=True)
    # AVX512 makes zero of what is smaller than 2^-126.
    torch.testing.assert_close(made.rounded, made.exact.bfloat16(), rtol=0, atol=1.2e-38, equal_nan=True)


@compiled
def test_rows_that_do_not_vary_have_a_norm_of_nothing():
    norm = nn.LayerNorm(768, eps=1e-12)
    given = [torch.full((2, 768), 7.7, requires_grad=True), torch.full((2, 768), 3.3, requires_grad=True)]
    made = add_norm(*given, norm).exact
    assert made.abs().max() < 1e-3
    far = torch.randn(4, 768) + 1000
    made = add_norm(far.clone().requires_grad_(), torch.zeros(4, 768), norm)
    torch.testing.assert_close(made.exact, norm(far), atol=2e-4, rtol=1e-4)


@compiled
@pytest.mark.parametrize("dtype", FORMATS)
def test_on_any_number_of_cores_it_is_the_same_bit_for_bit(dtype):
    torch.manual_seed(3)
    width = 600  # so wide that torch's sums over blocks are shared out, too
    norm, threads = nn.LayerNorm(width), torch.get_num_threads()
    values, residual, bias = torch.randn(500, width).to(dtype), torch.randn(500, width), torch.randn(width)
    results = []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            given = [values.clone().requires_grad_(), residual.clone().requires_grad_(), bias.clone().requires_grad_()]
            made = add_norm(passes._Activated.apply(given[0].clone(), given[2], "gelu"), given[1], norm)
            of_all = torch.autograd.grad((made.exact.sin() + made.rounded).sum(), [*given, norm.weight, norm.bias])
            results.append([made.exact, *of_all])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@compiled
def test_a_second_backward_pass_gives_the_same():
    norm, linear = nn.LayerNorm(8), Linear(8, 8)
    inputs = torch.randn(4, 8, requires_grad=True)
    made = add_norm(activated(linear, inputs, "gelu"), inputs, norm)
    loss = made.exact.sin().sum() + made.rounded.cos().sum()
    first = torch.autograd.grad(loss, [inputs, *linear.parameters()], retain_graph=True)
    assert all(map(torch.equal, first, torch.autograd.grad(loss, [inputs, *linear.parameters()])))


@compiled
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_model_has_the_gradients_that_torchs_own_passes_give_it(bfloat16, monkeypatch):
    def step():
        bert, batch = tiny_bert().train(), rows([7, 5, 9], 9)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            hidden = bert(**batch, places=torch.tensor([0, 3, 10, 20]))
        hidden.float().sin().sum().backward()
        return [hidden.detach(), *(each.grad for each in bert.encoder.parameters())]

    monkeypatch.setattr(feed_forward_step, "can_use_tiles", lambda *given: False)  # which has an activation of its own
    called, real = Counter(), native.passes()

    class Counted:
        def __getattr__(self, name):
            called[name] += 1
            return getattr(real, name)

    with monkeypatch.context() as patched:
        patched.setattr(native, "passes", Counted)
        fused = step()
    layers = tiny_bert().config.num_hidden_layers
    assert called == {
        "softmax_rows": layers,
        "activate_rows": layers,
        "activate_rows_backward": layers,
        "add_norm": 2 * layers,
        "add_norm_backward": 2 * layers,
    }
    monkeypatch.setattr(native, "passes", lambda: None)
    plain = step()
    for ours, theirs in zip(fused, plain, strict=True):
        if bfloat16:
            assert (ours - theirs).norm() <= 0.03 * theirs.norm() + 1e-4
        else:
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_what_is_not_trained_or_of_another_type_goes_torchs_way():
    norm, linear, inputs = nn.LayerNorm(8), Linear(8, 6), torch.randn(4, 8)
    assert torch.equal(activated(linear, inputs, "relu"), F.relu(linear(inputs)))
    made = add_norm(inputs, inputs, norm)
    assert made.rounded is made.exact
    assert torch.equal(made.exact, norm(inputs + inputs))
    doubled = [each.double().requires_grad_() for each in (inputs, inputs)]
    assert add_norm(*doubled, norm.double()).exact.dtype == torch.float64
    with torch.autocast("cpu", torch.float16):
        assert activated(linear.float(), inputs.requires_grad_(), "gelu").dtype == torch.float16
    assert activated(linear.double(), doubled[0], "gelu").dtype == torch.float64
