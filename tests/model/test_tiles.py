"""Products in tiles give the numbers of plain ones; most of this needs a processor with AMX."""

import ctypes

import pytest
import torch

from bertsmith.model import linear, tiles
from bertsmith.model.activations import ACTIVATIONS
from bertsmith.model.linear import Linear
from bertsmith.model.native import tiles as native
from bertsmith.model.tiles import (
    can_use_tiles,
    has_tiles_for,
    multiply,
    multiply_and_activate,
    multiply_by_slopes,
    powers_of_product,
)

BFLOAT16 = torch.bfloat16
# Rows, what is summed over, columns: none a multiple of a block; several stretches of sums; several strips of columns
# with what the left has kept, and not; more rows than go together; fewer than there are threads for.
SHAPES = [(1, 1, 1), (33, 31, 65), (70, 1100, 40), (40, 700, 1700), (5, 1500, 1601), (900, 96, 33), (2, 64, 500)]
SHAPES.append((800, 600, 1000))  # several tasks, each of several strips, and several stretches; turned likewise

needs_tiles = pytest.mark.skipif(not can_use_tiles(BFLOAT16), reason="no compiled products in tiles")


@pytest.fixture
def processor(monkeypatch):
    """Say what the processor has."""
    has_tiles_for.cache_clear()
    has: dict[str, bool] = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    yield has
    has_tiles_for.cache_clear()


@pytest.mark.parametrize(
    ("has", "dtype", "there"),
    [(True, torch.bfloat16, True), (True, torch.float32, False), (False, torch.bfloat16, False)],
)
def test_tiles_are_of_processors_with_amx_and_of_bfloat16(processor, has, dtype, there):
    processor["amx_bf16"] = has
    assert has_tiles_for(dtype) is there


def operands(rows, inner, columns):
    generator = torch.Generator().manual_seed(rows + inner + columns)
    left, right = (torch.randn(shape, generator=generator) for shape in ((rows, inner), (inner, columns)))
    return left, right / inner**0.5, torch.randn(columns, generator=generator)


def exactly(left, right):
    return left.bfloat16().double() @ right.bfloat16().double()


WAYS = ["as it is", "turned", "bfloat16", "bfloat16, turned"]


def with_gaps(matrix, step=1):
    """The same values, rows longer than they are read, and of a row each value, or each second one."""
    wide = torch.full((len(matrix), step * matrix.shape[1] + 3), float("nan"))[:, : step * matrix.shape[1] : step]
    return wide.copy_(matrix)


def turned(matrix):
    """The same values, each column dense."""
    return matrix.t().contiguous().t()


def near(made, wanted):
    """To the rounding of the type, and of sums in float32."""
    share = 2**-8 if made.dtype == BFLOAT16 else 2e-6
    torch.testing.assert_close(made.double(), wanted, rtol=share, atol=share * wanted.abs().max().item() / 4)


@needs_tiles
@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
@pytest.mark.parametrize("way", [*WAYS, "gaps", "gaps, turned", "gaps both ways"])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_those_of_plain_matrices_however_they_lie(shape, way, dtype):
    left, right, bias = operands(*shape)
    wanted = exactly(left, right)
    if "bfloat16" in way:
        left, right = left.bfloat16(), right.bfloat16()
    if "turned" in way:
        left, right = turned(left), turned(right)
    if way == "gaps":
        left, right = with_gaps(left), with_gaps(right)
    if way == "gaps, turned":
        left, right = with_gaps(left.t()).t(), with_gaps(right.t()).t()
    if way == "gaps both ways":
        left, right = with_gaps(left, 2), with_gaps(right, 2)
    near(multiply(left, right, dtype=dtype), wanted)
    near(multiply(left, right, dtype=dtype, bias=bias), wanted + bias.double())


@needs_tiles
@pytest.mark.parametrize("shape", SHAPES)
def test_threads_do_not_change_a_number(shape, monkeypatch):
    left, right, bias = operands(*shape)
    slopes = torch.randn(shape[0], shape[2]).bfloat16()

    def numbers(threads):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        return [
            multiply(left, right, dtype=torch.float32),
            *multiply_by_slopes(left, right, slopes),
            *multiply_and_activate(left, right, bias, "gelu"),
            *powers_of_product(left, right, left[:, 0].contiguous()),
        ]

    for one, many in zip(numbers(1), numbers(5), strict=True):
        assert torch.equal(one, many)


@needs_tiles
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_an_activation_and_its_derivatives_come_with_the_product(shape, activation):
    left, right, bias = operands(*shape)
    made = multiply_and_activate(left, right, bias, activation)
    values = (exactly(left, right) + bias.double()).requires_grad_()
    wanted = ACTIVATIONS[activation](values)
    (slopes,) = torch.autograd.grad(wanted.sum(), values)
    sure = (values.abs() > 1e-5).detach()  # where a sum of float32 tells relu's sides
    near(made.values, wanted.detach())
    near(made.slopes[sure], slopes[sure])


@needs_tiles
@pytest.mark.parametrize("shape", SHAPES)
def test_products_by_slopes_are_summed_up_before_they_are_rounded(shape):
    left, right, _ = operands(*shape)
    slopes = torch.randn(shape[0], shape[2]).bfloat16()
    made, totals = multiply_by_slopes(left, right, slopes)
    wanted = exactly(left, right) * slopes.double()
    near(made, wanted)
    near(totals, wanted.sum(0))


@needs_tiles
@pytest.mark.parametrize("shape", SHAPES)
def test_powers_of_a_product_are_summed_up_before_they_are_rounded(shape):
    left, right, _ = operands(*shape)
    bias = torch.randn(shape[0]) * 3
    made, totals = powers_of_product(left, right, bias)
    wanted = (exactly(left, right) + bias.double()[:, None]).exp2()
    near(made, wanted)
    near(totals, wanted.sum(0))


@needs_tiles
def test_powers_without_measure_are_told_by_their_sums():
    left, right = torch.ones(4, 1), torch.ones(1, 2)
    for bias, power in ((500.0, 2.0**126), (-500.0, 0.0), (-float("inf"), 0.0), (float("nan"), float("nan"))):
        made, totals = powers_of_product(left, right, torch.full((4,), bias))
        torch.testing.assert_close(made.float(), torch.full((4, 2), power), equal_nan=True)
        torch.testing.assert_close(totals, made.float().sum(0), equal_nan=True)  # of large ones infinite


@needs_tiles
def test_nothing_to_multiply_is_zero_or_the_bias():
    bias = torch.arange(3.0)
    assert torch.equal(multiply(torch.ones(2, 0), torch.ones(0, 3), dtype=torch.float32), torch.zeros(2, 3))
    assert torch.equal(
        multiply(torch.ones(2, 0), torch.ones(0, 3), dtype=BFLOAT16, bias=bias).float(), bias.expand(2, 3)
    )
    assert multiply(torch.ones(0, 4), torch.ones(4, 3), dtype=torch.float32).shape == (0, 3)
    made, totals = multiply_by_slopes(torch.ones(0, 4), torch.ones(4, 3), torch.ones(0, 3, dtype=BFLOAT16))
    assert made.shape == (0, 3)
    assert torch.equal(totals, torch.zeros(3))


@needs_tiles
def test_what_lies_beside_a_result_is_left_alone():
    """Rows and columns beyond the last whole block are computed, but not written."""
    left, right, _ = operands(33, 40, 35)
    for dtype in (torch.float32, BFLOAT16):
        whole = torch.full((40, 48), 7.0, dtype=dtype)
        tiles._run(native.AS_IT_IS, left, right, whole[:33, :35])
        assert (whole[33:] == 7).all()
        assert (whole[:, 35:] == 7).all()
        near(whole[:33, :35], exactly(left, right))


@needs_tiles
def test_a_product_that_finds_no_memory_says_so(monkeypatch):
    class Full:
        @staticmethod
        def multiply_in_tiles(product, threads):
            return 1

    monkeypatch.setattr(native, "tiles", lambda: Full)
    with pytest.raises(MemoryError, match="4 x 3 by 3 x 2"):
        multiply(torch.ones(4, 3), torch.ones(3, 2), dtype=torch.float32)


@needs_tiles
def test_another_library_may_use_tiles_in_between(monkeypatch):
    """Each sets up tiles as it needs them."""
    left, right, _ = operands(512, 512, 512)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    first = multiply(left, right, dtype=torch.float32)
    for _ in range(3):
        near(left.bfloat16() @ right.bfloat16(), exactly(left, right))
        assert torch.equal(multiply(left, right, dtype=torch.float32), first)


@pytest.fixture
def asked_anew():
    native.tiles.cache_clear()
    yield
    native.tiles.cache_clear()


@pytest.mark.usefixtures("asked_anew")
def test_without_what_was_compiled_or_the_processor_there_are_none(monkeypatch):
    monkeypatch.setattr(native, "find_native", lambda *given, **options: None)
    assert native.tiles() is None
    assert not can_use_tiles(BFLOAT16)


@pytest.mark.usefixtures("asked_anew")
def test_where_the_system_permits_no_tiles_there_are_none(monkeypatch):
    refuses = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)
    monkeypatch.setattr(native, "find_native", lambda *given, **options: type("Code", (), {"permit_tiles": refuses}))
    assert native.tiles() is None


def gradients_of(layer, rows, *, wanted=True):
    layer.zero_grad()
    given = rows.clone().requires_grad_(wanted)
    with torch.autocast("cpu", dtype=BFLOAT16):
        made = layer(given)
    for _ in range(2):  # which adds up
        made.float().sin().sum().backward(retain_graph=True)
    return [made, *([given.grad] if wanted else []), *(each.grad for each in layer.parameters())]


@needs_tiles
@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_a_linear_layer_trains_alike_with_tiles(biased, wanted, dtype, monkeypatch):
    torch.manual_seed(0)
    layer, rows = Linear(130, 70, bias=biased).to(dtype), torch.randn(3, 25, 130).to(dtype)
    tiled = gradients_of(layer, rows, wanted=wanted)
    monkeypatch.setattr(linear, "can_use_tiles", lambda *given: False)
    for ours, theirs in zip(tiled, gradients_of(layer, rows, wanted=wanted), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert (ours - theirs).norm() < 0.01 * theirs.norm()


@needs_tiles
def test_what_a_layer_made_may_be_changed_in_place():
    layer, rows = Linear(8, 4), torch.randn(2, 3, 8)
    with torch.autocast("cpu", dtype=BFLOAT16):
        made = layer(rows).relu_()
    made.float().sum().backward()
    near(layer.bias.grad, (made > 0).double().sum((0, 1)))


@needs_tiles
def test_layers_of_other_types_go_the_usual_way():
    torch.manual_seed(0)
    layer, rows = Linear(30, 20).double(), torch.randn(5, 30).double()
    made, _, of_weight, of_bias = gradients_of(layer, rows)  # in training, where torch alone would not cast
    assert (made.dtype, of_weight.dtype, of_bias.dtype) == (BFLOAT16, torch.float64, torch.float64)
    near(made, rows.bfloat16().double() @ layer.weight.bfloat16().double().t() + layer.bias.bfloat16().double())
