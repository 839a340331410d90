"""Regression: figures, scales, and the same numbers in `transformers`."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from transformers import AutoModelForSequenceClassification

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.examples import TextExample
from bertsmith.data.windows import batch_windows
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.folder import write_model_folder
from bertsmith.tasks.regression import RegressionTask
from tasks.twins import model_of, task_of

EXAMPLES = [
    TextExample("A nurse.", "A doctor.", score=100.0, place="a"),
    TextExample("Pain.", "Pains.", score=400.0, place="b"),
    TextExample("pains " * 60, score=250.0, place="c"),
]


def test_the_scale_is_learned_as_one_and_given_back(tiny_bert, tmp_path):
    head = RegressionTask.head_for(EXAMPLES, LabelledConfig(), FinetuneConfig())
    assert head.score_mean == pytest.approx(250)
    assert head.score_scale == pytest.approx(np.std([100, 400, 250]))
    task, model = task_of(RegressionTask, head, tiny_bert), model_of(head, tiny_bert)
    before = list(task.answer_each(model, EXAMPLES))
    logits = torch.tensor([[0.0], [1.0]])
    batch = batch_windows(task.encode(EXAMPLES[:2]))
    scaled = [(score - 250) / head.score_scale for score in (100, 400)]
    assert task.losses(logits, batch).item() == pytest.approx(scaled[0] ** 2 + (1 - scaled[1]) ** 2)

    task.head = task.settle(model)
    assert (task.head.score_mean, task.head.score_scale) == (0, 1)
    assert list(task.answer_each(model, EXAMPLES)) == pytest.approx(before, rel=1e-5)
    model.head = task.head
    write_model_folder(model, tmp_path)
    made = task.tokenizer.encode("A nurse.", "A doctor.")
    twin = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    inputs = {"input_ids": torch.tensor([made.input_ids]), "token_type_ids": torch.tensor([made.token_type_ids])}
    assert twin(**inputs).logits.item() == pytest.approx(before[0], rel=1e-5)


def test_figures(tiny_bert):
    task = task_of(RegressionTask, HeadConfig(task="regress"), tiny_bert)
    guesses = [120.0, 300.0, 310.0]
    figures = task.score(EXAMPLES, guesses)
    assert figures["pearson"] == pytest.approx(pearsonr([100, 400, 250], guesses).statistic)
    assert figures["spearman"] == pytest.approx(spearmanr([100, 400, 250], guesses).statistic)
    assert figures["mse"] == pytest.approx((20**2 + 100**2 + 60**2) / 3)
    assert [mistake.place for mistake in task.findings(EXAMPLES, guesses).mistakes] == ["b", "c", "a"]
    assert "pearson" not in task.score(EXAMPLES, [1.0, 1.0, 1.0])  # no correlation with a constant


def test_scores_that_are_all_alike_teach_nothing():
    with pytest.raises(CorpusError, match="have the same score"):
        RegressionTask.head_for(EXAMPLES[:1] * 3, LabelledConfig(), FinetuneConfig())
