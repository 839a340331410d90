"""What fine-tuning is fed: a batch of labelled examples a step, in a new order each epoch, from any state on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.feed import Step
from bertsmith.data.random_bits import generator
from bertsmith.data.windows import Encoded, WindowBatch, batch_windows

PART_TOKENS = 2048  # computed at once: with more, the attention scores of long windows leave the cache


class ExampleFeed:
    """Steps of `batch_size` examples; the last of an epoch may have fewer.

    Args:
        encoded: the examples.
        batch_size: examples of a step.
        seed: of the order.
        room: tokens that a row may have, for rows that are computed faster; see `batch_windows`.
        rank, ranks: which of the ranks is fed; together they see what one alone would.
    """

    def __init__(
        self, encoded: Sequence[Encoded], *, batch_size: int, seed: int, room: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        self.encoded, self.batch_size, self.seed, self.room = encoded, batch_size, seed, room
        self.rank, self.ranks = rank, ranks
        self._order = lru_cache(maxsize=2)(self._shuffled)

    @staticmethod
    def start() -> dict[str, Any]:
        """The state of a run that has seen nothing."""
        return {"epoch": 0, "example": 0}

    def step(self, state: dict[str, Any], share_done: Callable[[float], float]) -> Step[WindowBatch]:
        """The step that starts at a state."""
        epoch, first = state["epoch"], state["example"]
        last = min(first + self.batch_size, len(self.encoded))
        chosen = [self.encoded[index] for index in self._order(epoch)[first:last]]
        after = {"epoch": epoch, "example": last}
        if last == len(self.encoded):
            after = {"epoch": epoch + 1, "example": 0}
        epochs = after["epoch"] + after["example"] / len(self.encoded)
        share = chosen[self.rank :: self.ranks]
        batches = [batch_windows(part, room=self.room) for part in _parts(share or chosen[:1])]
        return Step(batches, sum(each.tokens for each in share), epochs, after, idle=not share)

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return generator("examples", self.seed, epoch).permutation(len(self.encoded))


def _parts(encoded: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """Parts that are computed one after the other, as even as can be, of about PART_TOKENS or of one example; long ones
    first, so that those of a part are of like length."""
    total = sum(each.tokens for each in encoded)
    enough = total / math.ceil(total / PART_TOKENS)
    part: list[Encoded] = []
    for each in sorted(encoded, key=lambda each: -each.tokens):
        part.append(each)
        if sum(one.tokens for one in part) >= enough:
            yield part
            part = []
    if part:
        yield part
