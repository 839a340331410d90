"""What is done otherwise with AMX gives the same numbers; it runs on any processor here."""

import pytest
import torch

from bertsmith.model import linear, tiles
from bertsmith.model.linear import Linear
from bertsmith.model.tiles import gradients_in_tiles, in_tiles

WIDE, NARROW, SQUARE = (530, 1600), (1600, 530), (520, 520)  # inputs and outputs; no multiples of a block
TOKENS = 75


@pytest.fixture(params=[True, False], ids=["many", "few"])
def many(request, monkeypatch):
    """As of many tokens, and as of few."""
    monkeypatch.setattr(tiles, "_MANY", TOKENS if request.param else TOKENS + 1)
    return request.param


@pytest.fixture
def processor(monkeypatch):
    """Say what the processor has."""
    in_tiles.cache_clear()
    has: dict[str, bool] = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    yield has
    in_tiles.cache_clear()


@pytest.mark.parametrize(
    ("has", "dtype", "there"),
    [(True, torch.bfloat16, True), (True, torch.float32, False), (False, torch.bfloat16, False)],
)
def test_tiles_are_of_processors_with_amx_and_of_bfloat16(processor, has, dtype, there):
    processor["amx_bf16"] = has
    assert in_tiles(dtype) is there


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [WIDE, NARROW, SQUARE, (24, 96)])
def test_gradients_are_those_of_plain_products(inputs, outputs, biased, many, monkeypatch):
    # Whatever lies in memory that is taken anew does no harm.
    empty = lambda like, *shape: torch.full(shape, float("nan"), dtype=like.dtype)  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "new_empty", empty)
    generator = torch.Generator().manual_seed(0)
    rows, gradient = (torch.randn(TOKENS, width, generator=generator).bfloat16() for width in (inputs, outputs))
    of_weight, of_bias = gradients_in_tiles(gradient, rows, biased=biased)
    assert of_weight.shape == (outputs, inputs)
    assert of_weight.dtype == torch.bfloat16
    exact = gradient.double().t() @ rows.double()
    torch.testing.assert_close(of_weight.double(), exact, rtol=2**-8, atol=1e-2)
    assert (of_bias is not None) == biased
    if of_bias is not None:
        torch.testing.assert_close(of_bias.double(), gradient.double().sum(0), rtol=2**-8, atol=1e-2)


@pytest.mark.parametrize("shape", [(1, 1), (75, 530), (4, 256), (33, 31)])
def test_transposing_by_products_is_exact(shape):
    matrix = torch.randn(shape).bfloat16() * 1e30
    out = torch.empty(shape[1], shape[0] + 32, dtype=torch.bfloat16)[:, : shape[0]]
    tiles._transpose(matrix, out)
    assert torch.equal(out, matrix.t())


def test_a_linear_layer_trains_alike_with_tiles(many, monkeypatch):
    def step(there):
        monkeypatch.setattr(linear, "in_tiles", lambda dtype: there)
        torch.manual_seed(0)
        layer, rows = Linear(*WIDE), torch.randn(3, 25, WIDE[0], requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(rows).float().sin().sum().backward()
        return [rows.grad, layer.weight.grad, layer.bias.grad]

    if not linear._serves(torch.bfloat16):
        pytest.skip("this torch or this processor has no such products")
    plain, transpose, transposed = step(False), tiles._transpose, []
    monkeypatch.setattr(tiles, "_transpose", lambda *given: transposed.append(given) or transpose(*given))
    tiled = step(True)
    assert len(transposed) == (2 if many else 0)
    for ours, theirs in zip(tiled, plain, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.01 * theirs.norm()
