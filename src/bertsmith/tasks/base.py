"""What a task is to the training loop: where its batches come from, and its losses.

Losses are sums, so that micro-batches and ranks add up to the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

Model_contra = TypeVar("Model_contra", bound=nn.Module, contravariant=True)
Batch_contra = TypeVar("Batch_contra", contravariant=True)
Batch_co = TypeVar("Batch_co", covariant=True)


class Task(Protocol[Model_contra, Batch_contra]):
    """One thing that a model is trained for."""

    def loss_counts(self, batch: Batch_contra) -> dict[str, int]:
        """How many things each loss of a batch is a sum over."""

    def loss_sums(self, model: Model_contra, batch: Batch_contra) -> dict[str, Tensor]:
        """Each loss, summed over the batch, () float32 in nats; a step's loss is the sum of the means."""


class FedStep(Protocol[Batch_co]):
    """One step's input; see `data.feed.Step`."""

    @property
    def batches(self) -> Sequence[Batch_co]: ...
    @property
    def tokens(self) -> int: ...
    @property
    def epochs_after(self) -> float: ...
    @property
    def state(self) -> dict[str, Any]: ...
    @property
    def idle(self) -> bool: ...


class Feed(Protocol[Batch_co]):
    """Where steps come from; see `data.feed.PretrainingFeed`."""

    def start(self) -> dict[str, Any]: ...
    def step(self, state: dict[str, Any], share_done: Callable[[float], float]) -> FedStep[Batch_co]: ...
