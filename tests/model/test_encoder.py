"""Who sees whom; dropout; the two attention paths; precision; initial weights."""

import pytest
import torch
from bert_twins import TINY, generator, rows, tiny_bert
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bertsmith.config import ModelConfig
from bertsmith.errors import ConfigError, ShapeError
from bertsmith.model import attention
from bertsmith.model.attention import attention_bias, plain_attention
from bertsmith.model.bert import Bert
from bertsmith.model.fused_passes import Hidden

BERT = tiny_bert()
PLAIN_OR_FUSED = pytest.mark.parametrize("gradients", [True, False], ids=["plain", "fused"])
Rows = dict[str, Tensor]


def packed(batch: Rows, lengths: list[int], width: int) -> Rows:
    """The sequences of a batch, one behind the other in a single row."""
    row = {name: torch.cat([values[i, :n] for i, n in enumerate(lengths)]) for name, values in batch.items()}
    row["sequence_ids"] = torch.repeat_interleave(torch.arange(len(lengths)) + 1, torch.tensor(lengths))
    return {name: F.pad(values, (0, width - len(values)))[None] for name, values in row.items()}


@PLAIN_OR_FUSED
@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    spare=st.integers(0, 2),
)
def test_a_packed_sequence_is_the_same_as_alone(gradients, lengths, seed, spare):
    batch = rows(lengths, 6, seed)
    with torch.set_grad_enabled(gradients):
        together = BERT(**packed(batch, lengths, sum(lengths) + spare))[0]
        begin = 0
        for i, length in enumerate(lengths):
            alone = BERT(**{name: values[i : i + 1, :length] for name, values in batch.items()})[0]
            torch.testing.assert_close(together[begin : begin + length], alone, atol=1e-5, rtol=1e-5)
            begin += length


@PLAIN_OR_FUSED
@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 8), min_size=2, max_size=4),
    seed=st.integers(0, 1000),
    padding=st.integers(0, 9),
    data=st.data(),
)
def test_padding_and_batch_order_never_change_a_real_token(gradients, lengths, seed, padding, data):
    batch = rows(lengths, 8, seed)
    order = torch.tensor(data.draw(st.permutations(range(len(lengths)))))
    other = {name: F.pad(values[order], (0, padding)) for name, values in batch.items()}
    real = batch["sequence_ids"][order].bool()
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(BERT(**other)[:, :8][real], BERT(**batch)[order][real], atol=1e-5, rtol=1e-5)


@settings(max_examples=25)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3), spare=st.integers(0, 3), data=st.data())
def test_a_place_depends_on_its_own_sequence_and_on_nothing_else(lengths, spare, data):
    batch = packed(rows(lengths, 5), lengths, sum(lengths) + spare)
    place = data.draw(st.integers(0, sum(lengths) - 1))
    embedded = BERT.encoder.embeddings(*(batch[n] for n in ("input_ids", "token_type_ids", "position_ids"))).detach()
    embedded.requires_grad_()
    bias, hidden = attention_bias(batch["sequence_ids"], embedded.dtype), Hidden(embedded, embedded)
    for layer in BERT.encoder.layers:
        hidden = layer(hidden, bias)
    (gradient,) = torch.autograd.grad(hidden.exact[0, place].square().sum(), embedded)
    seen = gradient[0].abs().sum(-1) > 0
    own = batch["sequence_ids"][0] == batch["sequence_ids"][0, place]
    assert seen.tolist() == own.tolist()


@PLAIN_OR_FUSED
def test_padding_gives_no_nan_and_no_sequence_ids_means_one_sequence_a_row(gradients):
    batch = rows([7, 0, 3], 7)
    with torch.set_grad_enabled(gradients):
        assert BERT(**batch).isfinite().all()
        full = rows([7, 7], 7)
        torch.testing.assert_close(BERT(**{**full, "sequence_ids": None}), BERT(**full), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_places_are_those_of_all_hidden_states_and_so_are_the_gradients(architecture):
    options = {"local_attention": 4} if architecture == "modernbert" else {}
    bert = Bert(ModelConfig(**TINY | options, architecture=architecture), generator=generator(0))
    batch, places = rows([9, 4, 7], 9), torch.tensor([20, 0, 3, 3, 9])  # in any order, one of them twice
    batch["position_ids"][0] = batch["position_ids"][0].flip(0)  # no two rows alike
    found = []
    for hidden in (bert(**batch, places=places), bert(**batch).flatten(0, 1)[places]):
        bert.zero_grad()
        (hidden * torch.arange(hidden.numel()).view_as(hidden).cos()).sum().backward()
        found.append([hidden.detach(), *(parameter.grad for parameter in bert.encoder.parameters())])
    for mine, right in zip(*found, strict=True):
        torch.testing.assert_close(mine, right, atol=1e-5, rtol=1e-5)


def test_rows_that_are_one_sequence_each_are_asked_at_places_too():
    batch = rows([7, 7], 7) | {"sequence_ids": None}
    places = torch.tensor([8, 2, 13])
    torch.testing.assert_close(BERT(**batch, places=places), BERT(**batch).flatten(0, 1)[places], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sequence_by_sequence_is_the_same_as_packed_rows_with_a_bias(dtype, monkeypatch):
    lengths = [[9, 8], [12], [3, 7, 10]]
    each = [packed(rows(row, 12, seed), row, 20) for seed, row in enumerate(lengths)]
    batch = {name: torch.cat([row[name] for row in each]) for name in each[0]}
    places = torch.tensor([40, 0, 9, 31, 43, 59])  # the last, (2, 19), ends the row of 3 + 7 + 10
    found = []
    for least in (1000, 1):
        monkeypatch.setattr(attention, "LONG_TOKENS", least)
        assert (attention.long_sequences(batch["sequence_ids"]) is None) == (least == 1000)
        BERT.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            hidden = BERT(**batch, places=places)
        (hidden * torch.arange(hidden.numel()).view_as(hidden).cos()).sum().backward()
        found.append([hidden.detach(), *(parameter.grad for parameter in BERT.encoder.parameters())])
    near = 1e-5 if dtype == torch.float32 else 0.1
    for mine, right in zip(*found, strict=True):
        torch.testing.assert_close(mine.float(), right.float(), atol=near, rtol=near)
    BERT.zero_grad()


def test_lengths_of_the_sequences():
    ids = torch.tensor([[1, 1, 2, 0], [1, 1, 1, 1], [1, 2, 2, 2]])
    assert attention.sequence_lengths(ids) == [2, 1, 4, 1, 3]


@pytest.mark.parametrize(
    ("lengths", "goes"),
    [
        ([[80], [128]], True),  # of the pairs of places three in ten are padding's
        ([[120], [128]], False),  # hardly anything to leave out
        ([[64, 64], [128]], False),  # much, in sequences that are too short
        ([[128, 100], [128, 128]], True),
    ],
)
def test_attention_goes_sequence_by_sequence_where_that_leaves_much_out(lengths, goes):
    width = max(sum(row) for row in lengths)
    ids = torch.tensor(
        [[k for k, t in enumerate(row, 1) for _ in range(t)] + [0] * (width - sum(row)) for row in lengths]
    )
    assert (attention.long_sequences(ids) is not None) == goes


@pytest.mark.parametrize("masked", [True, False])
def test_the_fused_path_is_the_plain_path(masked):
    query, key, value = torch.randn(3, 2, 4, 9, 6, generator=generator(0))
    sequence_ids = torch.tensor([[1, 1, 1, 2, 2, 3, 0, 0, 0], [1] * 9])
    bias = attention_bias(sequence_ids, torch.float32) if masked else None
    fused = F.scaled_dot_product_attention(query, key, value, bias)
    torch.testing.assert_close(plain_attention(query, key, value, bias, 0.0), fused, atol=1e-6, rtol=1e-6)
    batch = packed(rows([5, 4], 9), [5, 4], 11)
    with torch.no_grad():
        without = BERT(**batch)
    torch.testing.assert_close(BERT(**batch), without, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("gradients", [True, False])
def test_bf16_autocast_stays_near_float32_and_answers_in_float32(gradients):
    batch = rows([16, 9, 4], 16)
    real = batch["sequence_ids"].bool()
    with torch.set_grad_enabled(gradients):
        exact = BERT(**batch)[real]
        with torch.autocast("cpu", torch.bfloat16):
            rough = BERT(**batch)[real]
    assert not torch.equal(rough.float(), exact)
    assert (rough.float() - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt()


@pytest.mark.parametrize("where", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_dropout_drops_in_training_only_and_the_same_seed_drops_the_same(where):
    bert, batch = tiny_bert(**{where: 0.5}), rows([12] * 4, 12)
    torch.testing.assert_close(bert(**batch), tiny_bert()(**batch), atol=0, rtol=0)
    bert.train()
    torch.manual_seed(0)
    first, second = bert(**batch), bert(**batch)
    torch.manual_seed(0)
    assert torch.equal(bert(**batch), first)
    assert not torch.allclose(first, second, atol=1e-2)


def test_hidden_dropout_drops_its_share_of_the_embeddings():
    bert, batch = tiny_bert(hidden_dropout_prob=0.25).train(), rows([20] * 60, 20)
    torch.manual_seed(0)
    embedded = bert.encoder.hidden_states(**batch)[0]
    assert (embedded == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)


def test_a_row_longer_than_the_positions_is_a_clear_error():
    with pytest.raises(ShapeError, match=r"rows of 21 tokens.*20 positions.*Cut the rows to 20"):
        BERT(**rows([21], 21))


def test_initial_weights_are_bert_s_and_a_function_of_the_seed_alone():
    config = ModelConfig(**{**TINY, "hidden_size": 64, "vocab_size": 2000})
    before = torch.get_rng_state()
    first, same = Bert(config, generator=generator(0)), Bert(config, generator=generator(0))
    encoder_only = Bert(config, parts=(), generator=generator(0))
    other = Bert(config, generator=generator(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    assert all(
        torch.equal(a, b) for a, b in zip(first.encoder.parameters(), encoder_only.encoder.parameters(), strict=True)
    )
    assert not torch.equal(first.encoder.layers[0].widen.weight, other.encoder.layers[0].widen.weight)
    assert not first.encoder.embeddings.word.weight[0].any()  # [PAD]
    for name, weight in first.named_parameters():
        if name == "encoder.embeddings.word.weight":
            # a normal cut at two sigma: standard deviation 0.8796 of the uncut one's, nothing beyond the cut
            assert weight[1:].std().item() == pytest.approx(0.02 * 0.8796, rel=0.01)
        if weight.dim() == 2:
            assert 0.03 < weight.abs().max().item() <= 0.04
        else:
            assert torch.equal(weight, torch.full_like(weight, float(name.endswith("norm.weight"))))


def test_parts_that_do_not_fit_together_are_named():
    config = ModelConfig(**TINY)
    with pytest.raises(ConfigError, match=r'unknown part "poler".*pooler, masked_lm, next_sentence'):
        Bert(config, parts=("poler",), generator=generator(0))
    with pytest.raises(ConfigError, match='add the part "pooler"'):
        Bert(config, parts=("next_sentence",), generator=generator(0))
    with pytest.raises(ConfigError, match=r'no part "masked_lm" \(it has: pooler\)'):
        tiny_bert(parts=("pooler",)).masked_lm_logits(torch.zeros(1, 24))
