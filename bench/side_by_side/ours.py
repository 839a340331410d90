"""bertsmith's side of a job: `python -m side_by_side.ours JOB`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch._dynamo

from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.progress import Silent
from bertsmith.tasks.registry import task_class
from bertsmith.training.course import Course, read_course
from bertsmith.training.finetune import train_once
from bertsmith.training.finetuning_run import Trained
from side_by_side.job import Job, Outcome, child

COLUMNS = {
    "classify": LabelledConfig(text_column="text", label_column="label"),
    "regress": LabelledConfig(text_column="text", pair_column="pair", label_column="label"),
}


def run(job: Job) -> Outcome:
    """Read, train, predict."""
    config = FinetuneConfig(
        epochs=job.epochs,
        batch_size=job.batch_size,
        learning_rate=job.learning_rate,
        warmup_share=job.warmup_share,
        weight_decay=job.weight_decay,
        clip_norm=job.clip_norm,
        seed=job.seed,
        precision=job.variant,
        max_length_tokens=job.max_length_tokens,
        keep="last",
    )
    outcome = Outcome()
    task_class(job.kind)  # imported now, for the same reason
    course: Course = outcome.timed("read", lambda: _read(job, config))
    # Without development examples, as the peer: nothing is measured between the epochs.
    unseen = replace(course, dev=None)
    trained: Trained = outcome.timed("train", lambda: train_once(unseen, config, folder=None, reporter=Silent()))
    outcome.answers = outcome.timed("predict", lambda: _predict(job, course, trained))
    outcome.tokens, outcome.precision = trained.tokens, trained.precision
    return outcome


def _read(job: Job, config: FinetuneConfig) -> Course:
    reading = COLUMNS.get(job.kind, LabelledConfig())
    return read_course(job.kind, Path(job.model), job.train, job.dev, config=config, reading=reading, reporter=Silent())


def _predict(job: Job, course: Course, trained: Trained) -> list[Any]:
    task = course.task.copy()
    task.head = trained.head
    assert course.dev
    fast = trained.precision == "bfloat16"  # as the peer, whose predictions are in the format of its training
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast):
        answers = task.answer_encoded(trained.model, course.dev.examples, course.dev.encoded, lambda done: None)
    plain = {
        "classify": lambda answer: answer.label,
        "regress": float,
        "tag": lambda answer: list(answer.tags),
        "answer": lambda answer: answer.text,
    }
    return [plain[job.kind](answer) for answer in answers]


if __name__ == "__main__":
    child(run)
