"""What computes a model's numbers for prediction: torch, or another engine such as ONNX Runtime, which needs no torch.

Letters: W windows, P places of all windows, O outputs of the task, M masked places, V vocabulary, D hidden width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from bertsmith.config import HeadConfig, ModelConfig
from bertsmith.data.windows import Window

if TYPE_CHECKING:
    from bertsmith.model.bert import Bert

Pooling = Literal["mean", "cls"]
Batch = TypeVar("Batch")
Made = TypeVar("Made")
Float32s = NDArray[np.float32]


class Reader(ABC):
    """A model as prediction asks it: windows in, arrays out. Any number of threads may ask the same one.

    Attributes:
        config: its shape.
        head: what it was fine-tuned for; None if it was not.
        fills: whether it has a masked LM head.
        at_once: how many batches it computes at once.
    """

    config: ModelConfig
    head: HeadConfig | None
    fills: bool
    at_once: int = 1

    @abstractmethod
    def task_logits(self, windows: Sequence[Window]) -> list[Float32s]:
        """What the fine-tuned head says at the places of each window: (places, O) each, or (1, O), their mean, of tasks
        for which only that counts."""

    @abstractmethod
    def mask_logits(self, windows: Sequence[Window]) -> Float32s:
        """What the masked LM head says at the places of the windows, window after window: (M, V)."""

    @abstractmethod
    def vectors(self, windows: Sequence[Window], pooling: Pooling) -> Float32s:
        """The mean of each window's last hidden states, or that of [CLS]: (W, D)."""

    def side_by_side(self, work: Callable[[Batch], Made], batches: Sequence[Batch]) -> Iterator[Made]:
        """What `work` makes of each batch, in order."""
        return map(work, batches)


def reader_of(model: Bert | Reader) -> Reader:
    """A model as a reader; one of torch in evaluation mode."""
    if isinstance(model, Reader):
        return model
    from bertsmith.tasks.torch_reader import TorchReader

    return TorchReader(model)
