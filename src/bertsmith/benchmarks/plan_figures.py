"""A plan for people, and as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bertsmith.benchmarks.figures import Table
from bertsmith.benchmarks.plan import BACKWARD_SHARE, RunPlan
from bertsmith.benchmarks.train_figures import step_time
from bertsmith.config import ARCHITECTURES, PretrainConfig
from bertsmith.progress import duration

# A checkpoint that is written in this share of the time between two is not felt.
CHECKPOINT_SHARE = 0.01


@dataclass(frozen=True)
class PlanFigures:
    """A plan and what it rests on.

    Attributes:
        plan: the figures.
        config, vocab_size: the run.
        kind: what a rank is.
        said: what was measured, given or assumed of this run; what always is comes on top.
    """

    plan: RunPlan
    config: PretrainConfig
    vocab_size: int
    kind: str
    said: tuple[str, ...]

    def table(self) -> Table:
        """A line a figure, the assumptions below."""
        config, ranks = self.config, self.plan.ranks
        title = (
            f"{ARCHITECTURES[config.architecture]} {config.size}, {config.objective}, rows of "
            f"{config.max_length_tokens}, vocabulary {self.vocab_size:,}, {ranks.count} x {self.kind}"
        )
        rows = (*self._work_rows(), *self._memory_rows(), *self._disk_rows())
        notes = ("", "Assumed", *(f"- {each}" for each in self.assumptions()))
        return Table(title, ("what", "how much", "of what"), rows, notes)

    def _work_rows(self) -> list[tuple[str, str, str]]:
        plan, found = self.plan, self.plan.metrics()
        waits = f" + {step_time(plan.waiting_s)} waiting for the all-reduce" if plan.ranks.count > 1 else ""
        rows = [
            ("corpus", f"{amount(plan.work.corpus_tokens)} tokens", f"{plan.epochs:.3g} epoch(s)"),
            ("rows", f"{plan.rows:,}", f"{plan.work.row.tokens:.1f} tokens a row, special ones too"),
            ("steps", f"{plan.steps:,}", f"{plan.work.batch_rows:,} rows, {found['tokens_per_step']:,.0f} tokens each"),
            ("a step", step_time(plan.step_s), f"{step_time(plan.compute_s)} computing{waits}"),
            ("speed", f"{plan.tokens_per_s:,.0f} tokens/s", f"{plan.ranks.tokens_per_s:,.0f} of a rank alone"),
            ("time", duration(3600 * plan.hours), f"{plan.hours:,.3g} hours, {plan.hours / 24:,.3g} days"),
        ]
        if plan.cost is not None:
            rows.append(("cost", f"{plan.cost:,.2f}", f"{plan.ranks.count} x {plan.ranks.price_per_hour:g} an hour"))
        return rows

    def _memory_rows(self) -> list[tuple[str, str, str]]:
        parts = [(name, size) for name, size in asdict(self.plan.memory).items() if size]
        told = ", ".join(f"{name} {gigabytes(size)}" for name, size in parts)
        return [("memory a rank", gigabytes(self.plan.memory.total), told), ("", "", self.advice())]

    def advice(self) -> str:
        """Whether it fits, and if not what would do."""
        plan, room = self.plan, self.plan.ranks.memory_bytes
        if room is None:
            return f"micro-batch of {plan.work.micro_rows} rows; each process needs this much to itself"
        if plan.fits:
            return f"fits into {gigabytes(room)} (micro-batch of {plan.work.micro_rows} rows)"
        short = f"DOES NOT FIT into {gigabytes(room)}"
        if rows := plan.fitting_micro_rows():
            return f"{short}: say --micro-batch-size {rows}"
        if plan.ranks.count > 1 and (rows := plan.fitting_micro_rows(sharded=True)):
            return (
                f"DOES NOT FIT into {gigabytes(room)} with any micro-batch: say --shard and --micro-batch-size {rows}"
            )
        return f"{short}: shorter rows, a smaller --size or cards with more memory would"

    def _disk_rows(self) -> list[tuple[str, str, str]]:
        plan, storage = self.plan, self.plan.storage
        every_s, size = plan.checkpoint_every_s, plan.checkpoint_bytes
        rate = size / (CHECKPOINT_SHARE * every_s)
        traffic = f"every {duration(every_s)}: {gigabytes(plan.checkpoint_bytes_per_hour)} an hour"
        twice = "; while it prepares, the corpus lies there twice" if storage.text_bytes else ""
        rows = [
            ("disk", gigabytes(plan.disk_bytes), f"at the most{twice}"),
            ("  prepared corpus", gigabytes(storage.prepared_bytes), "every rank reads it"),
            ("  checkpoints", gigabytes(plan.checkpoints_kept_bytes), f"{storage.keep} kept, one on its way"),
            ("checkpoint", gigabytes(size), traffic),
            ("", f"{rate / 1e9:.2g} GB/s", f"write it so fast, and it takes {CHECKPOINT_SHARE:.0%} of the time"),
        ]
        if storage.text_bytes:
            rows.insert(1, ("  text", gigabytes(storage.text_bytes), "needed until it is prepared"))
            cores = f"{storage.prepare_bytes_per_s / 1e6:.1f} MB/s on the cores of this machine"
            rows.append(("preparing", duration(3600 * plan.prepare_hours), cores))
        return rows

    def assumptions(self) -> list[str]:
        """Everything that was not computed, a sentence or two each."""
        ranks = self.plan.ranks
        always = [
            *self.said,
            "Memory is computed from the shape, as fitted to this program on a processor with rows of 128 and 512; it "
            "is right to about 30%.",
            f"While a checkpoint is written, a copy of it, {gigabytes(self.plan.checkpoint_bytes)}, lies in the main "
            "memory of the first rank's machine (with --shard the optimizer's part of it on all machines together).",
            "The hours are of training steps alone: no start, evaluation, checkpoint or restart.",
        ]
        if ranks.count > 1:
            always.append(self._of_ranks())
        if self.plan.storage.text_bytes:
            always.append(
                "Preparing reads 5.3 MB/s a core, as measured on Wikipedia; learning the WordPieces, where no "
                "--tokenizer is given, reads the text once more, at about 4 MB/s on two cores."
            )
        return always

    def _of_ranks(self) -> str:
        ranks, plan = self.plan.ranks, self.plan
        gbps = 8 * ranks.network_bytes_per_s / 1e9
        return (
            f"Each of the {ranks.count} ranks computes as fast as one does alone, on hardware of its own. What it "
            f"loses is the all-reduce: {gigabytes(plan.all_reduce_bytes)} a step at {gbps:g} Gbit/s (--network-gbps) "
            f"take {step_time(plan.all_reduce_s)}, of which {ranks.overlap_share:.0%} (--overlap-share) hide behind "
            f"the last micro-batch's backward pass ({BACKWARD_SHARE:.0%} of its time), where that is long enough."
        )

    def values(self) -> dict[str, Any]:
        """Everything, for JSON."""
        config, plan = self.config, self.plan
        return {
            "metrics": plan.metrics(),
            "memory_per_rank": asdict(plan.memory),
            "fits": plan.fits,
            "advice": self.advice(),
            "ranks": plan.ranks.count,
            "rank": self.kind,
            "size": config.size,
            "architecture": config.architecture,
            "objective": config.objective,
            "max_length_tokens": config.max_length_tokens,
            "vocab_size": self.vocab_size,
            "batch_size": plan.work.batch_rows,
            "micro_batch_size": plan.work.micro_rows,
            "assumptions": self.assumptions(),
        }


def amount(count: float) -> str:
    """`100 G`, `12.3 M`, `4,000`."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count:,.0f}"


def gigabytes(size: float) -> str:
    """`1.5 TB`, `445 GB`, `12 MB`."""
    for unit, bytes_ in (("TB", 1e12), ("GB", 1e9)):
        if size >= bytes_:
            return f"{size / bytes_:.3g} {unit}"
    return f"{size / 1e6:.3g} MB"
