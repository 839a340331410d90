"""Products of whole numbers are plain ones to four digits, and training takes them where it is told to."""

import threading

import pytest
import torch
from long_vectors import compile_with_long_vectors
from torch.nn import functional as F

from bertsmith.model import whole
from bertsmith.model.linear import Linear, linear
from bertsmith.model.native import files
from bertsmith.model.native import whole as native
from bertsmith.model.whole import multiply_whole, wants_whole, whole_linear, whole_products
from marks import needs_whole

# Rows, what is summed over, columns: fewer than a block of registers, odd, one and two groups and a rest, more columns
# than are laid out at a time, more rows than go together.
SHAPES = [(1, 1, 1), (7, 5, 9), (100, 300, 33), (3, 513, 130), (130, 2000, 70), (700, 400, 65), (5, 64, 500)]

HERE = native.whole.__wrapped__  # whatever tests put in its place


def compiled(test):
    """Once with each of what was compiled."""
    return needs_whole(pytest.mark.usefixtures("build")(test))


@pytest.fixture(params=[*(name for name, _ in native.BUILDS), "long_vectors"])
def build(request, monkeypatch):
    """What multiplies; for a processor with AVX512 also on one without, slowly, in vectors as long."""
    if request.param == "long_vectors":
        made = request.getfixturevalue("long_vectors")
    else:
        monkeypatch.setattr(native, "BUILDS", [each for each in native.BUILDS if each[0] == request.param])
        made = HERE()
    if made is None:
        pytest.skip("not for this processor")
    monkeypatch.setattr(native, "whole", lambda: made)


@pytest.fixture(scope="session")
def long_vectors(tmp_path_factory):
    path = compile_with_long_vectors("whole", tmp_path_factory.mktemp("native"))
    return files.open_native(path, layout=native.LAYOUT, functions=native.FUNCTIONS)


def operands(rows, inner, columns, *, turned=(False, False)):
    generator = torch.Generator().manual_seed(rows + inner + columns)
    left, right = (torch.randn(shape, generator=generator) for shape in ((rows, inner), (inner, columns)))
    left, right = (
        each.t().contiguous().t() if turn else each for each, turn in zip((left, right), turned, strict=True)
    )
    return left, right, torch.randn(columns, generator=generator)


def off(made, left, right, bias=0.0):
    """How far from the exact product, beside the length of what is multiplied: each value and its rounding."""
    exact = left.double() @ right.double() + bias
    lengths = left.double().norm(dim=1)[:, None] * right.double().norm(dim=0)
    return ((made - exact).abs() / lengths).max()


@compiled
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_plain_ones_to_four_digits(shape, turned):
    left, right, bias = operands(*shape, turned=turned)
    assert off(multiply_whole(left, right), left, right) < 1e-3
    assert off(multiply_whole(left, right, bias), left, right, bias) < 1e-3
    apart = torch.zeros(2 * len(left), 2 * left.shape[1])[::2, ::2].copy_(left)  # dense in neither way
    assert torch.equal(multiply_whole(apart, right), multiply_whole(left, right))


@compiled
def test_small_whole_numbers_are_exact():
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randint(-181, 182, shape, generator=generator).float() for shape in ((40, 700), (700, 50)))
    left[:, ::256], right[::256] = 2895.0, -2895.0  # of each group the largest: all others are whole beside it
    exact = (left.double() @ right.double()).float()
    torch.testing.assert_close(multiply_whole(left, right), exact, rtol=1e-6, atol=0.0)


@compiled
def test_sums_of_the_largest_do_not_overflow():
    left, right = torch.full((13, 512), 3.0), torch.full((512, 40), -5.0)
    torch.testing.assert_close(multiply_whole(left, right), left @ right, rtol=1e-6, atol=0.0)


@compiled
def test_what_is_large_makes_only_its_own_group_coarse():
    left, right, _ = operands(20, 768, 30)
    left[3, 10] = right[700, 4] = 1e6
    made, exact = multiply_whole(left, right), left.double() @ right.double()
    others = torch.ones_like(made, dtype=torch.bool)
    others[3], others[:, 4] = False, False
    assert (made - exact)[others].abs().max() < 0.05
    assert (made - exact)[3, :4].abs().max() < 1e6 / 2895 * 40  # whose group keeps nothing beside it


@compiled
@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_stays_none(broken):
    left, right, _ = operands(20, 300, 30)
    left[3, 10] = broken
    made = multiply_whole(left, right)
    assert not made[3].isfinite().any()
    assert made[[0, 1, 2, 4, 19]].isfinite().all()
    left, right, _ = operands(20, 300, 30, turned=(True, True))
    right[10, 3] = broken
    made = multiply_whole(left, right)
    assert not made[:, 3].isfinite().any()
    assert made[:, [0, 1, 2, 4, 29]].isfinite().all()


@compiled
def test_nothing_and_next_to_nothing():
    left, right, bias = operands(20, 300, 30)
    assert not multiply_whole(torch.zeros_like(left), right).any()
    tiny = multiply_whole(torch.full_like(left, 1e-36), 1e30 * right)
    torch.testing.assert_close(tiny, torch.zeros_like(tiny), atol=1e-4, rtol=0.0)
    assert torch.equal(multiply_whole(left[:, :0], right[:0], bias), bias.expand(20, 30))
    assert multiply_whole(left[:0], right).shape == (0, 30)
    assert multiply_whole(left, right[:, :0]).shape == (20, 0)


@compiled
def test_values_are_the_same_with_any_number_of_threads():
    left, right, bias = operands(700, 900, 300, turned=(True, False))
    threads = torch.get_num_threads()
    try:
        made = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            made.append(multiply_whole(left, right, bias))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


@compiled
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_are_those_of_a_linear_layer(bias):
    generator = torch.Generator().manual_seed(0)
    rows, weight = (torch.randn(shape, generator=generator) for shape in ((90, 40), (70, 40)))
    given = [rows, weight, *([torch.randn(70, generator=generator)] if bias else [])]
    found = []
    for way in (whole_linear, F.linear):
        leaves = [each.clone().requires_grad_() for each in given]
        made = way(*leaves) if bias else way(*leaves, None)
        made.sin().sum().backward()
        found.append([made.detach(), *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*found, strict=True):
        assert 1e-6 < (ours - theirs).norm() / theirs.norm() < 0.01 or ours.dim() == 1


@needs_whole
def test_training_takes_them_where_it_is_told_to(monkeypatch):
    calls = []
    monkeypatch.setattr(whole, "multiply_whole", lambda *given: calls.append(1) or multiply_whole(*given))
    layer, rows = Linear(24, 40), torch.randn(2, 3, 24, requires_grad=True)
    plain = layer(rows)
    assert not calls
    with whole_products(True):
        made = layer(rows)
        assert len(calls) == 1
        torch.testing.assert_close(made, plain, atol=2e-2, rtol=0.0)
        with torch.no_grad():
            assert torch.equal(layer(rows), plain)
        assert torch.equal(layer.eval()(rows), plain)
        layer.train()
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(rows).dtype == torch.bfloat16
        assert len(calls) == 1
        with whole_products(False):
            assert torch.equal(layer(rows), plain)
        here = []
        other = threading.Thread(target=lambda: here.append(wants_whole(rows)))
        other.start()
        other.join()
        assert here == [False]  # of this thread alone
    made.sum().backward()
    assert len(calls) == 3
    assert torch.equal(layer(rows), plain)
    assert len(calls) == 3


@needs_whole
def test_a_vocabularys_logits_are_made_so_too():
    rows, weight, bias = torch.randn(9, 24), torch.randn(900, 24), torch.randn(900)
    plain = F.linear(rows, weight, bias)
    with whole_products(True):
        made = linear(rows, weight, bias)
        assert not torch.equal(made, plain)
        torch.testing.assert_close(made, plain, atol=2e-2, rtol=0.0)
        exact = linear(rows.double(), weight.double(), bias.double())
    torch.testing.assert_close(exact.float(), plain, atol=1e-5, rtol=1e-5)


@needs_whole
def test_too_little_memory_is_an_error(monkeypatch):
    code = type("Code", (), {"multiply_whole_matrices": lambda *given: 1})
    monkeypatch.setattr(native, "whole", lambda: code)
    with pytest.raises(MemoryError, match="no memory for a product of 2 x 3 by 3 x 4"):
        multiply_whole(torch.ones(2, 3), torch.ones(3, 4))
