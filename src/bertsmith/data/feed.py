"""What training is fed: one global batch a step, from any state on, in the two phases of lengths.

BERT spent the first 90% of its steps on 128 tokens and the last 10% on 512 (Devlin et al. 2019, appendix A.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from bertsmith.data.batch import PretrainingBatch
from bertsmith.data.sampler import Position, RowSampler

MICRO_BATCH_TOKENS = 8192

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Step(Generic[Batch]):
    """One optimizer step's input.

    Attributes:
        batches: this rank's share of the global batch, in parts that are computed one after the other; never none.
        tokens: places of this share that hold no padding.
        epochs_after: passes over the data after this step.
        state: where the step after this one starts, as plain JSON values.
        idle: whether this rank has no share, and computes `batches` for company: they count for nothing.
    """

    batches: list[Batch]
    tokens: int
    epochs_after: float
    state: dict[str, Any]
    idle: bool = False


class PretrainingFeed:
    """Steps of `batch_size` rows; short rows first, long rows for the last share of the budget.

    Of each step a rank is given its share of the rows; together the ranks see what one alone would.
    """

    def __init__(
        self,
        short: RowSampler,
        long: RowSampler | None,
        *,
        long_share: float,
        batch_size: int,
        micro_batch_size: int | None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.short, self.long = short, long
        self.long_share = long_share
        self.batch_size, self.micro_batch_size = batch_size, micro_batch_size
        self._first, self._last = (batch_size * place // ranks for place in (rank, rank + 1))

    @staticmethod
    def start() -> dict[str, Any]:
        """The state of a run that has seen nothing."""
        return {**asdict(Position()), "long": False}

    def step(self, state: dict[str, Any], share_done: Callable[[float], float]) -> Step[PretrainingBatch]:
        """The step that starts at a state.

        Args:
            state: from `start` or the step before.
            share_done: passes over the corpus -> the share of the budget that is spent; it picks the phase.
        """
        position = Position(state["epoch"], state["shard"], state["row"])
        sampler = self.long if state["long"] and self.long else self.short
        epochs = sampler.epochs_done(position)
        if self.long and sampler is self.short and share_done(epochs) >= 1 - self.long_share:
            position, sampler = self.long.same_share(position, self.short), self.long
        batch, after = sampler.take(position, self.batch_size, first=self._first, last=self._last)
        state = {**asdict(after), "long": sampler is self.long}
        return Step(self._parts(batch), batch.tokens, sampler.epochs_done(after), state)

    def _parts(self, batch: PretrainingBatch) -> list[PretrainingBatch]:
        rows = self.micro_batch_size or max(1, MICRO_BATCH_TOKENS // batch.input_ids.shape[1])
        return [batch.slice(first, min(first + rows, batch.rows)) for first in range(0, batch.rows, rows)]
