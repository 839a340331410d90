"""The encoder for prediction against the plain one."""

import pytest
import torch
from flat_rows import packed_rows, plain
from torch import nn
from torch.nn import functional as F

from bertsmith.model import flat_encoder, packed
from bertsmith.model.attention import long_sequences, sequence_lengths
from bertsmith.model.flat_encoder import FlatEncoder, Run, attention, query_scale
from bertsmith.model.flat_tokens import flat_tokens
from bertsmith.model.half import can_halve, prediction_linear
from bertsmith.model.packed import PackedLinear, can_pack


@pytest.fixture(params=["oneDNN", "AVX2", "without"])
def products(request, monkeypatch):
    """Each kind of products: packed, packed for few rows only, plain."""
    if request.param == "without":
        monkeypatch.setattr(packed, "can_pack", lambda dtype: False)
    elif not can_pack(torch.float32):
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(packed, "mkl_is_faster", lambda dtype: request.param == "AVX2")
    monkeypatch.setattr(packed, "_FEW_ROWS", 8)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@torch.inference_mode()
def test_it_computes_what_the_plain_encoder_computes(products, activation, monkeypatch):
    monkeypatch.setattr(flat_encoder, "MANY_TOKENS", 0)
    encoder, config = plain(hidden_act=activation)
    rows, places = packed_rows([70, 40, 40, 30, 29, 9, 1, 70])
    assert (rows["sequence_ids"] == 0).any()
    assert (rows["sequence_ids"] == 2).any()
    flat = FlatEncoder(encoder, config, torch.float32)
    real = rows["sequence_ids"] > 0
    wanted = encoder(**rows)
    torch.testing.assert_close(flat(**rows)[real], wanted[real], atol=1e-5, rtol=1e-5)
    assert not flat(**rows)[~real].any()
    for some in (places, places[1:], places[:0], places[[3, 9, 3, 0, 1, 2, 4, 5]]):  # of each sequence as many, and not
        torch.testing.assert_close(flat(**rows, places=some), encoder(**rows, places=some), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder(**rows, places=places), wanted.flatten(0, 1)[places], atol=0, rtol=0)
    for ours, theirs in zip(flat.hidden_states(**rows), encoder.hidden_states(**rows), strict=True):
        torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_rows_that_are_one_sequence_each_need_no_sequence_ids(products):
    encoder, config = plain()
    rows, places = packed_rows([23] * 30)  # 22 of them go through attention at once
    assert (rows["sequence_ids"] == 1).all()
    flat = FlatEncoder(encoder, config, torch.float32)
    told = flat(**rows)
    rows["sequence_ids"] = None
    torch.testing.assert_close(flat(**rows), encoder(**rows), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(flat(**rows), told, atol=1e-6, rtol=0)
    torch.testing.assert_close(flat(**rows, places=places), encoder(**rows, places=places), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("few_ask", [True, False])
@torch.inference_mode()
def test_bfloat16_points_the_same_way(few_ask, monkeypatch):
    """Trained-like scale: hidden states of three layers keep a cosine of 0.999 to the exact ones, at every token."""
    monkeypatch.setattr(flat_encoder, "MANY_TOKENS", 0 if few_ask else 10_000)
    encoder, config = plain(hidden_size=128, num_attention_heads=2, intermediate_size=256)
    for layer in encoder.layers:
        layer.attention.qkv.weight.mul_(2)  # so that it matters where attention looks
    rows, places = packed_rows([100, 80, 64, 31, 32, 33, 3])
    exact = encoder(**rows, places=places)
    low = FlatEncoder(encoder, config, torch.bfloat16)(**rows, places=places)
    assert low.dtype == torch.float32
    assert F.cosine_similarity(low, exact).min() > 0.999
    assert not torch.equal(low, exact)


@pytest.mark.parametrize("tokens", [5, 31, 32, 45, 64])
def test_attention_in_bfloat16_is_attention(tokens):
    generator = torch.Generator().manual_seed(tokens)
    heads = torch.randn(3, 2, 4, tokens, 16, generator=generator).bfloat16()
    query, keys_values = (heads[0] * query_scale(16)).bfloat16(), heads[1:]
    wanted = F.scaled_dot_product_attention(query.float() / query_scale(16), *keys_values.float())
    torch.testing.assert_close(attention(query, keys_values).float(), wanted, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(("score", "values"), [(90, 1), (-90, 1), (85, 1e4), (75, 1), (60, 1), (-30, 1)])
def test_attention_in_bfloat16_bears_any_scores(score, values):
    """Those whose powers, or their products with the values, bfloat16 cannot hold go by way of softmax."""
    generator = torch.Generator().manual_seed(0)
    heads = torch.zeros(3, 1, 2, 40, 16)
    heads[0, ..., 0] = 4 * query_scale(16)  # the root of the width, so that scores are what keys hold
    heads[1, ..., 0] = score - torch.randint(5, (40,), generator=generator)
    heads[2] = torch.randn(2, 40, 16, generator=generator) * values
    heads = heads.bfloat16()
    wanted = F.scaled_dot_product_attention(heads[0].double() / query_scale(16), *heads[1:].double())
    near = 0.02 + abs(score) / 1024  # scores are whole, their powers of two are of rounded ones
    torch.testing.assert_close(attention(heads[0], heads[1:]).double(), wanted, atol=near * values, rtol=0)
    assert (wanted - heads[2].double().mean(-2, keepdim=True)).abs().max() > 0.3 * values


def test_neighbours_of_equal_length_go_together_up_to_512_tokens():
    ids = torch.tensor([[1, 1, 2, 2, 3, 0], [1, 1, 2, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    assert sequence_lengths(ids) == [2, 2, 1, 2, 1, 6]
    assert flat_encoder._runs([2, 2, 1, 2, 6]) == [Run(0, 2, 2), Run(4, 1, 1), Run(5, 1, 2), Run(7, 1, 6)]
    assert flat_encoder._runs([200] * 5) == [Run(0, 2, 200), Run(400, 2, 200), Run(800, 1, 200)]
    assert flat_encoder._runs([600, 600]) == [Run(0, 1, 600), Run(600, 1, 600)]


@torch.inference_mode()
def test_packed_products_are_those_of_the_layer(products):
    layer = nn.Linear(24, 40)
    rows, residual = torch.randn(7, 24), torch.randn(7, 40)
    ours = PackedLinear(layer.weight, layer.bias, torch.float32)
    torch.testing.assert_close(ours(rows), layer(rows), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(rows[None]), layer(rows)[None], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(rows, "gelu"), F.gelu(layer(rows)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(rows, "relu"), F.relu(layer(rows)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.plus(rows, residual), layer(rows) + residual, atol=1e-5, rtol=1e-5)
    bare = nn.Linear(24, 40, bias=False)
    torch.testing.assert_close(PackedLinear(bare.weight, None, torch.float32)(rows), bare(rows), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "processor", "mkl", "narrow"),
    [
        (torch.float32, {"avx2": True, "avx512_f": False}, True, True),
        (torch.float32, {"avx2": True, "avx512_f": True}, True, False),
        (torch.bfloat16, {"avx2": True, "avx512_f": False}, True, False),
        (torch.float32, {"avx2": True, "avx512_f": False}, False, False),
        (torch.float32, {"neon": True}, True, False),
    ],
)
def test_the_processor_says_which_product_is_taken(dtype, processor, mkl, narrow, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    assert packed.mkl_is_faster(dtype) == narrow
    monkeypatch.setattr(packed, "can_pack", lambda dtype: False)
    assert PackedLinear(torch.ones(4, 4), None, torch.float32).plain is not None


@torch.inference_mode()
@pytest.mark.skipif(not can_halve(), reason="torch has no product with weights in float16 here")
@pytest.mark.parametrize("shape", [(7, 24), (1, 24), (0, 24), (2, 3, 24)])
def test_half_weights_give_the_products_of_rounded_ones(shape):
    layer = nn.Linear(24, 40)
    rounded = layer.weight.half().float()
    rows, residual = torch.randn(shape), torch.randn(*shape[:-1], 40)
    wanted = F.linear(rows, rounded, layer.bias)
    ours = prediction_linear(layer.weight, layer.bias, torch.float16)
    torch.testing.assert_close(ours(rows), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(rows, "gelu_new"), F.gelu(wanted, approximate="tanh"), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.plus(rows, residual), wanted + residual, atol=1e-5, rtol=1e-5)
    apart = torch.randn(*shape[:-1], 48)[..., ::2]  # rows with gaps
    bare = prediction_linear(layer.weight, None, torch.float16)
    torch.testing.assert_close(bare(apart), F.linear(apart, rounded), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not can_halve(), reason="torch has no product with weights in float16 here")
def test_half_weights_are_found_whatever_torchs_defaults_are():
    can_halve.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert can_halve()
    finally:
        torch.set_default_dtype(torch.float32)


def test_padding_is_every_id_that_is_not_positive(monkeypatch):
    monkeypatch.setattr("bertsmith.model.attention.LONG_TOKENS", 1)
    ids = torch.tensor([[1, 1, -1, -1], [0, 0, 0, 0]])
    flat = flat_tokens(ids, ids, ids, ids, longest=4)
    at, lengths = long_sequences(ids)
    assert flat.at.tolist() == at.tolist() == [0, 1]
    assert flat.lengths == lengths == [2]


def test_weights_that_float16_cannot_hold_stay_in_float32():
    weight = torch.eye(4) * 1e5
    large = prediction_linear(weight, None, torch.float16)
    assert isinstance(large, PackedLinear)
    torch.testing.assert_close(large(torch.ones(1, 4)), torch.full((1, 4), 1e5))


def test_tokens_are_asked_for_evenly_if_each_sequence_has_as_many(monkeypatch):
    runs = [Run(0, 2, 4), Run(8, 1, 3)]
    assert flat_encoder._even_order(torch.tensor([8, 5, 0]), runs) is None  # a short text
    monkeypatch.setattr(flat_encoder, "MANY_TOKENS", 11)
    assert flat_encoder._even_order(torch.tensor([8, 5, 0]), runs).tolist() == [2, 1, 0]
    assert flat_encoder._even_order(torch.tensor([8, 3, 0]), runs) is None
    assert flat_encoder._even_order(torch.tensor([8, 5, 0, 1]), runs) is None
    assert flat_encoder._even_order(torch.tensor([8, 5, 0, 9, 1, 4]), runs) is None  # more than half
