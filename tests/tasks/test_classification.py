"""Classification: labels, windows, losses and figures."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, matthews_corrcoef
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, pipeline

from bertsmith.config import HeadConfig
from bertsmith.data import windows
from bertsmith.data.labelled.examples import TextExample
from bertsmith.data.windows import batch_windows
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.folder import write_model_folder
from bertsmith.tasks import finetuning, places
from bertsmith.tasks.classification import Classification, ClassificationTask, SentimentTask
from tasks.twins import loss_and_gradients, model_of, task_of

LABELS = ("bad", "good", "so so")
TEXTS = [
    TextExample("The patient was given a strong medicine.", labels=("good",), place="a"),
    TextExample("A nurse saw the doctor in the ward.", "And the doctor saw the nurse.", labels=("bad",), place="b"),
    TextExample("pains " * 60, labels=("so so",), place="c"),
    TextExample("Pain!", labels=("good",), place="d"),
]


@pytest.fixture
def task(tiny_bert):
    return task_of(ClassificationTask, HeadConfig(task="classify", labels=LABELS), tiny_bert)


@pytest.fixture
def model(task, tiny_bert):
    return model_of(task.head, tiny_bert)


def test_answers_are_those_of_the_pipeline_of_transformers(task, model, tiny_bert, tmp_path):
    write_model_folder(model, tmp_path)
    task.tokenizer.save(tmp_path)
    theirs = pipeline("text-classification", model=str(tmp_path), device="cpu", top_k=None)
    short = [TEXTS[0], TEXTS[1], TEXTS[3]]
    for example, answer in zip(short, task.answer_each(model, short), strict=True):
        said = theirs({"text": example.text, "text_pair": example.pair or ""} if example.pair else example.text)
        said = said[0] if isinstance(said[0], list) else said
        assert answer.probabilities == pytest.approx({each["label"]: each["score"] for each in said}, abs=1e-5)
        assert answer.label == max(said, key=lambda each: each["score"])["label"]


def test_the_loss_is_that_of_transformers(task, model, tmp_path):
    write_model_folder(model, tmp_path)
    twin = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    example = TEXTS[1]
    made = task.tokenizer.encode(example.text, example.pair)
    theirs = twin(
        input_ids=torch.tensor([made.input_ids]),
        token_type_ids=torch.tensor([made.token_type_ids]),
        labels=torch.tensor([LABELS.index("bad")]),
    ).loss
    loss, _ = loss_and_gradients(task, model, task.encode([example]))
    assert loss == pytest.approx(theirs.item(), abs=1e-5)


def test_neither_batch_nor_neighbours_change_an_answer(task, model):
    together = list(task.answer_each(model, TEXTS))
    for example, answer in zip(TEXTS, together, strict=True):
        (alone,) = task.answer_each(model, [example], batch_tokens=1)
        assert answer.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_rows_that_are_filled_up_and_a_row_of_nothing_change_no_gradient(task, model, monkeypatch):
    monkeypatch.setattr(windows, "MANY_ROWS", 3)
    encoded = task.encode([TEXTS[1]] * 3)
    assert [batch_windows(encoded, room=room).input_ids.shape for room in (0, 32)] == [(3, 19), (4, 32)]
    model.train()
    model.set_dropout(0)
    loss, gradients = loss_and_gradients(task, model, encoded)
    filled_loss, filled = loss_and_gradients(task, model, encoded, room=32)
    assert filled_loss == pytest.approx(loss, rel=1e-5)
    for one, other in zip(gradients, filled, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_long_text_is_read_to_its_end_and_its_windows_are_averaged(task, model):
    (encoded,) = task.encode([TEXTS[2]])
    assert task.slides(encoded)
    assert len(encoded.windows) > 2
    assert all(len(window.input_ids) <= 32 for window in encoded.windows)
    (answer,) = task.answer_each(model, [TEXTS[2]])
    logits = []
    for window in encoded.windows:
        hidden = model(
            torch.from_numpy(window.input_ids)[None].long(),
            token_type_ids=torch.zeros(1, len(window.input_ids), dtype=torch.long),
            position_ids=torch.arange(len(window.input_ids))[None],
            sequence_ids=None,
        )
        logits.append(model.task_logits(hidden[:, 0])[0])
    expected = torch.stack(logits).mean(0).softmax(-1)
    assert list(answer.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert answer.windows == len(encoded.windows)
    other = replace(TEXTS[2], text=TEXTS[2].text + "doctor")
    assert next(task.answer_each(model, [other])).probabilities != pytest.approx(answer.probabilities, abs=1e-4)


@pytest.mark.parametrize(("first", "second"), [(60, 3), (3, 60), (40, 60), (14, 15)])
def test_both_texts_of_a_long_pair_are_read_to_their_ends(task, first, second):
    words = ["doctor", "nurse"]
    ids = [task.tokenizer.encode_sentences([word])[0].tolist() for word in words]
    example = TextExample(" ".join([words[0]] * first), " ".join([words[1]] * second))
    (encoded,) = task.encode([example])
    counts = np.zeros(2, int)
    for window in encoded.windows:
        assert len(window.input_ids) <= 32
        for side in (0, 1):
            inside = window.input_ids[window.token_type_ids == side].tolist()
            counts[side] += inside.count(ids[side][0])
            assert inside.count(ids[side][0]) > 0
    assert counts[0] >= first
    assert counts[1] >= second
    if first + second < 29:
        assert len(encoded.windows) == 1


def test_a_text_beyond_the_micro_batch_has_the_same_gradients_in_parts(task, model, monkeypatch):
    encoded = task.encode([TEXTS[2]])
    loss, gradients = loss_and_gradients(task, model, encoded)
    monkeypatch.setattr(finetuning, "MICRO_BATCH_TOKENS", 64)
    loss_in_parts, in_parts = loss_and_gradients(task, model, encoded)
    assert loss_in_parts == pytest.approx(loss, rel=1e-5)
    for one, other in zip(gradients, in_parts, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_for_ranks_that_divide_a_model_a_text_beyond_the_micro_batch_is_one_call(task, model, monkeypatch):
    """They gather its layers at each call, all together; the others' texts are short."""
    encoded = task.encode([TEXTS[2]])
    monkeypatch.setattr(finetuning, "MICRO_BATCH_TOKENS", 64)
    loss, _ = loss_and_gradients(task, model, encoded)
    calls: list[object] = []
    model.encoder.register_forward_hook(lambda *_: calls.append(None))
    one_by_one = task.copy()
    one_by_one.at_once = True
    loss_at_once, _ = loss_and_gradients(one_by_one, model, encoded)
    assert loss_at_once == pytest.approx(loss, rel=1e-5)
    assert len(calls) == 1


def test_dropout_in_parts_is_drawn_once(task, model, monkeypatch):
    """Recomputing a part for its gradient must drop what the first pass dropped."""
    monkeypatch.setattr(finetuning, "MICRO_BATCH_TOKENS", 64)
    model.set_dropout(0.5)
    model.train()
    encoded = task.encode([TEXTS[2]])
    torch.manual_seed(5)
    _, recomputed = loss_and_gradients(task, model, encoded)
    monkeypatch.setattr(places, "checkpoint", lambda part, ids, use_reentrant: part(ids))
    torch.manual_seed(5)
    _, kept = loss_and_gradients(task, model, encoded)
    for one, other in zip(recomputed, kept, strict=True):
        torch.testing.assert_close(one, other)


def test_class_weights_count_rare_classes_for_more(tiny_bert):
    head = HeadConfig(task="classify", labels=LABELS)
    weights = ClassificationTask.balanced_weights(TEXTS, head)
    assert weights.tolist() == pytest.approx([4 / 3, 4 / 6, 4 / 3])
    task = task_of(ClassificationTask, head, tiny_bert, class_weights=weights)
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 1.0]])
    batch = batch_windows(task.encode([TEXTS[0], TEXTS[1]]))
    expected = F.cross_entropy(logits, torch.tensor([1, 0]), weight=torch.from_numpy(weights), reduction="sum")
    assert task.losses(logits, batch).item() == pytest.approx(expected.item())


def test_several_labels_at_once(tiny_bert):
    head = HeadConfig(task="classify", labels=("fever", "pain"), multi_label=True)
    task, model = task_of(ClassificationTask, head, tiny_bert), model_of(head, tiny_bert)
    examples = [TextExample("pain", labels=("pain", "fever")), TextExample("nurse", labels=())]
    batch = batch_windows(task.encode(examples))
    assert batch.labels.tolist() == [[1, 1], [0, 0]]
    logits = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    expected = F.binary_cross_entropy_with_logits(logits, torch.tensor([[1.0, 1], [0, 0]]), reduction="mean") * 2
    assert task.losses(logits, batch).item() == pytest.approx(expected.item())
    for answer in task.answer_each(model, examples):
        assert set(answer.labels) == {label for label, share in answer.probabilities.items() if share >= 0.5}
    answers = [Classification(("pain",), {"fever": 0.1, "pain": 0.8}), Classification((), {"fever": 0.1, "pain": 0.1})]
    figures = task.score(examples, answers)
    assert figures["accuracy"] == 0.5  # all labels of a text right
    assert figures["f1_micro"] == pytest.approx(2 / 3)
    assert task.headline == "f1_macro"


def answers_of(guesses: list[str]) -> list[Classification]:
    return [Classification((guess,), {label: 0.8 if label == guess else 0.1 for label in LABELS}) for guess in guesses]


def test_figures_and_findings(task):
    examples = [TextExample(str(n), labels=(LABELS[n % 3],), place=f"line {n}") for n in range(9)]
    guesses = ["bad", "good", "so so", "bad", "bad", "so so", "good", "good", "so so"]
    truth = [example.labels[0] for example in examples]
    figures = task.score(examples, answers_of(guesses))
    assert figures["accuracy"] == pytest.approx(7 / 9)
    assert figures["f1_macro"] == pytest.approx(f1_score(truth, guesses, average="macro"))
    assert figures["mcc"] == pytest.approx(matthews_corrcoef(truth, guesses))
    findings = task.findings(examples, answers_of(guesses))
    labels, counts = findings.confusion
    assert labels == LABELS
    assert counts.tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 3]]
    assert [row[0] for row in findings.tables[0].rows] == list(LABELS)
    assert findings.tables[0].rows[2][1:] == (1.0, 1.0, 1.0, 3)
    assert [mistake.place for mistake in findings.mistakes] == ["line 4", "line 6"]
    assert all(mistake.badness == pytest.approx(0.9) for mistake in findings.mistakes)


def test_of_labels_0_and_1_there_is_the_f1_of_1(tiny_bert):
    examples = [TextExample(str(n), labels=(label,)) for n, label in enumerate("1101000")]
    answers = [Classification((label,), {}) for label in "1011000"]  # 2 of 3 that are 1, and 1 that is not
    task = task_of(ClassificationTask, HeadConfig(task="classify", labels=("0", "1")), tiny_bert)
    assert task.score(examples, answers)["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_labels_are_found_and_ordered(tiny_bert):
    examples = [TextExample("a", labels=(label,)) for label in ["10", "9", "9", "x"]]
    head = ClassificationTask.head_for(examples, LabelledConfig(), FinetuneConfig(max_length_tokens=16))
    assert head.labels == ("9", "10", "x")
    assert head.max_length_tokens == 16
    with pytest.raises(CorpusError, match=r"have 1 label\(s\) \(9\); a classifier needs at least two"):
        ClassificationTask.head_for(examples[1:2], LabelledConfig(), FinetuneConfig())


@pytest.mark.parametrize("labels", [("0", "1"), ("neg", "pos"), ("negative", "positive")])
def test_sentiment_names_its_classes_however_they_are_spelt(labels):
    rows = [{"text": "bad", "label": labels[0]}, {"text": "fine", "label": labels[1]}]
    read = SentimentTask.read(rows, LabelledConfig())
    assert [example.labels for example in read.examples] == [("negative",), ("positive",)]
    known = SentimentTask.read(rows, LabelledConfig(), labels=("negative", "positive"))
    assert [example.labels for example in known.examples] == [("negative",), ("positive",)]
    with pytest.raises(CorpusError, match="mixed"):
        SentimentTask.read([{"text": "x", "label": "mixed"}], LabelledConfig(), labels=("negative", "positive"))


def test_sentiment_leaves_other_classes_alone():
    stars = [{"text": "x", "label": star} for star in (0, 1)]
    known = SentimentTask.read(stars, LabelledConfig(), labels=("0", "1", "2"))
    assert [example.labels for example in known.examples] == [("0",), ("1",)]
    with pytest.raises(CorpusError, match='label "neg" is not one of 1, 2, 3'):
        SentimentTask.read([{"text": "x", "label": "neg"}], LabelledConfig(), labels=("1", "2", "3"))


def test_probabilities_of_an_unlabelled_text_sum_to_one(task, model):
    (answer,) = task.answer_each(model, [TextExample("")])
    assert math.isclose(sum(answer.probabilities.values()), 1, abs_tol=1e-9)
