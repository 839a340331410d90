"""A text or a pair as windows whose logits are averaged: what classify, regress and choose share.

Letters: W windows, P places that the task reads, O outputs, G groups of windows, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.windows import Window, sliding_windows
from bertsmith.model.device import on_device
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.text.wordpiece import WordPiece

if TYPE_CHECKING:
    from torch import Tensor

OVERLAP_TOKENS = 32  # about a sentence, so that what is said at an edge is read whole somewhere

Int32s = NDArray[np.int32]


def windows_of(
    task: FinetuneTask[Any, Any], texts: Sequence[str], pairs: Sequence[str | None]
) -> list[tuple[Window, ...]]:
    """The windows of each text or pair: `[CLS] text [SEP]` or `[CLS] text [SEP] pair [SEP]`.

    Of a pair that is too long, the shorter text keeps up to half of the room, and the other slides beside it; where
    both are longer than that, both slide. Every token is read in some window.

    Args:
        task: its head says how long windows are and what neighbours share (OVERLAP_TOKENS and at most a quarter of what
            slides, if it says nothing); in feature mode all hidden states are read, else those of [CLS].
        texts, pairs: of equal number; None for a text alone. Special tokens in them are plain text.
    """
    flat, lengths = task.tokenizer.encode_sentences([*texts, *(pair or "" for pair in pairs)])
    ids = np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []
    sliding = _Sliding(
        task.tokenizer, task.window_tokens, task.head.overlap_tokens, every_place=task.head.feature_layers > 0
    )
    return [
        sliding.alone(first) if pair is None else sliding.pair(first, second)
        for first, second, pair in zip(ids[: len(texts)], ids[len(texts) :], pairs, strict=True)
    ]


class _Sliding:
    """Cuts token ids into windows."""

    def __init__(
        self, tokenizer: WordPiece, window_tokens: int, overlap_tokens: int | None, *, every_place: bool
    ) -> None:
        self.cls, self.sep = np.array([tokenizer.cls_id], np.int32), np.array([tokenizer.sep_id], np.int32)
        self.window_tokens, self.overlap_tokens, self.every_place = window_tokens, overlap_tokens, every_place

    def alone(self, ids: Int32s) -> tuple[Window, ...]:
        parts = self._parts(ids, self.window_tokens - 2)
        return tuple(self._window(ids[part.start : part.stop], None) for part in parts)

    def pair(self, first: Int32s, second: Int32s) -> tuple[Window, ...]:
        room = self.window_tokens - 3
        if len(first) + len(second) <= room:
            return (self._window(first, second),)
        half = room // 2
        room_first = max(room - len(second), half)
        lefts = self._parts(first, room_first)
        rights = self._parts(second, room - min(len(first), room_first))
        count = max(len(lefts), len(rights))
        return tuple(
            self._window(first[left.start : left.stop], second[right.start : right.stop])
            for left, right in zip(_stretched(lefts, count), _stretched(rights, count), strict=True)
        )

    def _parts(self, ids: Int32s, room: int) -> list[range]:
        overlap = min(OVERLAP_TOKENS, room // 4) if self.overlap_tokens is None else min(self.overlap_tokens, room - 1)
        return sliding_windows(len(ids), room, overlap)

    def _window(self, first: Int32s, second: Int32s | None) -> Window:
        pieces = [self.cls, first, self.sep] + ([] if second is None else [second, self.sep])
        input_ids = np.concatenate(pieces)
        types = np.zeros(len(input_ids), np.uint8)
        types[len(first) + 2 :] = 1  # nothing is there without a second text
        places = np.arange(len(input_ids) if self.every_place else 1, dtype=np.int32)
        return Window(input_ids, types, places)


def _stretched(parts: list[range], count: int) -> list[range]:
    """`count` of the parts in order, each at least once."""
    return [parts[index * len(parts) // count] for index in range(count)]


def mean_of_groups(logits: Tensor, sizes: NDArray[np.int64]) -> Tensor:
    """(P, O) -> (G, O), the mean of each run of `sizes` rows; sizes (G,) sum to P."""
    if (sizes == 1).all():
        return logits
    import torch

    counts = on_device(sizes, logits.device)
    group = torch.repeat_interleave(torch.arange(len(sizes), device=logits.device), counts, output_size=len(logits))
    sums = torch.zeros(len(sizes), logits.shape[1], dtype=logits.dtype, device=logits.device)
    return sums.index_add(0, group, logits) / counts[:, None]
