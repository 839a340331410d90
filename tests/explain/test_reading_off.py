"""What is read off a recording: evidence, the lens, hidden words, heads' roles, and fine-tuned models."""

from pathlib import Path

import numpy as np
import pytest
import torch

import bertsmith
from bertsmith.errors import ConfigError, InputError
from bertsmith.explain.attention import find_roles, rollout
from bertsmith.explain.passes import looking_up
from bertsmith.explain.reading import Token
from bertsmith.model.fused_passes import Hidden
from explain.folders import HEADS, WORDS, task_folder, words_for

TEXT = "The [MASK] saw a medicine in the wards."


@pytest.fixture(scope="module")
def tasks(tiny_bert, tmp_path_factory) -> dict[str, Path]:
    """A folder a task: the encoder under a head with large random weights."""
    return {name: task_folder(tiny_bert, name, tmp_path_factory.mktemp(name)) for name in HEADS}


def test_integrated_gradients_sum_to_the_difference_of_the_outputs(tiny_bert):
    bert = bertsmith.load(tiny_bert)
    explained = bert.explain(TEXT)
    recording, (evidence,) = explained.recording, explained.evidence
    (place,) = recording.masked
    assert evidence.value == pytest.approx(float(recording.masked_lm.logits[place, 0]), abs=1e-4)
    guess = int(recording.masked_lm.ids[place, 0])
    hidden = bert.explain(" ".join(["[MASK]"] * (len(recording.tokens) - 2)), evidence=False).recording.output[place]
    baseline = bert.bert.masked_lm_logits(torch.from_numpy(hidden)[None])[0, guess].item()
    assert evidence.baseline == pytest.approx(baseline, abs=1e-4)
    difference = evidence.value - evidence.baseline
    assert abs(difference) > 0.1, "there is something to explain"
    assert evidence.integrated.sum() == pytest.approx(difference, abs=0.01 * abs(difference) + 1e-3)
    assert evidence.error == pytest.approx(evidence.integrated.sum() - difference, abs=1e-4)
    assert evidence.integrated[[0, place, -1]] == pytest.approx([0, 0, 0], abs=1e-6), "hidden in the baseline too"


def test_gradient_times_input_is_the_slope_along_each_word(tiny_bert):
    bert = bertsmith.load(tiny_bert)
    evidence = bert.explain(TEXT).evidence[0]
    inner = bert.bert.double()
    recording = bert.explain(TEXT, evidence=False).recording
    ids = torch.tensor([[token.id for token in recording.tokens]])
    zeros, guess = torch.zeros_like(ids), int(recording.masked_lm.ids[evidence.place, 0])
    table, step = inner.encoder.embeddings, 1e-4

    def logit(token: int, scale: float) -> float:
        word = table.word(ids)
        word[0, token] *= scale
        hidden = table.norm(word + table.token_type(zeros) + table.position(torch.arange(ids.shape[1])[None]))
        for layer in inner.encoder.layers:
            hidden = layer(Hidden(hidden, hidden), None).exact
        return inner.masked_lm_logits(hidden[0, [evidence.place]])[0, guess].item()

    with torch.no_grad():
        slopes = [(logit(t, 1 + step) - logit(t, 1 - step)) / (2 * step) for t in range(ids.shape[1])]
    np.testing.assert_allclose(evidence.gradient_input, slopes, atol=1e-3)


def test_the_lens_ends_at_the_guess(tiny_bert):
    explained = bertsmith.load(tiny_bert).explain(TEXT, "a [MASK]", evidence=False)
    recording, lens = explained.recording, explained.lens
    assert lens.places.tolist() == recording.masked
    assert len(lens.ids) == len(recording.layers) + 1
    np.testing.assert_array_equal(lens.ids[-1], recording.masked_lm.ids[recording.masked])
    np.testing.assert_allclose(lens.probabilities[-1], recording.masked_lm.probabilities[recording.masked], atol=1e-6)


def test_a_hidden_word_is_guessed_as_if_it_were_written_as_mask(tiny_bert):
    bert = bertsmith.load(tiny_bert)
    text = "The nurse saw a medicine."
    for hidden in bert.explain(text, evidence=False).hidden_words:
        recording = bert.explain(text, evidence=False).recording
        first, last = recording.tokens[hidden.places[0]], recording.tokens[hidden.places[-1]]
        masks = "[MASK] " * len(hidden.places)
        written = bert.explain(text[: first.start] + masks + text[last.end :], evidence=False).recording
        assert written.masked == list(hidden.places)
        np.testing.assert_allclose(hidden.probabilities, written.masked_lm.probabilities[written.masked], atol=1e-5)
    assert len(bert.explain("a [MASK] saw", evidence=False).hidden_words) == 2, "what is hidden is not hidden again"


def test_rollout_rows_sum_to_one_and_begin_half_at_home(tiny_bert):
    attention = bertsmith.load(tiny_bert).explain(TEXT, evidence=False).recording.attention
    flows = rollout(attention)
    np.testing.assert_allclose(flows.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(flows[0], attention[0].mean(0) / 2 + np.eye(attention.shape[-1]) / 2, atol=1e-6)


def tokens_of(words: str) -> list[Token]:
    found, word = [Token("[CLS]", 2, 0, 0, 0, None)], -1
    for text in words.split():
        word += not text.startswith("##")
        found.append(Token(text, 9, 0, 0, 1, word))
    return [*found, Token("[SEP]", 3, 0, 0, 0, None)]


@pytest.mark.parametrize(
    ("role", "looks"),
    [
        ("previous word", lambda i, count: i - 1),
        ("next word", lambda i, count: min(i + 1, count - 1)),
        ("itself", lambda i, count: i),
        ("first token", lambda i, count: 0),
        ("separator", lambda i, count: count - 1),
        ("same word", lambda i, count: {3: 4, 4: 3, 1: 6, 6: 1}.get(i, (i + 2) % count)),
    ],
)
def test_a_planted_head_is_known_by_its_role(role, looks):
    tokens = tokens_of("a nurse med ##ic saw a ward")
    count = len(tokens)
    head = np.full((count, count), 0.2 / count, np.float32)
    for i in range(count):
        head[i, looks(i, count)] += 0.8
    found = find_roles(head[None, None], tokens)[0][0]
    assert found.name == role
    assert found.share == pytest.approx(0.8 + 0.2 / count, abs=0.03)


def test_heads_that_look_everywhere_or_anywhere_have_no_role():
    tokens = tokens_of("a b c d e f g h")
    count = len(tokens)
    even = np.full((count, count), 1 / count, np.float32)
    some = np.zeros((count, count), np.float32)
    for i in range(count):
        some[i, [(i + 3) % count, (i + 5) % count]] = 0.5
    roles = find_roles(np.stack((even, some))[None], tokens)[0]
    assert [role.name for role in roles] == ["broad", "mixed"]


def test_a_head_that_looks_around_is_known_where_there_is_more_than_around():
    tokens = tokens_of("a b c d e f g h i j k l m n")
    count = len(tokens)
    near = np.array([[0 < abs(i - j) <= 3 for j in range(count)] for i in range(count)], np.float32)
    found = find_roles((near / near.sum(1, keepdims=True))[None, None], tokens)[0][0]
    assert (found.name, found.share) == ("nearby", pytest.approx(1))


@pytest.mark.parametrize("name", HEADS)
def test_a_fine_tuned_model_is_explained_as_it_predicts(tasks, name):
    bert = bertsmith.load(tasks[name])
    words = words_for(name)
    explained = bert.explain(**words)
    recording, task = explained.recording, explained.recording.task
    from bertsmith.inference.inputs import examples_of_texts

    more = {key: value for key, value in words.items() if key != "text"}
    (example,) = examples_of_texts(bert.task, [words["text"]], **more)
    (answer,) = bert.predict([example])
    assert type(task.answer) is type(answer)
    if name == "regress":
        assert task.answer == pytest.approx(answer, abs=1e-5)
    else:
        assert {**vars(task.answer), "probabilities": 0, "score": 0, "spans": 0, "alternatives": 0, "null_gap": 0} == {
            **vars(answer),
            "probabilities": 0,
            "score": 0,
            "spans": 0,
            "alternatives": 0,
            "null_gap": 0,
        }
    (encoded,) = bert.task.encode([example])
    assert [token.id for token in recording.tokens] == encoded.windows[task.choice].input_ids.tolist()
    assert [token.segment for token in recording.tokens] == encoded.windows[task.choice].token_type_ids.tolist()
    np.testing.assert_allclose(task.read @ bert_weight(bert).T + bert_bias(bert), task.logits, atol=1e-4, rtol=1e-5)
    for evidence in explained.evidence:
        difference = evidence.value - evidence.baseline
        assert evidence.integrated.sum() == pytest.approx(difference, abs=0.01 * max(abs(difference), 0.1) + 1e-3)
    assert explained.evidence or (name == "tag" and not answer.spans)


def bert_weight(bert):
    return (bert.bert.classifier or bert.bert.qa_outputs).dense.weight.detach().numpy()


def bert_bias(bert):
    return (bert.bert.classifier or bert.bert.qa_outputs).dense.bias.detach().numpy()


def test_the_evidence_of_an_answer_is_for_its_ends(tasks):
    explained = bertsmith.load(tasks["answer"]).explain(**WORDS["answer"])
    task, tokens = explained.recording.task, explained.recording.tokens
    answer = task.answer
    at = [p for p in task.places if tokens[p].segment == 1 and answer.start <= tokens[p].start < answer.end]
    first, last = (list(task.places).index(place) for place in (at[0], at[-1]))
    assert explained.evidence[0].value == pytest.approx((task.logits[first, 0] + task.logits[last, 1]) / 2, abs=1e-4)


def test_words_that_the_tokenizer_drops_are_still_read_by_taggers(tasks):
    bert = bertsmith.load(tasks["tag"])
    explained = bert.explain("a ́ nurse")
    assert len(explained.recording.task.places) == len(explained.recording.task.answer.tags)


def test_what_a_task_needs_is_asked_for(tasks):
    with pytest.raises(ConfigError, match="give --question too"):
        bertsmith.load(tasks["answer"]).explain("The nurse.")
    with pytest.raises(InputError, match="longer than the 32 tokens that the model reads at once"):
        bertsmith.load(tasks["classify"]).explain("nurse " * 45)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("classify", "SequenceClassification"),
        ("regress", "SequenceClassification"),
        ("tag", "TokenClassification"),
        ("answer", "QuestionAnswering"),
        ("choose", "MultipleChoice"),
    ],
)
def test_mask_hides_a_word_from_a_fine_tuned_model_as_in_transformers(tasks, name, kind):
    import transformers

    words = {key: _hidden(value) for key, value in words_for(name).items()}
    recording = bertsmith.load(tasks[name]).explain(**words, evidence=False).recording
    task, texts = recording.task, list(recording.texts)
    inputs = transformers.AutoTokenizer.from_pretrained(tasks[name])(*texts, return_tensors="pt")
    assert [token.id for token in recording.tokens] == inputs["input_ids"][0].tolist()
    masks = [recording.tokens[place] for place in recording.masked]
    hidden = [texts[token.segment][token.start : token.end] for token in masks]
    assert hidden == ["[MASK]"] * sum(text.count("[MASK]") for text in texts) != []
    model = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(tasks[name]).eval()
    if name == "choose":
        inputs = {key: value[None] for key, value in inputs.items()}
    with torch.no_grad():
        made = model(**inputs)
    logits = torch.stack([made.start_logits[0], made.end_logits[0]], 1) if name == "answer" else made.logits[0]
    at = task.places if name in ("tag", "answer") else slice(None)
    np.testing.assert_allclose(task.logits, logits[at].reshape(task.logits.shape), atol=1e-5)


def _hidden(words):
    """ "nurse" and "doctor" hidden, wherever they stand."""
    if isinstance(words, list):
        return [_hidden(each) for each in words]
    return words.replace("nurse", "[MASK]").replace("doctor", "[MASK]")


def test_a_hidden_word_is_tagged_as_one(tasks):
    text = "[MASK]'s nurse saw a well-[MASK] ([MASK]) in the ward of[MASK]."
    recording = bertsmith.load(tasks["tag"]).explain(text, evidence=False).recording
    read = [recording.tokens[place] for place in recording.task.places]
    assert [text[token.start : token.end] for token in read].count("[MASK]") == 4
    assert len(recording.task.answer.tags) == len(read)


def test_mask_is_plain_text_where_a_fine_tuned_model_predicts(tasks):
    bert, text = bertsmith.load(tasks["classify"]), "A [MASK] saw."
    (said,) = bert.classify([text])
    assert said.probabilities != pytest.approx(bert.explain(text, evidence=False).recording.task.answer.probabilities)


def test_evidence_and_hidden_words_are_sought_in_passes_that_can_be_ended(tiny_bert, monkeypatch):
    bert, passes = bertsmith.load(tiny_bert), []

    class Enough(Exception):
        pass

    def look():
        passes.append(None)
        if len(passes) == most:
            raise Enough

    def count(**how):
        passes.clear()
        with looking_up(look):
            bert.explain(TEXT, **how)
        return len(passes)

    most = 0
    reading = count(evidence=False, hidden_words=False)
    monkeypatch.setattr("bertsmith.explain.evidence._PASS_TOKENS", 24)
    monkeypatch.setattr("bertsmith.explain.hidden_words._PASS_TOKENS", 24)
    many = {"evidence": count(hidden_words=False), "hidden_words": count(evidence=False)}
    assert reading == 1
    assert many["evidence"] > 8
    assert many["hidden_words"] == 1 + 4, "two words at a time"
    for most in (2, 7):
        with pytest.raises(Enough):
            count(hidden_words=False)
        assert len(passes) == most, "nothing was computed after it"
    assert bert.explain(TEXT).evidence, "outside of the block nobody looks"
