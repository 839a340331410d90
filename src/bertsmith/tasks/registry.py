"""The fine-tuned tasks by name: a new one is a file and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from bertsmith.config import HeadConfig
from bertsmith.finetune_config import FinetuneName
from bertsmith.tasks.finetuning import FinetuneTask

_TASKS: Mapping[FinetuneName, tuple[str, str]] = {
    "classify": ("classification", "ClassificationTask"),
    "sentiment": ("classification", "SentimentTask"),
    "regress": ("regression", "RegressionTask"),
    "tag": ("tagging", "TaggingTask"),
    "answer": ("question_answering", "QuestionAnsweringTask"),
    "choose": ("multiple_choice", "MultipleChoiceTask"),
}


def task_class(name: FinetuneName) -> type[FinetuneTask[Any, Any]]:
    """The class of a task; its module is loaded now."""
    module, found = _TASKS[name]
    task: type[FinetuneTask[Any, Any]] = getattr(import_module(f"bertsmith.tasks.{module}"), found)
    return task


def task_class_of(head: HeadConfig) -> type[FinetuneTask[Any, Any]]:
    """The class for a fine-tuned head, a preset's where its labels are the preset's."""
    if head.labels == ("negative", "positive") and not head.multi_label:
        return task_class("sentiment")
    return task_class(head.task)
