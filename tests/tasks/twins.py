"""A small task to test: a tokenizer, a model with its head, and what the same weights say without windows."""

from pathlib import Path
from typing import Any

import torch

from bertsmith.config import HeadConfig
from bertsmith.data.windows import Encoded, batch_windows
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_for_task
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.text.wordpiece import WordPiece


def task_of(
    kind: type[FinetuneTask[Any, Any]], head: HeadConfig, folder: Path, **options: Any
) -> FinetuneTask[Any, Any]:
    """A task on the tokenizer of a model folder."""
    return kind(head, WordPiece.load(folder), longest=options.pop("longest", 32), **options)


def model_of(head: HeadConfig, folder: Path) -> Bert:
    """The folder's encoder under a head with large weights, so that answers differ."""
    bert, _ = read_for_task(folder, head, generator=torch.Generator().manual_seed(3))
    return bert.eval()


def loss_and_gradients(
    task: FinetuneTask[Any, Any], model: Bert, encoded: list[Encoded], *, room: int = 0
) -> tuple[float, list[torch.Tensor]]:
    """The summed loss of a batch, and the gradient of every weight; for the room see `batch_windows`."""
    model.zero_grad()
    loss = task.loss_sums(model, batch_windows(encoded, room=room))["task"]
    loss.backward()
    return loss.item(), [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
