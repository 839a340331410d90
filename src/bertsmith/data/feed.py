"""What training is fed: one global batch a step, from any state on, in phases of lengths and of shares of masked words.

BERT spent the first 90% of its steps on 128 tokens and the last 10% on 512 (Devlin et al. 2019, appendix A.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from bertsmith.data.batch import PretrainingBatch
from bertsmith.data.sampler import Position, RowSampler
from bertsmith.data.windows import MICRO_BATCH_TOKENS

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


@dataclass(frozen=True)
class Phase:
    """A stretch of a run.

    Attributes:
        sampler: cuts and masks its rows.
        until: the share of the budget at which the next phase takes over.
    """

    sampler: RowSampler
    until: float = 1.0


class PretrainingFeed:
    """Steps of `batch_size` rows, phase after phase; each goes on in the corpus where the one before it stood.

    Of each step a rank is given its share of the rows; together the ranks see what one alone would.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        *,
        batch_size: int,
        micro_batch_size: int | None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.phases = phases
        self.batch_size, self.micro_batch_size = batch_size, micro_batch_size
        self._first, self._last = (batch_size * place // ranks for place in (rank, rank + 1))

    @staticmethod
    def start() -> dict[str, Any]:
        """The state of a run that has seen nothing."""
        return {**asdict(Position()), "phase": 0}

    def step(self, state: dict[str, Any], share_done: Callable[[float], float]) -> Step[PretrainingBatch]:
        """The step that starts at a state.

        Args:
            state: from `start` or the step before.
            share_done: passes over the corpus -> the share of the budget that is spent; it picks the phase.
        """
        position, number = Position(state["epoch"], state["shard"], state["row"]), state["phase"]
        sampler = self.phases[number].sampler
        spent = share_done(sampler.epochs_done(position))
        while number + 1 < len(self.phases) and spent >= self.phases[number].until:
            number += 1
            position = self.phases[number].sampler.same_share(position, sampler)
            sampler = self.phases[number].sampler
        batch, after = sampler.take(position, self.batch_size, first=self._first, last=self._last)
        return Step(self._parts(batch), batch.tokens, sampler.epochs_done(after), {**asdict(after), "phase": number})

    def _parts(self, batch: PretrainingBatch) -> list[PretrainingBatch]:
        rows = self.micro_batch_size or max(1, MICRO_BATCH_TOKENS // batch.input_ids.shape[1])
        return [batch.slice(first, min(first + rows, batch.rows)) for first in range(0, batch.rows, rows)]
