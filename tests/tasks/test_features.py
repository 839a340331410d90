"""Feature mode: what the frozen encoder makes of examples is kept, and changes nothing."""

from itertools import chain

import numpy as np
import pytest
import torch

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.examples import ChoiceExample, GoldAnswer, QuestionExample, TextExample
from bertsmith.data.labelled.words import read_tagged
from bertsmith.data.windows import batch_windows
from bertsmith.finetune_config import LabelledConfig
from bertsmith.tasks.classification import ClassificationTask
from bertsmith.tasks.features import feature_bytes, with_features
from bertsmith.tasks.multiple_choice import MultipleChoiceTask
from bertsmith.tasks.question_answering import QuestionAnsweringTask
from bertsmith.tasks.regression import RegressionTask
from bertsmith.tasks.tagging import TaggingTask
from tasks.twins import model_of, task_of

LONG = "A nurse saw the doctor in the ward. " * 12
TAGGED = [(["a", "nurse", *["saw"] * 60], ["O", "B-P", *["O"] * 60]), (["pains"], ["B-P"])]
TASKS = {
    "classify": (
        ClassificationTask,
        {"labels": ("a", "b")},
        [
            TextExample("the pain", labels=("a",)),
            TextExample(LONG, "pains", labels=("b",)),
            TextExample("", labels=("a",)),
        ],
    ),
    "regress": (RegressionTask, {}, [TextExample(LONG, score=1.0), TextExample("a ward", "a nurse", score=2.0)]),
    "tag": (TaggingTask, {"labels": ("O", "B-P", "I-P")}, read_tagged(TAGGED, LabelledConfig()).examples),
    "answer": (
        QuestionAnsweringTask,
        {},
        [QuestionExample("who?", LONG, (GoldAnswer("the doctor", 12),)), QuestionExample("where?", "a ward", ())],
    ),
    "choose": (
        MultipleChoiceTask,
        {},
        [ChoiceExample("nurse", ("pain", LONG), 1), ChoiceExample("a", ("b", "c"), 0)],
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_with_features_a_task_says_and_learns_what_it_does_without(name, tiny_bert):
    kind, options, examples = TASKS[name]
    task = task_of(kind, HeadConfig(task=name, feature_layers=2, **options), tiny_bert)
    model = model_of(task.head, tiny_bert)
    model.freeze_encoder()
    encoded = task.encode(examples)
    told: list[int] = []
    known = with_features(model, encoded, told.append)
    assert told == [len(examples)]
    places = sum(len(window.places) for each in encoded for window in each.windows)
    kept = list(chain.from_iterable(each.windows for each in known))
    assert sum(window.features.nbytes for window in kept) == feature_bytes(model, encoded) == places * 2 * 16 * 4
    plain, fast = batch_windows(encoded), batch_windows(known)
    torch.testing.assert_close(task.logits(model, fast), task.logits(model, plain), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        task.loss_sums(model, fast)["task"], task.loss_sums(model, plain)["task"], atol=1e-4, rtol=1e-5
    )
    figures = [
        task.score(examples, task.answer_encoded(model, examples, each, told.append)) for each in (known, encoded)
    ]
    assert figures[0] == pytest.approx(figures[1], abs=1e-4)


def test_a_batch_of_which_one_window_is_not_known_is_read_anew(tiny_bert):
    kind, options, examples = TASKS["classify"]
    task = task_of(kind, HeadConfig(task="classify", feature_layers=2, **options), tiny_bert)
    model = model_of(task.head, tiny_bert)
    encoded = task.encode(examples)
    known = with_features(model, encoded, lambda done: None)
    mixed = batch_windows([known[0], encoded[1], known[2]])
    assert mixed.features is None
    np.testing.assert_allclose(
        task.logits(model, mixed).detach(), task.logits(model, batch_windows(known)).detach(), atol=1e-5
    )
