"""Multiple choice: windows of choices, losses over any number of them, and answers."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForMultipleChoice

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.examples import ChoiceExample
from bertsmith.data.windows import batch_windows
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.folder import write_model_folder
from bertsmith.tasks.multiple_choice import Choice, MultipleChoiceTask
from tasks.twins import loss_and_gradients, model_of, task_of

HEAD = HeadConfig(task="choose")
SHORT = [
    ChoiceExample("The patient was in pain.", ("A nurse saw the patient.", "Wards.", "A doctor"), 1, "a"),
    ChoiceExample("A nurse was given", ("a strong medicine", "pains", "the ward and the pain"), 0, "b"),
]
LONG = ChoiceExample("A strong medicine " * 15, ("against the pain", "in all wards! " * 12), 1, "c")
EXAMPLES = [SHORT[0], LONG, SHORT[1]]


@pytest.fixture
def task(tiny_bert):
    return task_of(MultipleChoiceTask, HEAD, tiny_bert)


@pytest.fixture
def model(tiny_bert):
    return model_of(HEAD, tiny_bert)


def test_the_windows_of_an_example_are_those_of_its_choices_in_order(task):
    short, long = task.encode([SHORT[0], LONG])
    assert short.labels.tolist() == [[0, 1], [1, 1], [2, 1]]
    for window, choice in zip(short.windows, SHORT[0].choices, strict=True):
        theirs = task.tokenizer.encode(SHORT[0].text, choice)
        assert window.input_ids.tolist() == theirs.input_ids
        assert window.token_type_ids.tolist() == theirs.token_type_ids
        assert window.places.tolist() == [0]
    assert long.labels[0].tolist() == [0, 1]
    assert len(long.windows) == len(long.labels) > 4
    assert sorted(set(long.labels[:, 0].tolist())) == [0, 1]
    assert not task.slides(short)
    assert task.slides(long)


def test_logits_and_loss_are_those_of_transformers(task, model, tmp_path):
    write_model_folder(model, tmp_path)
    twin = AutoModelForMultipleChoice.from_pretrained(tmp_path)
    encoded = task.encode(SHORT)
    windows = [window for each in encoded for window in each.windows]
    longest = max(len(window.input_ids) for window in windows)
    rows = torch.zeros((3, len(windows), longest), dtype=torch.long)
    for number, window in enumerate(windows):
        rows[0, number, : len(window.input_ids)] = torch.from_numpy(window.input_ids)
        rows[1, number, : len(window.input_ids)] = torch.from_numpy(window.token_type_ids)
        rows[2, number, : len(window.input_ids)] = 1
    rows = rows.reshape(3, 2, 3, longest)  # two examples of three choices
    theirs = twin(input_ids=rows[0], token_type_ids=rows[1], attention_mask=rows[2], labels=torch.tensor([1, 0]))
    packed = batch_windows([*encoded, *task.encode([LONG])])
    assert len(packed.input_ids) < len(packed.places_of)  # some share a row
    torch.testing.assert_close(task.logits(model, packed)[:6].reshape(2, 3), theirs.logits, atol=1e-5, rtol=1e-5)
    batch = batch_windows(encoded)
    assert task.loss_sums(model, batch)["task"].item() / 2 == pytest.approx(theirs.loss.item(), abs=1e-5)
    assert task.loss_counts(batch) == {"task": 2}
    for answer, logits in zip(task.answer_each(model, SHORT), theirs.logits, strict=True):
        assert answer.probabilities == pytest.approx(logits.softmax(-1).tolist(), abs=1e-5)
        assert answer.index == logits.argmax()


def test_the_loss_of_examples_with_other_numbers_of_choices_is_their_sum(task, model):
    encoded = task.encode(EXAMPLES)
    whole, gradients = loss_and_gradients(task, model, encoded)
    parts = [loss_and_gradients(task, model, [each]) for each in encoded]
    assert whole == pytest.approx(sum(loss for loss, _ in parts), rel=1e-5)
    for together, *alone in zip(gradients, *(theirs for _, theirs in parts), strict=True):
        torch.testing.assert_close(together, sum(alone), atol=1e-4, rtol=1e-4)


def test_the_loss_is_the_log_of_the_probability_that_the_answer_gives_to_the_right_choice(task, model):
    for example, answer in zip(EXAMPLES, task.answer_each(model, EXAMPLES), strict=True):
        loss, _ = loss_and_gradients(task, model, task.encode([example]))
        assert loss == pytest.approx(-np.log(answer.probabilities[example.label]), abs=1e-4)


def test_a_choice_has_the_mean_score_of_its_windows(task):
    [encoded] = task.encode([LONG])
    choice = encoded.labels[:, 0]
    first, second = np.flatnonzero(choice == 0), np.flatnonzero(choice == 1)
    outputs = [np.zeros((1, 1), np.float32) for _ in choice]
    outputs[first[-1]][:] = 2 * len(first)  # the mean is 2
    outputs[second[0]][:] = 1 * len(second)  # the mean is 1
    answer = task.join(LONG, encoded, outputs)
    share = 1 / (1 + np.exp(-1.0))
    assert answer == Choice(
        0, "against the pain", (pytest.approx(share), pytest.approx(1 - share)), max(len(first), len(second))
    )


def test_the_order_of_choices_does_not_matter(task, model):
    turned = ChoiceExample(LONG.text, LONG.choices[::-1], 0)
    straight, back = task.answer_each(model, [LONG, turned])
    assert straight.probabilities == pytest.approx(back.probabilities[::-1], abs=1e-5)
    assert straight.text == back.text


def test_unlabelled_examples_are_answered(task, model):
    unknown = ChoiceExample(SHORT[0].text, SHORT[0].choices)
    labelled, answered = task.answer_each(model, [SHORT[0], unknown])
    assert answered.probabilities == pytest.approx(labelled.probabilities, abs=1e-5)
    assert task.score([unknown], [answered]) == {}


def test_in_feature_mode_every_token_is_read(tiny_bert):
    head = MultipleChoiceTask.head_for(EXAMPLES, LabelledConfig(), FinetuneConfig(feature_layers=2))
    task, model = task_of(MultipleChoiceTask, head, tiny_bert), model_of(head, tiny_bert)
    [encoded] = task.encode([SHORT[0]])
    assert all(len(window.places) == len(window.input_ids) for window in encoded.windows)
    [answer] = task.answer_each(model, [SHORT[0]])
    loss, _ = loss_and_gradients(task, model, [encoded])
    assert loss == pytest.approx(-np.log(answer.probabilities[1]), abs=1e-4)


def test_figures_and_findings(task):
    answers = [
        Choice(1, "Wards.", (0.2, 0.7, 0.1)),
        Choice(0, "against the pain", (0.9, 0.1)),
        Choice(2, "the ward and the pain", (0.3, 0.1, 0.6)),
    ]
    assert task.score(EXAMPLES, answers) == {"accuracy": pytest.approx(1 / 3)}
    findings = task.findings(EXAMPLES, answers)
    assert findings.tables[0].rows == ((2, 1, 0.0, 0.5), (3, 2, 0.5, pytest.approx(1 / 3)))
    assert [(mistake.place, mistake.badness) for mistake in findings.mistakes] == [
        ("c", pytest.approx(0.9)),
        ("b", pytest.approx(0.7)),
    ]
    assert findings.mistakes[1].truth == "a strong medicine"
    assert findings.mistakes[1].guess == "the ward and the pain (0.60)"
