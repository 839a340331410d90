"""A `Bert` as prediction asks it.

Letters: W windows, T tokens of the longest, M masked places, V vocabulary, D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bertsmith.data.windows import Encoded, Window, WindowBatch, batch_windows, token_budget_batches
from bertsmith.model.bert import Bert
from bertsmith.model.cores import at_once, side_by_side
from bertsmith.model.device import on_device
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.tasks.places import read_places
from bertsmith.tasks.reader import Float32s, Made, Pooling, Reader, lengths_of


class TorchReader(Reader):
    """See the module.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: Bert) -> None:
        self.model, self.config, self.head = model, model.config, model.head
        self.fills = model.fills

    @torch.inference_mode()
    def task_logits(self, windows: Sequence[Window]) -> list[Float32s]:
        return _of_each(FinetuneTask.logits, self.model, windows)

    @torch.inference_mode()
    def head_inputs(self, windows: Sequence[Window]) -> list[Float32s]:
        """What the fine-tuned head reads at the places of each window, (places, D)."""
        return _of_each(FinetuneTask.head_input, self.model, windows)

    @torch.inference_mode()
    def mask_logits(self, windows: Sequence[Window]) -> Float32s:
        batch = _packed(windows)
        return _array(self.model.masked_lm_logits(read_places(self.model, batch, slice(None), batch.places)))

    @torch.inference_mode()
    def vectors(self, windows: Sequence[Window], pooling: Pooling) -> Float32s:
        device = self.model.device
        longest = max(lengths_of(windows))
        ids = np.zeros((len(windows), longest), np.int64)
        for row, window in zip(ids, windows, strict=True):
            row[: len(window.input_ids)] = window.input_ids
        input_ids = on_device(ids, device)
        lengths = on_device(np.array(lengths_of(windows))[:, None], device)
        position_ids = torch.arange(longest, device=device).expand_as(input_ids)  # (T,) -> (W, T)
        real = position_ids < lengths  # (W, T) bool
        hidden = self.model(
            input_ids,
            token_type_ids=torch.zeros_like(input_ids),
            position_ids=position_ids,
            sequence_ids=None if bool(real.all()) else real.long(),
            places=torch.arange(len(windows), device=device) * longest if pooling == "cls" else None,
        ).float()
        return _array(hidden if pooling == "cls" else (hidden * real[..., None]).sum(dim=1) / lengths)

    @torch.inference_mode()
    def next_sentence_logits(self, windows: Sequence[Window]) -> Float32s:
        if self.model.next_sentence is None:
            return np.empty((len(windows), 0), np.float32)
        begins = [replace(window, places=np.zeros(1, np.int32)) for window in windows]  # [CLS]
        batch = _packed(begins)
        return _array(self.model.next_sentence_logits(read_places(self.model, batch, slice(None), batch.places)))

    def each_batch(
        self, work: Callable[[list[int]], Made], windows: Sequence[Window], batch_tokens: int
    ) -> Iterator[Made]:
        """A batch on each core."""
        device = self.model.device
        batches = token_budget_batches(lengths_of(windows), batch_tokens, at_once=at_once(device))
        return side_by_side(work, batches, device)


def _of_each(compute: Callable[[Bert, WindowBatch], Tensor], model: Bert, windows: Sequence[Window]) -> list[Float32s]:
    batch = _packed(windows)
    return np.split(_array(compute(model, batch)), np.cumsum(batch.places_of)[:-1])


def _packed(windows: Sequence[Window]) -> WindowBatch:
    return batch_windows([Encoded((window,), np.empty(0)) for window in windows])


def _array(values: Tensor) -> Float32s:
    array: Float32s = values.float().cpu().numpy()
    return array
