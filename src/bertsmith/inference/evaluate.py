"""How good a fine-tuned model is on labelled examples."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bertsmith.config import PredictionPrecision, TaskName
from bertsmith.errors import CorpusError
from bertsmith.files import expect_file, write_text
from bertsmith.finetune_config import LabelledConfig
from bertsmith.inference.predictor import load
from bertsmith.progress import Reporter, Silent
from bertsmith.tasks.findings import Findings


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on examples, and what else there is to look at."""

    task: TaskName
    examples: int
    metrics: dict[str, float]
    findings: Findings


def evaluate(
    model: Path,
    data: Any,
    *,
    reading: LabelledConfig = LabelledConfig(),
    precision: PredictionPrecision = "float32",
    predictions: Path | None = None,
    reporter: Reporter = Silent(),
) -> Evaluation:
    """Answer labelled examples and compare.

    Args:
        model: a fine-tuned model's folder.
        data: labelled examples: files or objects.
        reading: how they are read.
        precision: of the products, as for `Predictor`.
        predictions: a file for the answers, a JSON object a line.
        reporter: told of progress.

    Raises:
        ConfigError: `predictions` cannot be written.
        ModelFolderError: the folder holds no fine-tuned model.
        CorpusError: broken examples, labels that the model does not know, or nothing.
    """
    if predictions:
        expect_file(predictions)
    predictor = load(model, precision=precision)
    task = predictor.task
    labelled = task.read_to_measure(data, reading)
    labelled.tell(reporter)
    if not labelled.examples:
        raise CorpusError(f"{data}: no examples to evaluate on")
    answers = []
    with reporter.track("answering", total=len(labelled.examples), unit="examples") as track:
        for answer in predictor.predict(labelled.examples):
            answers.append(answer)
            track.update(len(answers))
    if predictions:
        lines = [json.dumps(answer_values(answer), ensure_ascii=False) for answer in answers]
        write_text(predictions, "".join(line + "\n" for line in lines))
    findings = task.findings(labelled.examples, answers)
    return Evaluation(task.name, len(answers), task.score(labelled.examples, answers), findings)


def answer_values(answer: Any) -> dict[str, Any]:
    """An answer of any task as JSON values."""
    if isinstance(answer, float):
        return {"score": answer}
    # What is right is no part of an answer.
    return {name: value for name, value in asdict(answer).items() if name != "right"}
