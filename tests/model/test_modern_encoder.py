"""ModernBERT's encoder: who sees whom, rotary positions by hand, how it begins, what it refuses."""

import math

import pytest
import torch
from bert_twins import TINY, generator, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from modern_twins import MODERN, REACH, packed_rows, tiny_modern
from torch.nn import functional as F
from transformers import ModernBertConfig, ModernBertForMaskedLM, ModernBertForTokenClassification

from bertsmith.config import PRESETS, HeadConfig, ModelConfig, PretrainConfig
from bertsmith.errors import ConfigError, ShapeError
from bertsmith.model.attention import attention_bias
from bertsmith.model.bert import Bert
from bertsmith.model.formats import to_hf_tensors
from bertsmith.model.rotary import rotary, rotate

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@settings(max_examples=25)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3), spare=st.integers(0, 3), seed=st.integers(0, 99))
def test_a_packed_sequence_is_the_same_as_alone(lengths, spare, seed):
    bert, batch = tiny_modern(max_position_embeddings=40), rows(lengths, 9, seed)
    row = {name: torch.cat([values[i, :n] for i, n in enumerate(lengths)]) for name, values in batch.items()}
    row["sequence_ids"] = torch.repeat_interleave(torch.arange(len(lengths)) + 1, torch.tensor(lengths))
    together = bert(**{name: F.pad(values, (0, spare))[None] for name, values in row.items()})[0]
    begin = 0
    for i, length in enumerate(lengths):
        alone = {name: values[i : i + 1, :length] for name, values in batch.items()}
        torch.testing.assert_close(together[begin : begin + length], bert(**alone)[0], **CLOSE)
        torch.testing.assert_close(bert(**{**alone, "sequence_ids": None}), bert(**alone), **CLOSE)
        begin += length


@pytest.mark.parametrize("layers", [1, 2])
def test_a_place_depends_on_its_own_sequence_as_far_as_its_layers_reach(layers):
    """Local layers alone would see two places a layer; a global one sees all of the sequence."""
    batch = packed_rows()
    bert = tiny_modern()
    embedded = bert.encoder.embeddings(batch["input_ids"]).detach().requires_grad_()
    shared = bert.encoder.shared(embedded, batch["position_ids"], batch["sequence_ids"])
    hidden = embedded
    for index in range(1, 1 + layers):  # the first layer is global, the next two are local
        hidden = bert.encoder.layers[index](hidden, *shared[index])
    (gradient,) = torch.autograd.grad(hidden[0, 8].square().sum(), embedded)
    reached = [place for place in range(6, 13) if abs(place - 8) <= layers * REACH]
    assert (gradient[0].abs().sum(-1) > 0).nonzero()[:, 0].tolist() == reached
    (gradient,) = torch.autograd.grad(bert.encoder.layers[0](embedded, *shared[0])[0, 8].square().sum(), embedded)
    assert (gradient[0].abs().sum(-1) > 0).nonzero()[:, 0].tolist() == list(range(6, 13))


def test_the_bias_of_a_local_layer_by_hand():
    bias = attention_bias(torch.tensor([[1, 1, 1, 2]]), torch.float32, reach=1)[0, 0]
    assert (bias == 0).tolist() == [
        [True, True, False, False],
        [True, True, True, False],
        [False, True, True, False],
        [False, False, False, True],
    ]


def test_a_rotation_by_hand_and_its_gradient():
    by = rotary(torch.tensor([[0, 1, 3]]), 4, theta=100.0, dtype=torch.float64)
    values = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).expand(1, 2, 3, 4).clone().requires_grad_()
    turned = rotate(values, by)
    expected = []
    for place in (0, 1, 3):  # the pairs (1, 3) and (2, 4), of wavelengths 2π and 20π
        slow, fast = place * 100.0**-0.5, float(place)
        expected.append(
            [
                math.cos(fast) - 3 * math.sin(fast),
                2 * math.cos(slow) - 4 * math.sin(slow),
                3 * math.cos(fast) + math.sin(fast),
                4 * math.cos(slow) + 2 * math.sin(slow),
            ]
        )
    torch.testing.assert_close(turned[0, 1], torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(turned.norm(dim=-1), values.norm(dim=-1), atol=1e-6, rtol=1e-6)
    assert torch.autograd.gradcheck(lambda rows: rotate(rows, by), (values,))


def test_scores_depend_on_the_distance_alone():
    query, key = torch.randn(2, 1, 1, 1, 8, generator=generator(0))

    def score(first: int, second: int) -> float:
        tables = [rotary(torch.tensor([[place]]), 8, theta=50.0, dtype=torch.float32) for place in (first, second)]
        return float((rotate(query, tables[0]) * rotate(key, tables[1])).sum())

    assert score(0, 3) == pytest.approx(score(11, 14), abs=1e-5)
    assert score(0, 3) != pytest.approx(score(3, 0), abs=1e-3)


def test_bfloat16_is_near_float32_and_its_bias_and_angles_are_in_it():
    bert, batch = tiny_modern(), packed_rows()
    real = batch["sequence_ids"].bool()
    with torch.autocast("cpu", torch.bfloat16):
        half = bert(**batch)
        shared = bert.encoder.shared(half, batch["position_ids"], batch["sequence_ids"])
    assert shared[1].bias().dtype == shared[1].rotary.cosine.dtype == torch.bfloat16
    assert F.cosine_similarity(half[real].float(), bert(**batch)[real], dim=-1).min() > 0.99


def test_rows_longer_than_the_model_are_refused():
    with pytest.raises(ShapeError, match="rows of 21 tokens, but the model has 20 positions"):
        tiny_modern()(**rows([21], 21))


def test_it_begins_as_the_model_of_transformers_does():
    shape = {"vocab_size": 500, "hidden_size": 128, "num_hidden_layers": 8, "num_attention_heads": 2}
    config = ModelConfig(**shape, intermediate_size=256, architecture="modernbert", pad_token_id=None)
    ours = {**to_hf_tensors(Bert(config, generator=generator(0)))}
    head = HeadConfig(task="tag", labels=tuple("abcdefgh"))
    ours |= to_hf_tensors(Bert(config, (), head=head, generator=generator(0)))
    theirs = ModernBertConfig(**shape, intermediate_size=256, pad_token_id=None, num_labels=8)
    reference = ModernBertForMaskedLM(theirs).state_dict() | ModernBertForTokenClassification(theirs).state_dict()
    for name, weight in ours.items():
        assert weight.std().item() == pytest.approx(reference[name].std().item(), rel=0.1), name
        assert weight.abs().max().item() == pytest.approx(reference[name].abs().max().item(), rel=0.1), name


@pytest.mark.parametrize("size", PRESETS)
def test_a_preset_is_as_large_as_berts(size):
    def of_a_layer(**values) -> int:
        with torch.device("meta"):
            bert = Bert(ModelConfig.preset(size, vocab_size=100, **values), (), generator=None)
        return sum(weight.numel() for weight in bert.encoder.layers[1].parameters())

    config = ModelConfig.preset(size, vocab_size=100, architecture="modernbert")
    assert (config.intermediate_size % 64, config.hidden_dropout_prob, config.layer_norm_eps) == (0, 0.0, 1e-5)
    assert of_a_layer(architecture="modernbert") == pytest.approx(of_a_layer(), rel=0.05)


def test_what_it_has_not_is_refused():
    with pytest.raises(ConfigError, match=r"no next-sentence prediction\. Say --objective mlm"):
        PretrainConfig(architecture="modernbert", objective="mlm+nsp")
    assert PretrainConfig(architecture="modernbert").objective == "mlm"
    assert PretrainConfig().objective == "mlm+nsp"
    with pytest.raises(ConfigError, match='"next_sentence" and "qa_outputs" are of BERT'):
        Bert(ModelConfig(**MODERN), ("pooler", "next_sentence"), generator=None)
    with pytest.raises(ConfigError, match='option "architecture"'):
        ModelConfig(**TINY, architecture="modernbart")
