"""Prediction's fast ways against the plain model."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch

from bertsmith.config import ModelConfig
from bertsmith.errors import ConfigError, InputError
from bertsmith.inference.fast import fast_copy
from bertsmith.inference.predictor import load
from bertsmith.model import precision
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_model_folder
from bertsmith.model.half import HalfLinear, can_halve
from bertsmith.model.packed import PackedLinear
from marks import needs_whole

needs_half = pytest.mark.skipif(not can_halve(), reason="torch has no product with weights in float16 here")
TEXTS = ["the pain", "", "A nurse saw the doctor in the ward.", "pain", "strong medicine against pains!"] * 3
MASKED = [
    "The [MASK] was given [MASK].",
    "[MASK]",
    "A nurse saw the [MASK] in the ward, twice",
    "the [MASK] saw [MASK]",
]


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)


def test_bfloat16_embeds_close_to_float32(tiny_bert):
    exact, low = load(tiny_bert).embed(TEXTS), load(tiny_bert, precision="bfloat16").embed(TEXTS)
    assert low.dtype == np.float32
    assert cosines(low, exact).min() > 0.999
    assert np.abs(low - exact).max() > 1e-4  # it is another format indeed


@pytest.mark.parametrize("asked", [pytest.param("float16", marks=needs_half), pytest.param("int16", marks=needs_whole)])
def test_16_bits_embed_and_fill_very_close_to_float32(tiny_bert, asked):
    exact, low = load(tiny_bert), load(tiny_bert, precision=asked)
    assert low.precision == asked
    vectors, near = exact.embed(TEXTS), low.embed(TEXTS)
    assert near.dtype == np.float32
    assert cosines(near, vectors).min() > 0.99999
    assert np.abs(near - vectors).max() > 1e-6  # it is another format indeed
    (wanted, *_), (ours, *_) = exact.fill(MASKED[1]), low.fill(MASKED[1])
    assert ours.text == wanted.text
    assert ours.probability == pytest.approx(wanted.probability, rel=1e-2)


@pytest.mark.parametrize(
    ("alone", "compiled", "halves", "expected"),
    [
        (True, True, True, "int16"),
        (True, True, False, "int16"),
        (True, False, True, "float16"),
        (True, False, False, "float32"),
        (False, True, True, "float32"),
    ],
)
def test_auto_has_16_bits_where_there_is_avx2_alone(tiny_bert, monkeypatch, alone, compiled, halves, expected):
    monkeypatch.setattr(precision, "bfloat16_is_emulated", lambda: True)
    monkeypatch.setattr(precision, "avx2_alone", lambda: alone)
    monkeypatch.setattr(precision, "can_be_native", lambda bert: compiled)
    monkeypatch.setattr(precision, "can_multiply_whole", lambda device: compiled)
    monkeypatch.setattr(precision, "can_halve", lambda: halves)
    assert load(tiny_bert, precision="auto").precision == expected
    assert load(tiny_bert).precision == "float32"
    for asked, there in (("int16", compiled), ("float16", halves)):
        if there:
            assert load(tiny_bert, precision=asked).precision == asked
        else:
            with pytest.raises(ConfigError, match=rf"{asked} .*x86 processor.* not to be had here: take auto"):
                load(tiny_bert, precision=asked)


def test_int16_predicts_bert_alone(monkeypatch):
    with pytest.raises(ConfigError, match="int16 predicts BERT alone, and this is ModernBERT"):
        precision.choose_prediction_precision("int16", modernbert())
    monkeypatch.setattr(precision, "choose_precision", lambda asked, device: "int16")
    monkeypatch.setattr(precision, "avx2_alone", lambda: True)
    monkeypatch.setattr(precision, "can_halve", lambda: True)
    assert precision.choose_prediction_precision("auto", modernbert()) == "float16"


def test_auto_is_what_a_measurement_says(tiny_bert, monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_is_emulated", lambda: False)
    monkeypatch.setattr(precision, "avx2_alone", lambda: False)
    for bfloat16_s, expected in ((1.0, "float32"), (0.1, "bfloat16")):
        measured = [1.0, bfloat16_s]
        monkeypatch.setattr(precision, "_product_seconds", lambda *formats, measured=measured: measured)
        assert load(tiny_bert, precision="auto").precision == expected
    assert load(tiny_bert).precision == "float32"


def test_an_unknown_precision_is_refused(tiny_bert):
    with pytest.raises(InputError, match='"bf16" is not known; there are auto, float32, bfloat16, float16'):
        load(tiny_bert, precision="bf16")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_alone_and_among_others_a_text_has_the_same_vector(tiny_bert, pooling):
    predictor = load(tiny_bert)
    together = predictor.embed(TEXTS, pooling=pooling)
    for text, vector in zip(TEXTS, together, strict=True):
        # To rounding: where there is AVX512 a short text alone is computed another way.
        np.testing.assert_allclose(predictor.embed([text], pooling=pooling)[0], vector, atol=5e-6)


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"candidates": ["nurse", "pain", "ward"]}, {"pair": "a [MASK]"}])
def test_texts_are_filled_together_as_one_by_one(tiny_bert, options):
    predictor = load(tiny_bert)
    together = predictor.fill_texts(MASKED, **options)
    for text, masks in zip(MASKED, together, strict=True):
        alone = predictor.fill_each(text, **options)
        assert [[fill.text for fill in mask] for mask in masks] == [[fill.text for fill in mask] for mask in alone]
        for ours, theirs in zip(masks, alone, strict=True):
            assert [f.probability for f in ours] == pytest.approx([f.probability for f in theirs], abs=1e-6)
    assert predictor.fill_texts([]) == []


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, pytest.param(torch.int16, marks=needs_whole)])
@needs_half
def test_the_vocabulary_has_half_weights_wherever_numbers_are_low(tiny_bert, dtype):
    """Of hidden states that are exact, so that what is off is the product alone."""
    bert, _ = read_model_folder(tiny_bert)
    fast = fast_copy(bert.eval(), dtype)
    assert isinstance(fast.masked_lm.decoder, HalfLinear)
    hidden = torch.randn(5, bert.config.hidden_size, generator=torch.Generator().manual_seed(0))
    exact = bert.masked_lm_logits(hidden)
    assert 1e-7 < (fast.masked_lm_logits(hidden) - exact).abs().max() / exact.abs().max() < 1e-3


def test_a_machine_without_half_weights_has_the_vocabulary_in_float32(tiny_bert, monkeypatch):
    monkeypatch.setattr("bertsmith.inference.fast.can_halve", lambda: False)
    predictor = load(tiny_bert, precision="bfloat16")
    assert predictor.fill("The [MASK] was given medicine.")
    assert isinstance(predictor.reader.model.masked_lm.decoder, PackedLinear)


def test_a_text_without_a_mask_among_others_is_named(tiny_bert):
    with pytest.raises(InputError, match=r'no \[MASK\] in "none here"'):
        load(tiny_bert).fill_texts([MASKED[0], "none here"])


@pytest.mark.parametrize(
    "low", ["bfloat16", pytest.param("float16", marks=needs_half), pytest.param("int16", marks=needs_whole)]
)
def test_a_used_predictor_can_be_copied(tiny_bert, low):
    predictor = load(tiny_bert, precision=low)
    vectors = predictor.embed(TEXTS)
    np.testing.assert_array_equal(copy.deepcopy(predictor).embed(TEXTS), vectors)


def test_the_model_itself_stays_as_it_was(tiny_bert):
    bert, _ = read_model_folder(tiny_bert)
    before = {name: weight.clone() for name, weight in bert.state_dict().items()}
    fast = fast_copy(bert, torch.bfloat16)
    assert fast.encoder is not bert.encoder
    assert bert.state_dict().keys() == before.keys()
    assert all(torch.equal(weight, before[name]) for name, weight in bert.state_dict().items())


def modernbert() -> Bert:
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = ModelConfig(architecture="modernbert", vocab_size=50, local_attention=4, **shape)
    return Bert(config, generator=torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, pytest.param(torch.float16, marks=needs_half)])
def test_modernbert_stays_as_it_was_and_is_held_once_in_float32(dtype):
    bert = modernbert()
    before = {name: weight.clone() for name, weight in bert.state_dict().items()}
    fast = fast_copy(bert, dtype)
    assert (fast.encoder.embeddings.word.weight is bert.encoder.embeddings.word.weight) == (dtype != torch.bfloat16)
    assert any(isinstance(module, HalfLinear) for module in fast.modules()) == (dtype == torch.float16)
    assert bert.state_dict().keys() == before.keys()
    assert all(torch.equal(weight, before[name]) for name, weight in bert.state_dict().items())


@torch.inference_mode()
@pytest.mark.parametrize(
    ("dtype", "cosine"),
    [(torch.float32, 1.0), (torch.bfloat16, 0.999), pytest.param(torch.float16, 0.99999, marks=needs_half)],
)
def test_modernbert_predicts_what_the_plain_model_does(dtype, cosine):
    bert = modernbert()
    ids = torch.randint(5, 50, (3, 9), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([9, 5, 1])
    sequence_ids = (torch.arange(9) < lengths[:, None]).long()
    rows = {"token_type_ids": torch.zeros_like(ids), "position_ids": torch.arange(9).expand(3, 9)}
    real = sequence_ids.bool()
    exact, fast = bert(ids, **rows, sequence_ids=sequence_ids)[real], fast_copy(bert, dtype)
    made = fast(ids, **rows, sequence_ids=sequence_ids)[real].float()
    assert torch.nn.functional.cosine_similarity(made, exact, dim=-1).min() > cosine - 1e-6
    if dtype == torch.float32:
        torch.testing.assert_close(made, exact, atol=1e-5, rtol=1e-5)
        logits = bert.masked_lm_logits(exact)
        torch.testing.assert_close(fast.masked_lm_logits(made), logits, atol=1e-5, rtol=1e-5)
    else:
        assert (made - exact).abs().max() > 1e-6  # it is another format indeed


def test_the_memory_that_is_kept_is_bounded(tiny_bert):
    """In a process of its own, since it is the whole process that keeps memory."""
    code = (
        "import sys, torch, bertsmith\n"
        "from pathlib import Path\n"
        "held = lambda: int(next(l for l in open('/proc/self/status') if l.startswith('RssAnon')).split()[1])\n"
        f"bertsmith.load({str(tiny_bert)!r}).embed(['pain'])\n"
        "before = held(); large = torch.ones(300_000_000); most = held(); del large\n"
        "sys.exit(0 if most - before > 1e6 and held() - before < 4e5 else f'{before} {most} {held()}')\n"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
