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
from bertsmith.data.windows import Window, token_budget_batches

if TYPE_CHECKING:
    from bertsmith.model.bert import Bert

Pooling = Literal["mean", "cls"]
Made = TypeVar("Made")
Float32s = NDArray[np.float32]


class Reader(ABC):
    """A model as prediction asks it: windows in, arrays out. Any number of threads may ask the same one.

    Attributes:
        config: its shape.
        head: what it was fine-tuned for; None if it was not.
        fills: whether it has a masked LM head.
    """

    config: ModelConfig
    head: HeadConfig | None
    fills: bool

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

    @abstractmethod
    def next_sentence_logits(self, windows: Sequence[Window]) -> Float32s:
        """Whether B follows A in each window, as pretraining asks: (W, 2); (W, 0) of a model that was not asked."""

    def each_batch(
        self, work: Callable[[list[int]], Made], windows: Sequence[Window], batch_tokens: int
    ) -> Iterator[Made]:
        """What `work` makes of the indices of each batch of windows, which are of like length.

        Args:
            work: may be called by several threads at once.
            windows: in any order.
            batch_tokens: tokens of a batch, padding counted.
        """
        return map(work, token_budget_batches(lengths_of(windows), batch_tokens))


def lengths_of(windows: Sequence[Window]) -> list[int]:
    """Tokens of each window."""
    return [len(window.input_ids) for window in windows]


def reader_of(model: Bert | Reader) -> Reader:
    """A model as a reader; one of torch in evaluation mode."""
    if isinstance(model, Reader):
        return model
    from bertsmith.tasks.torch_reader import TorchReader

    return TorchReader(model)
