"""The model card of a finished fine-tuning: its YAML, its figures, and its Python, which is run as it stands there."""

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from bertsmith.config import HeadConfig
from bertsmith.model.folder import read_for_task, write_model_folder
from bertsmith.tasks.findings import Findings
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.finetune_card import write_finetune_card
from bertsmith.training.finetune_report import draw_finetune_curves
from bertsmith.training.summary import Summary
from training.finished import EVIL, five_seeds, records, summary

TASKS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "classify": ({"labels": ("bad", "good")}, {"accuracy": 0.8}, "text-classification"),
    "regress": ({}, {"pearson": 0.8, "spearman": 0.7, "mse": 0.123}, "text-classification"),
    "tag": ({"labels": ("O", "B-X", "I-X")}, {"f1": 0.8}, "token-classification"),
    "answer": ({}, {"f1": 80.0, "exact_match": 70.0}, "question-answering"),
    "choose": ({}, {"accuracy": 0.8}, "multiple-choice"),
}


def card(folder: Path, finished: Summary, name: str = "my-task", **options: Any) -> tuple[dict[str, Any], str]:
    """The YAML and the rest."""
    (folder / "training").mkdir(exist_ok=True)
    kept = options.get("kept", [])
    write_finetune_card(folder, finished, kept, name=name, curves=draw_finetune_curves(finished, kept))
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def fine_tuned(task: str, source: Path, folder: Path, **head: Any) -> HeadConfig:
    """A model folder with a drawn head."""
    made = HeadConfig(task=task, **TASKS[task][0], **head)
    bert, _ = read_for_task(source, made, generator=torch.Generator().manual_seed(0))
    write_model_folder(bert, folder)
    WordPiece.load(source).save(folder)
    return made


def run(code: str) -> dict[str, Any]:
    """What Python knows after a piece of code; "answer" is the value of its last line."""
    *lines, last = code.strip().splitlines()
    names: dict[str, Any] = {}
    with contextlib.redirect_stderr(io.StringIO()):
        exec("\n".join([*lines, f"answer = {last}"]), names)
    return names


def code_of(body: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", body, re.DOTALL)


def test_the_front_matter_is_yaml_in_the_schema_of_the_hub(tmp_path: Path) -> None:
    front, body = card(tmp_path, summary(), kept=records())
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "text-classification"
    assert front["tags"] == ["bert", "bertsmith"]
    (model,) = front["model-index"]
    (result,) = model["results"]
    assert model["name"] == "my-task"
    assert result["task"] == {"type": "text-classification", "name": "text classification"}
    assert result["dataset"] == {"type": "custom", "name": "100 development examples", "split": "validation"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [
        ("accuracy", 0.8),
        ("f1", 0.75),
        ("f1", 0.79),
        ("matthews_correlation", 0.612),
    ]
    read = ModelCard.load(tmp_path / "README.md", ignore_metadata_errors=False)
    assert [found.metric_value for found in read.data.eval_results] == [0.8, 0.75, 0.79, 0.612]
    assert read.data.eval_results[1].metric_args == {"average": "macro"}
    assert "![Curves of the run](training/curves.svg)" in body
    assert (tmp_path / "training/curves.svg").read_text().startswith("<svg")


def test_the_card_says_what_it_is_and_what_it_came_to(tmp_path: Path) -> None:
    _, body = card(tmp_path, summary(), kept=records())
    assert r"fine-tuned with bertsmith 0.1.0 from \<my\>-bert on 900 examples (12,345 tokens)" in body
    assert "| on 100 development examples |  |\n|---|---|\n| accuracy | 80.0% |\n| macro F1 | 75.0% |" in body
    assert "| Matthews correlation (MCC) | 0.612 |" in body
    assert r"by up to about ±8.0 points" in body
    assert "(the best of 3 evaluations), so the figures are slightly optimistic" in body


def test_seeds_have_a_column(tmp_path: Path) -> None:
    _, body = card(tmp_path, five_seeds(0.02))
    assert "| on 100 development examples | this model | mean ± sd of 5 seeds |\n|---|---|---|" in body
    assert "| accuracy | 80.0% | 80.0% ± 3.2 |" in body
    assert "the metrics.jsonl of each run in training/seeds/" in body


def test_without_steps_there_is_no_picture(tmp_path: Path) -> None:
    _, body = card(tmp_path, summary())
    assert "curves.svg" not in body
    assert not (tmp_path / "training/curves.svg").exists()


def test_names_and_labels_of_users_break_neither_yaml_nor_markdown(tmp_path: Path) -> None:
    name = 'a: "b" # {c}'
    front, body = card(tmp_path, summary(source=EVIL), name=name)
    assert front["model-index"][0]["name"] == name
    assert not re.search(r"(?<!\\)<script", body)
    assert r"\</td\>\<script\>alert('x')\</script\> \& " in body
    assert r"Labels: good, \</td\>\<script\>" in body
    assert json.dumps(name) in body
    assert f"bertsmith predict '{name}'" in body


def test_what_is_no_measure_or_no_number_is_not_in_the_model_index(tmp_path: Path) -> None:
    metrics = {"f1": 80.0, "exact_match": float("nan"), "best_f1_threshold": -1.5, "no_answer_total": 50.0}
    front, body = card(tmp_path, summary(task="answer", headline="f1", metrics=metrics, findings=Findings()))
    found = front["model-index"][0]["results"][0]["metrics"]
    assert found == [{"type": "f1", "name": "F1", "value": 80.0}]
    assert "| questions without an answer | 50 |" in body
    assert "the threshold below which no answer is given" in body
    nothing, _ = card(tmp_path, summary(metrics={}, findings=Findings()))
    assert "model-index" not in nothing


@pytest.mark.parametrize("task", TASKS)
def test_the_python_of_the_card_runs(
    task: str, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    _, metrics, pipeline = TASKS[task]
    fine_tuned(task, tiny_bert, tmp_path / "my-task")
    finished = summary(task=task, headline=next(iter(metrics)), metrics=metrics, findings=Findings())
    front, body = card(tmp_path / "my-task", finished)
    assert front["pipeline_tag"] == pipeline
    monkeypatch.chdir(tmp_path)
    ours, theirs = map(run, code_of(body))
    assert theirs["answer"] is not None
    assert ours["answer"] is not None
    if task == "regress":  # no sigmoid over it
        assert theirs["ask"]("A text.")[0]["score"] == pytest.approx(ours["answer"][0], abs=1e-5)


def test_several_labels_are_all_asked_for(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine_tuned("classify", tiny_bert, tmp_path / "my-task", multi_label=True)
    _, body = card(tmp_path / "my-task", summary(metrics={"f1_macro": 0.5, "f1_micro": 0.5}, findings=Findings()))
    monkeypatch.chdir(tmp_path)
    ours, theirs = map(run, code_of(body))
    said = theirs["ask"]("A text.", top_k=None)
    assert {each["label"]: each["score"] for each in said} == pytest.approx(ours["answer"][0].probabilities, abs=1e-5)
    assert {each["label"] for each in theirs["answer"]} == {"bad", "good"}  # of the pair that the card asks of last


def test_a_head_on_several_layers_is_opened_by_bertsmith_alone(tiny_bert: Path, tmp_path: Path) -> None:
    front, body = card(tmp_path, summary(recipe={"feature_layers": 2}))
    assert front["library_name"] == "bertsmith"
    assert "Only bertsmith opens the head: it reads the last 2 layers" in body
    assert len(code_of(body)) == 1
    assert "transformers import" not in body
