"""What the pretraining measurement found: per size, per side; as a table, and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bertsmith.benchmarks.figures import Table
from bertsmith.benchmarks.flops import Counts
from bertsmith.benchmarks.needs import Needs
from bertsmith.config import ARCHITECTURES, PretrainConfig, Size
from bertsmith.progress import duration


@dataclass(frozen=True)
class SideFigures:
    """One side's steps of one size.

    Attributes:
        name: "ours", or the peer's.
        tokens_per_s: median over the rounds, padding not counted.
        step_s: seconds an optimizer step, likewise.
        memory_bytes: the most that the side's process held.
        precision, threads, note: what it says of itself; empty, 0 and empty where nothing ran.
        rounds: how many the median is of; 0 where nothing ran.
    """

    name: str
    tokens_per_s: float
    step_s: float
    memory_bytes: float
    precision: str = ""
    threads: int = 0
    note: str = ""
    rounds: int = 0


@dataclass(frozen=True)
class SizeFigures:
    """One size.

    Attributes:
        ours: our steps, measured or estimated.
        peers: the peer's, in the same rounds; empty where there was none.
        estimated: why nothing ran; empty where the figures were measured.
    """

    size: Size
    needs: Needs
    ours: SideFigures
    peers: tuple[SideFigures, ...] = ()
    estimated: str = ""

    @property
    def flops_per_s(self) -> float:
        """Useful FLOP/s of ours."""
        return self.needs.flops_per_token * self.ours.tokens_per_s

    def ratio(self, peer: SideFigures) -> float:
        """How many times as fast as a peer ours is."""
        return self.ours.tokens_per_s / peer.tokens_per_s

    def hours(self, tokens: float) -> float:
        """How long so many tokens take."""
        return tokens / self.ours.tokens_per_s / 3600


@dataclass(frozen=True)
class TrainFigures:
    """The whole measurement.

    Attributes:
        config, vocab_size, counts: what a step is.
        limits: FLOP/s of the best matrix product of the same run, by format.
        sizes: in rising order.
    """

    config: PretrainConfig
    vocab_size: int
    counts: Counts
    limits: dict[str, float]
    sizes: tuple[SizeFigures, ...]

    @property
    def limit(self) -> float:
        """FLOP/s of the best product in any format."""
        return max(self.limits.values())

    @property
    def measured(self) -> list[SizeFigures]:
        """The sizes that were not estimated; at least one."""
        return [size for size in self.sizes if not size.estimated]

    def share(self, size: SizeFigures) -> float:
        """The share of the limit that a size reaches."""
        return size.flops_per_s / self.limit

    def tables(self, tokens: float) -> list[Table]:
        """The sizes; and if there was a peer, both sides of each."""
        tables = [self._needs_table(tokens)]
        if any(size.peers for size in self.sizes):
            tables.append(self._peer_table())
        return tables

    def _needs_table(self, tokens: float) -> Table:
        header = ("size", "weights", "tokens/s", "step", "memory", "GFLOP/s", "of limit")
        rows = []
        for size in self.sizes:
            about = "~" if size.estimated else ""
            cells = [
                size.size,
                f"{size.needs.parameters / 1e6:.1f} M",
                f"{about}{size.ours.tokens_per_s:,.0f}",
                about + step_time(size.ours.step_s),
                f"{about}{size.ours.memory_bytes / 1e9:.1f} GB",
                f"{about}{size.flops_per_s / 1e9:,.0f}",
                f"{about}{self.share(size):.0%}",
                about + duration(3600 * size.hours(tokens)),
            ]
            rows.append(tuple(cells))
        limits = ", ".join(f"{name} {speed / 1e9:,.0f} GFLOP/s" for name, speed in self.limits.items())
        notes = [
            f"GFLOP/s are the useful ones. The limit is the best large matrix product of this run: {limits}.",
            f"The last column is how long {tokens / 1e6:,g} M tokens take.",
        ]
        estimated = [size for size in self.sizes if size.estimated]
        if estimated:
            notes.append(
                f"~ is an estimate: the speed from the FLOP/s that {self.measured[-1].size} reached, the memory from "
                "the shape."
            )
        notes += [f"{size.size}: {size.estimated}." for size in estimated]
        return Table(self._title(), (*header, f"{tokens / 1e6:,g} M tokens"), tuple(rows), tuple(notes))

    def _title(self) -> str:
        config = self.config
        ours = self.measured[0].ours
        return (
            f"Pretraining, {config.objective}, steps of {config.batch_size} x {config.max_length_tokens}, "
            f"{self.counts.masked / self.counts.tokens:.0%} masked, vocabulary {self.vocab_size:,}, "
            f"{ours.precision}, {ours.threads} thread(s)"
        )

    def _peer_table(self) -> Table:
        header = ("size", "side", "tokens/s", "step", "memory", "rounds", "ours is")
        rows = []
        config, notes = self.config, set[str]()
        if config.architecture != "bert":
            notes.add(f"The peer is BERT of the same --size, ours {ARCHITECTURES[config.architecture]}: another model.")
        for size in self.sizes:
            for side in (size.ours, *size.peers) if size.peers else ():
                cells = (
                    size.size,
                    f"{side.name} ({side.precision})",
                    f"{side.tokens_per_s:,.0f}",
                    step_time(side.step_s),
                    f"{side.memory_bytes / 1e9:.1f} GB",
                    str(side.rounds),
                    "" if side is size.ours else f"{size.ratio(side):.2f} x",
                )
                rows.append(cells)
                notes |= {f"{side.name}: {side.note}."} if side.note else set()
        peer = "BertForPreTraining" if config.objective == "mlm+nsp" else "BertForMaskedLM"
        return Table(f"Beside {peer} of transformers, in turn", header, tuple(rows), tuple(sorted(notes)))

    def values(self, tokens: float) -> dict[str, Any]:
        """Everything, for JSON; the figures at the top are those of the largest size that was measured."""
        return {
            **self._size_values(self.measured[-1], tokens),
            "tokens": tokens,
            "batch_size": self.config.batch_size,
            "max_length_tokens": self.config.max_length_tokens,
            "vocab_size": self.vocab_size,
            "limits_flops_per_s": self.limits,
            "sizes": [self._size_values(size, tokens) for size in self.sizes],
        }

    def _size_values(self, size: SizeFigures, tokens: float) -> dict[str, Any]:
        peers = {peer.name: {**asdict(peer), "ratio": size.ratio(peer)} for peer in size.peers}
        rival = fastest(size.peers)
        return {
            "size": size.size,
            **asdict(size.ours),
            "peer_tokens_per_s": rival and rival.tokens_per_s,
            "ratio": rival and size.ratio(rival),
            "share_of_limit": self.share(size),
            "useful_flops_per_s": size.flops_per_s,
            "useful_flops_per_token": size.needs.flops_per_token,
            "parameters": size.needs.parameters,
            "hours": size.hours(tokens),
            "estimated": size.estimated or None,
            "peers": peers,
        }


def fastest(peers: Sequence[SideFigures]) -> SideFigures | None:
    """The peer that is hardest to beat; None where there is none."""
    return max(peers, key=lambda peer: peer.tokens_per_s, default=None)


def step_time(seconds: float) -> str:
    """`240 ms`, `4.1 s`."""
    return f"{1e3 * seconds:,.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"
