"""Muon for the layers' matrices: the iteration, one step against torch's own Muon, stacked matrices, going on."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bertsmith.config import ModelConfig, PretrainConfig
from bertsmith.model.bert import Bert
from bertsmith.training.budget import Budget
from bertsmith.training.muon import orthogonalise, turns_of
from bertsmith.training.optimizer import (
    AdamW,
    MuonOptions,
    begin_step,
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
)
from bertsmith.training.pretraining_run import recipe_of
from marks import needs_whole

RATE = 0.02
MANY, FEW = 10_000, 320  # tokens in a step, beside which 32 columns are few, and so many that layers take turns
OPTIONS = MuonOptions(rate_share=3.0, step_tokens=MANY, product_dtype=torch.float32)


def small(architecture: str = "bert") -> Bert:
    config = ModelConfig.preset(
        "tiny", vocab_size=50, hidden_size=32, num_attention_heads=2, intermediate_size=48, architecture=architecture
    )
    return Bert(config, generator=torch.Generator().manual_seed(0))


def optimizer_of(model: nn.Module, tokens: int = MANY) -> AdamW:
    optimizer = build_optimizer(model, weight_decay=0.1, muon=replace(OPTIONS, step_tokens=tokens))
    begin_step(optimizer, 0, rate=RATE)
    return optimizer


def give_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 40, 16), (2, 16, 40)])
def test_singular_values_come_near_one_and_the_directions_stay(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonalise(matrices)
    new = torch.einsum("kri,krc,kic->ki", left, found, right)
    large = values > 0.05 * values.max()
    assert (new[large] > 0.6).all()
    assert (new[large] < 1.3).all()
    assert torch.allclose(found, torch.einsum("kri,ki,kic->krc", left, new, right), atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 16, 16), (1, 15, 15), (2, 150, 60), (2, 60, 240), (1, 1, 5)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 5e-3), (torch.bfloat16, 0.6), pytest.param(torch.int16, 0.3, marks=needs_whole)],
)
def test_halves_and_grams_are_the_plain_iteration(
    shape: tuple[int, int, int], dtype: torch.dtype, tolerance: float
) -> None:
    """Of matrices of low rank and a little more, in which the errors of a gram grow most: the plain one in bfloat16 is
    off by half, several iterations too many on one gram by thousands."""
    generator = torch.Generator().manual_seed(1)
    count, rows, columns = shape
    given = torch.randn(count, rows, 3, generator=generator) @ torch.randn(count, 3, columns, generator=generator)
    whole = dtype == torch.int16
    given = (given + 1e-3 * torch.randn(shape, generator=generator)).to(torch.float32 if whole else dtype)
    near = given.double() / torch.linalg.vector_norm(given.double(), dim=(1, 2), keepdim=True)
    for _ in range(5):
        gram = near @ near.mT
        near = 3.4445 * near - 4.7750 * gram @ near + 2.0315 * gram @ gram @ near
    assert (orthogonalise(given, whole=whole).double() - near).norm() < tolerance * near.norm()


def test_matrices_together_are_as_each_alone() -> None:
    matrices = torch.randn(4, 12, 20, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([orthogonalise(matrix[None]) for matrix in matrices])
    assert torch.allclose(orthogonalise(matrices), alone, atol=1e-5)


def test_steps_are_those_of_torchs_muon() -> None:
    """Three steps of a feed-forward matrix; torch's works in bfloat16, which is the whole difference."""
    model = small()
    matrix = model.encoder.layers[0].narrow.weight
    copy = nn.Parameter(matrix.detach().clone())
    theirs = torch.optim.Muon([copy], lr=3 * RATE, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    ours = optimizer_of(model)
    before = matrix.detach().clone()
    for seed in range(3):
        give_gradients(model, seed)
        copy.grad = matrix.grad.clone()
        ours.step()
        theirs.step()
    moved = (matrix - before).norm()
    assert (matrix - copy).norm() < 0.02 * moved


@needs_whole
def test_in_int16_its_products_are_of_whole_numbers() -> None:
    moved = []
    for dtype in (torch.float32, torch.int16):
        model = small()
        before = model.encoder.layers[0].widen.weight.detach().clone()
        optimizer = build_optimizer(model, weight_decay=0.1, muon=replace(OPTIONS, product_dtype=dtype))
        begin_step(optimizer, 0, rate=RATE)
        give_gradients(model, 0)
        optimizer.step()
        moved.append(model.encoder.layers[0].widen.weight.detach() - before)
    assert 1e-6 < (moved[1] - moved[0]).norm() / moved[0].norm() < 0.05
    assert recipe_of(PretrainConfig(optimizer="muon"), Budget(1, "steps"), "int16").muon == replace(
        OPTIONS, rate_share=3.0, step_tokens=32 * 128, product_dtype=torch.int16
    )


@pytest.mark.parametrize(("architecture", "part", "stacked"), [("bert", "qkv", 3), ("modernbert", "widen", 2)])
def test_matrices_under_one_another_are_stepped_each_for_itself(architecture: str, part: str, stacked: int) -> None:
    model = small(architecture)
    layer = model.encoder.layers[1]
    matrix: Tensor = layer.attention.qkv.weight if part == "qkv" else layer.widen.weight
    give_gradients(model, 0)
    gradients, before = matrix.grad.clone().chunk(stacked), matrix.detach().clone().chunk(stacked)
    optimizer_of(model).step()
    for after, old, gradient in zip(matrix.detach().chunk(stacked), before, gradients, strict=True):
        rate = 3 * RATE
        step = 0.2 * max(old.shape) ** 0.5 * orthogonalise(gradient[None])[0]
        assert torch.allclose(after, (1 - rate * 0.1) * old - rate * step, atol=1e-5)


def test_all_but_the_matrices_of_layers_have_adamw() -> None:
    ours, plain = small(), small()
    options = build_optimizer(plain, weight_decay=0.1)
    begin_step(options, 0, rate=RATE)
    for model, optimizer in ((ours, optimizer_of(ours)), (plain, options)):
        give_gradients(model, 0)
        optimizer.step()
    same = {
        name
        for (name, mine), (_, theirs) in zip(ours.named_parameters(), plain.named_parameters(), strict=True)
        if torch.equal(mine, theirs)
    }
    others = {name for name, _ in ours.named_parameters()} - same
    assert len(others) == 2 * 4
    assert all(name.startswith("encoder.layers.") and name.endswith(".weight") for name in others)
    assert not any("norm" in name for name in others)


@pytest.mark.parametrize(
    ("width", "tokens", "turns"),
    [(128, 4096, 1), (256, 4096, 2), (512, 4096, 4), (768, 4096, 4), (768, 16384, 1), (1024, 256, 4)],
)
def test_the_fewer_tokens_beside_the_width_the_longer_a_layer_waits(width: int, tokens: int, turns: int) -> None:
    assert turns_of(width, tokens) == turns


def test_layers_take_turns_and_go_twice_as_far_along_all_their_gradients() -> None:
    model = small()
    matrices = [layer.narrow.weight for layer in model.encoder.layers]
    optimizer = optimizer_of(model, FEW)
    moved = []
    momenta = [torch.zeros_like(matrix) for matrix in matrices]
    for step in range(4):
        give_gradients(model, step)
        before = [matrix.detach().clone() for matrix in matrices]
        gradients = [matrix.grad.clone() for matrix in matrices]
        begin_step(optimizer, step, rate=RATE)
        optimizer.step()
        moved.append([not torch.equal(matrix, old) for matrix, old in zip(matrices, before, strict=True)])
        for matrix, old, momentum, gradient in zip(matrices, before, momenta, gradients, strict=True):
            momentum.lerp_(gradient, 0.05)
            if moved[-1] == [matrix is each for each in matrices]:
                rate = 2 * 3 * RATE
                direction = orthogonalise(gradient.lerp(momentum, 0.95)[None])[0]
                expected = (1 - rate * 0.1) * old - rate * 0.2 * max(old.shape) ** 0.5 * direction
                assert torch.allclose(matrix, expected, atol=1e-5)
    assert moved in ([[True, False], [False, True]] * 2, [[False, True], [True, False]] * 2)


@pytest.mark.parametrize("tokens", [MANY, FEW])
def test_going_on_from_its_tensors_is_the_straight_run(tokens: int) -> None:
    straight, begun = small(), small()
    optimizer = optimizer_of(straight, tokens)
    for seed in range(4):
        give_gradients(straight, seed)
        begin_step(optimizer, seed, rate=RATE)
        optimizer.step()
    first = optimizer_of(begun, tokens)
    for seed in range(3):
        give_gradients(begun, seed)
        begin_step(first, seed, rate=RATE)
        first.step()
    tensors = {name: tensor.clone() for name, tensor in optimizer_tensors(first, begun).items()}
    assert "momentum.encoder.layers.0.widen.weight" in tensors
    second = optimizer_of(begun, tokens)
    load_optimizer_tensors(second, begun, tensors)
    give_gradients(begun, 3)
    begin_step(second, 3, rate=RATE)
    second.step()
    for mine, theirs in zip(begun.parameters(), straight.parameters(), strict=True):
        assert torch.equal(mine, theirs)
