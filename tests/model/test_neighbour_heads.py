"""The start in which heads look beside: where they look, at any length, and what else is changed."""

import pytest
import torch
from torch import Tensor

from bertsmith.config import ModelConfig
from bertsmith.model.attention import SelfAttention
from bertsmith.model.bert import Bert
from bertsmith.model.neighbour_heads import OFFSETS, hand_on_neighbours, look_at_neighbours


def begun(**shape: int) -> tuple[Bert, Bert]:
    """A mini BERT that begins at random, and the same one looking beside."""
    config = ModelConfig.preset("mini", vocab_size=100, **shape)
    plain, looking = (Bert(config, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    look_at_neighbours(looking, torch.Generator().manual_seed(1))
    return plain, looking


def weights_of(attention: SelfAttention, hidden: Tensor) -> Tensor:
    """(B, T, D) -> (B, N, T, T)."""
    query, key, _ = attention.qkv(hidden).unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
    return ((query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)).softmax(-1)


@pytest.mark.parametrize("length", [32, 128, 512])
def test_each_head_looks_at_its_neighbour_at_any_length(length: int) -> None:
    _, bert = begun()
    ids = torch.randint(1, 100, (4, length), generator=torch.Generator().manual_seed(2))
    places = torch.arange(length).expand(4, length)
    hidden = bert.encoder.embeddings(ids, torch.zeros_like(ids), places)
    weights = weights_of(bert.encoder.layers[0].attention, hidden).mean(0)  # (N, T, T)
    for head, offset in enumerate(OFFSETS):
        there = [weights[head].diagonal(other).mean().item() for other in range(-length // 2, length // 2)]
        best = sorted(range(len(there)), key=there.__getitem__)[-2:]
        assert best[1] - length // 2 == offset
        assert there[best[1]] > 0.15  # 1 / length if it looked everywhere
        assert there[best[1]] > 5 * there[best[0]]


def test_positions_are_as_long_as_words() -> None:
    _, looking = begun()
    words = looking.encoder.embeddings.word.weight[1:].norm(dim=1).mean()
    positions = looking.encoder.embeddings.position.weight.norm(dim=1)
    assert positions.mean().item() == pytest.approx(words.item(), rel=0.2)
    assert positions.std().item() < 1e-5


def test_each_head_hands_on_its_part_of_what_it_sees() -> None:
    _, bert = begun()
    before = {name: parameter.detach().clone() for name, parameter in bert.named_parameters()}
    hand_on_neighbours(bert)
    changed = {name: after - before[name] for name, after in bert.named_parameters() if not after.equal(before[name])}
    assert set(changed) == {f"encoder.layers.{n}.attention.{part}.weight" for n in (0, 1) for part in ("qkv", "output")}
    values = changed["encoder.layers.1.attention.qkv.weight"].chunk(3)[2]
    outputs = changed["encoder.layers.1.attention.output.weight"]
    torch.testing.assert_close(outputs @ values, torch.eye(bert.config.hidden_size))  # four heads, a quarter each


def test_nothing_but_positions_queries_and_keys_is_changed() -> None:
    plain, looking = begun()
    changed = {
        name
        for (name, before), (_, after) in zip(plain.named_parameters(), looking.named_parameters(), strict=True)
        if not torch.equal(before, after)
    }
    assert changed == {
        "encoder.embeddings.position.weight",
        *(f"encoder.layers.{n}.attention.qkv.weight" for n in (0, 1)),
    }
    values = [bert.encoder.layers[0].attention.qkv.weight.chunk(3)[2] for bert in (plain, looking)]
    assert torch.equal(*values)


@pytest.mark.parametrize(
    "shape",
    [
        {"num_hidden_layers": 1},
        {"num_attention_heads": 1, "hidden_size": 8},
        {"num_attention_heads": 2, "hidden_size": 14},
        {"num_attention_heads": 8, "hidden_size": 64},
    ],
)
def test_any_shape_may_begin_so(shape: dict[str, int]) -> None:
    plain, looking = begun(**shape)
    first = [bert.encoder.layers[0].attention.qkv.weight for bert in (plain, looking)]
    assert torch.equal(*first) == (shape.get("num_hidden_layers") == 1)
    assert all(parameter.isfinite().all() for parameter in looking.parameters())
