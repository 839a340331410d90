"""What a pretraining run takes, before it is begun: arithmetic alone, on what was measured or is assumed.

rows     = passes * tokens of the corpus / tokens of it that a row takes
steps    = rows / rows of the global batch
a step   = computing a rank's rows + what of the all-reduce does not hide behind the backward pass
all-reduce: a ring sends 2 (N - 1) / N of the gradients' bytes over each of its links (Patarasuk and Yuan 2009)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from bertsmith.benchmarks.needs import SAFE_SHARE, Memory

# Of a step's computing; the backward pass has two products for each of the forward pass.
BACKWARD_SHARE = 2 / 3


@dataclass(frozen=True)
class Row:
    """What a row holds in the mean.

    Attributes:
        tokens: places without padding, [CLS] and [SEP] counted, as tokens/s count them.
        corpus_tokens: how far a row goes in a pass over the corpus; with next-sentence prediction less, since random
            second segments are read besides.
    """

    tokens: float
    corpus_tokens: float


@dataclass(frozen=True)
class Work:
    """What is to be computed.

    Attributes:
        corpus_tokens: of one pass.
        epochs: passes; None where `steps` says how much there is.
        steps: optimizer steps; None where `epochs` does.
        batch_rows: of one step, over all ranks.
        micro_rows: that a rank computes at once.
    """

    corpus_tokens: float
    epochs: float | None
    steps: int | None
    batch_rows: int
    micro_rows: int
    row: Row


@dataclass(frozen=True)
class Ranks:
    """Who computes it.

    Attributes:
        count: N.
        tokens_per_s: of one rank alone.
        network_bytes_per_s: of the slowest link between two ranks.
        overlap_share: of the all-reduce that hides behind the backward pass of the last micro-batch, where that is
            long enough.
        memory_bytes: that each has; None where it is not known.
        price_per_hour: of each; None where it does not matter.
    """

    count: int
    tokens_per_s: float
    network_bytes_per_s: float
    overlap_share: float
    memory_bytes: float | None = None
    price_per_hour: float | None = None


@dataclass(frozen=True)
class Storage:
    """What lies on the disk.

    Attributes:
        text_bytes: raw text; 0 where it is not needed any more.
        prepared_bytes: the prepared corpus.
        keep: checkpoints that are kept.
        every_s: seconds between checkpoints.
        every_steps: steps between them, which wins; None for seconds.
        prepare_bytes_per_s: text that the machine prepares.
    """

    text_bytes: float
    prepared_bytes: float
    keep: int
    every_s: float
    every_steps: int | None
    prepare_bytes_per_s: float


@dataclass(frozen=True)
class RunPlan:
    """The figures of a run, each by its formula.

    Attributes:
        memory: of one rank, all of it.
    """

    work: Work
    ranks: Ranks
    memory: Memory
    storage: Storage

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        if self.work.steps:
            return self.work.steps
        rows = (self.work.epochs or 1.0) * self.work.corpus_tokens / self.work.row.corpus_tokens
        return max(1, math.ceil(rows / self.work.batch_rows))

    @property
    def rows(self) -> int:
        """Of all steps."""
        return self.steps * self.work.batch_rows

    @property
    def epochs(self) -> float:
        """Passes over the corpus."""
        return self.rows * self.work.row.corpus_tokens / self.work.corpus_tokens

    @property
    def tokens_per_step(self) -> float:
        """Over all ranks, as tokens/s count them."""
        return self.work.batch_rows * self.work.row.tokens

    @property
    def compute_s(self) -> float:
        """A rank's share of a step."""
        return self.tokens_per_step / self.ranks.count / self.ranks.tokens_per_s

    @property
    def all_reduce_bytes(self) -> float:
        """What each rank sends in a step, and receives."""
        return 2 * (self.ranks.count - 1) / self.ranks.count * self.memory.gradients

    @property
    def all_reduce_s(self) -> float:
        """How long the gradients' sum over the ranks takes by itself."""
        return self.all_reduce_bytes / self.ranks.network_bytes_per_s

    @property
    def waiting_s(self) -> float:
        """What of it does not hide behind the backward pass of the last micro-batch."""
        last_s = self.work.micro_rows * self.work.row.tokens / self.ranks.tokens_per_s
        return self.all_reduce_s - min(self.ranks.overlap_share * self.all_reduce_s, BACKWARD_SHARE * last_s)

    @property
    def step_s(self) -> float:
        """An optimizer step."""
        return self.compute_s + self.waiting_s

    @property
    def tokens_per_s(self) -> float:
        """Of all ranks together."""
        return self.tokens_per_step / self.step_s

    @property
    def hours(self) -> float:
        """Of training alone: without evaluations, checkpoints and restarts."""
        return self.steps * self.step_s / 3600

    @property
    def cost(self) -> float | None:
        """Of all ranks, in the currency of the price."""
        price = self.ranks.price_per_hour
        return None if price is None else self.hours * self.ranks.count * price

    @property
    def fits(self) -> bool | None:
        """Whether a rank has the memory, with a tenth to spare; None where it is not known."""
        room = self.ranks.memory_bytes
        return None if room is None else self.memory.total <= SAFE_SHARE * room

    @property
    def sharded_memory_bytes(self) -> float:
        """Of a rank, were weights, gradients and optimizer divided; beside its part each keeps the whole weights."""
        own = self.memory.process + self.memory.activations
        return own + self.memory.weights + (self.memory.total - own - self.memory.buckets) / self.ranks.count

    def fitting_micro_rows(self, *, sharded: bool = False) -> int:
        """The largest micro-batch that fits into a rank's memory, which is known; 0 for none.

        Args:
            sharded: whether weights, gradients and optimizer are divided among the ranks.
        """
        assert self.ranks.memory_bytes is not None
        held = (self.sharded_memory_bytes if sharded else self.memory.total) - self.memory.activations
        left = SAFE_SHARE * self.ranks.memory_bytes - held
        return max(0, int(left / (self.memory.activations / self.work.micro_rows)))

    @property
    def checkpoint_bytes(self) -> float:
        """Of one: weights and what the optimizer keeps."""
        return self.memory.weights + self.memory.optimizer

    @property
    def checkpoint_every_s(self) -> float:
        """Seconds between two."""
        every = self.storage.every_steps
        return every * self.step_s if every else max(self.storage.every_s, self.step_s)

    @property
    def checkpoint_bytes_per_hour(self) -> float:
        """Written."""
        return self.checkpoint_bytes * 3600 / self.checkpoint_every_s

    @property
    def checkpoints_kept_bytes(self) -> float:
        """On the disk at the most: those that are kept, and the one that is being written."""
        return (self.storage.keep + 1) * self.checkpoint_bytes

    @property
    def prepare_hours(self) -> float:
        """Text to prepared corpus; 0 where it is prepared already."""
        return self.storage.text_bytes / self.storage.prepare_bytes_per_s / 3600

    @property
    def disk_bytes(self) -> float:
        """At the most: while preparing, the tokenized units lie beside the shards; later the checkpoints do."""
        preparing = self.storage.prepared_bytes if self.storage.text_bytes else 0.0
        return self.storage.text_bytes + self.storage.prepared_bytes + max(preparing, self.checkpoints_kept_bytes)

    def metrics(self) -> dict[str, Any]:
        """Every figure by its name, with its unit in the name."""
        return {
            "corpus_tokens": self.work.corpus_tokens,
            "epochs": self.epochs,
            "rows": self.rows,
            "steps": self.steps,
            "tokens_per_step": self.tokens_per_step,
            "tokens": self.steps * self.tokens_per_step,
            "tokens_per_s": self.tokens_per_s,
            "tokens_per_s_of_a_rank": self.ranks.tokens_per_s,
            "step_s": self.step_s,
            "compute_s": self.compute_s,
            "all_reduce_bytes": self.all_reduce_bytes,
            "all_reduce_s": self.all_reduce_s,
            "waiting_s": self.waiting_s,
            "hours": self.hours,
            "days": self.hours / 24,
            "cost": self.cost,
            "memory_per_rank_bytes": self.memory.total,
            "sharded_memory_per_rank_bytes": self.sharded_memory_bytes,
            "text_bytes": self.storage.text_bytes,
            "prepared_bytes": self.storage.prepared_bytes,
            "checkpoint_bytes": self.checkpoint_bytes,
            "checkpoints_kept_bytes": self.checkpoints_kept_bytes,
            "checkpoint_every_s": self.checkpoint_every_s,
            "checkpoint_bytes_per_hour": self.checkpoint_bytes_per_hour,
            "disk_bytes": self.disk_bytes,
            "prepare_hours": self.prepare_hours,
        }


def on_ranks(memory: Memory, count: int) -> Memory:
    """A process's memory where it is one of several: DDP's buckets hold the gradients once more."""
    return replace(memory, buckets=memory.gradients) if count > 1 else memory
