"""What the prediction bench gives its sides, and that they answer alike; the measurement itself is no test."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from bertsmith.text.wordpiece import WordPiece
from predict import agreement
from prediction.inputs import cut_texts, make_job
from prediction.onnx_files import export_ours
from prediction.sides import SIDES

TEXTS = ["The patient was given pain.", "a nurse", "the doctor saw the nurse in the ward", "pain in the ward"]


def test_texts_are_cut_to_the_words_and_tokens_that_are_asked_for(tiny_bert, tmp_path):
    (tmp_path / "words.txt").write_text(" ".join(f"pain{n % 7}" for n in range(500)))
    tokenizer = WordPiece.load(tiny_bert)
    texts = cut_texts(tmp_path / "words.txt", tokenizer, 20, (2, 12), 20)
    assert len(texts) == 20
    assert all(2 <= len(text.split()) <= 12 for text in texts)
    assert max(tokenizer.encode_sentences(texts)[1]) <= 18
    assert texts == cut_texts(tmp_path / "words.txt", tokenizer, 20, (2, 12), 20)
    with pytest.raises(SystemExit, match="too few words for 200 texts"):
        cut_texts(tmp_path / "words.txt", tokenizer, 200, (2, 12), 20)


@pytest.mark.parametrize("what", ["embed", "classify", "fill"])
def test_all_sides_give_the_same_numbers(tiny_bert, tmp_path, monkeypatch, what):
    for package in ("transformers", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")
    job = make_job(what, tiny_bert, TEXTS, tmp_path)
    assert job.tokens[1] == len(WordPiece.load(tiny_bert).encode(job.texts[1]).input_ids)
    exact = SIDES["pipeline"](job)(job.texts)
    assert len(exact) == len(TEXTS)
    export_ours(Path(job.folder))
    for name in ("ours float32", "ours, exported to ONNX", "pipeline, batch 32"):
        run = SIDES[name](job)
        np.testing.assert_allclose(run(job.texts), exact, atol=1e-5)
        assert run([job.short]).shape == (1, *exact.shape[1:])
    for name in ("ours bfloat16", "transformers bfloat16, sorted"):
        assert SIDES[name](job)(job.texts).shape == exact.shape


def test_agreement_in_the_terms_of_each_task():
    labels = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert agreement("classify", labels, labels[::-1]) == "0.0% same label, ±0.70000"
    assert agreement("fill", np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == "75.0% same word"
    assert agreement("embed", np.array([[1.0, 0.0], [3.0, 4.0]]), np.array([[2.0, 0.0], [4.0, 3.0]])) == (
        "cosine ≥ 0.96000"
    )
