"""What a task is to the training loop: losses as sums, so that micro-batches and ranks add up to the whole batch."""

from __future__ import annotations

from typing import Protocol, TypeVar

from torch import Tensor, nn

Model_contra = TypeVar("Model_contra", bound=nn.Module, contravariant=True)
Batch_contra = TypeVar("Batch_contra", contravariant=True)


class Task(Protocol[Model_contra, Batch_contra]):
    """One thing that a model is trained for."""

    def loss_counts(self, batch: Batch_contra) -> dict[str, int]:
        """How many things each loss of a batch is a sum over."""

    def loss_sums(self, model: Model_contra, batch: Batch_contra) -> dict[str, Tensor]:
        """Each loss, summed over the batch, () float32 in nats; a step's loss is the sum of the means."""
