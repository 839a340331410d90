"""What the prediction measurement found: as a table, and as plain values for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from bertsmith.benchmarks.figures import Table
from bertsmith.benchmarks.infer_job import What

QUESTION = {
    "embed": "a vector",
    "fill": "the word at one [MASK]",
    "classify": "labels",
    "regress": "a score",
    "tag": "tags",
}


@dataclass(frozen=True)
class InferSide:
    """One side.

    Attributes:
        name: "ours", or the peer's.
        seconds: of each run over the texts.
        short_s: seconds of each call with the short text alone, warm.
        memory_bytes: the most that the side's process held.
        precision, threads: what it says of itself.
    """

    name: str
    seconds: tuple[float, ...]
    short_s: tuple[float, ...]
    memory_bytes: float
    precision: str
    threads: int

    def short_ms(self, share: float) -> float:
        """The time within which this share of the calls with the short text was answered."""
        return 1e3 * float(np.quantile(self.short_s, share))


@dataclass(frozen=True)
class InferFigures:
    """The whole measurement.

    Attributes:
        what: what was asked of each text.
        model: folder and size, for people.
        tokens: of each text of a run, [CLS] and [SEP] included.
        short_tokens: of the text that was answered alone.
        flops: useful ones of a run; see `flops`.
        limits: FLOP/s of the best matrix product of the same run, by format.
        ours, peer: the sides; None where there was no peer.
    """

    what: What
    model: str
    tokens: tuple[int, ...]
    short_tokens: int
    flops: float
    limits: dict[str, float]
    ours: InferSide
    peer: InferSide | None

    def tokens_per_s(self, side: InferSide) -> float:
        """By the median of the runs."""
        return sum(self.tokens) / median(side.seconds)

    def share(self, side: InferSide) -> float:
        """The share of the machine's limit that a side reaches."""
        return self.flops / median(side.seconds) / max(self.limits.values())

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the peer ours is, by the medians."""
        return median(self.peer.seconds) / median(self.ours.seconds) if self.peer else None

    @property
    def short_ratio(self) -> float | None:
        """The same of the short text."""
        return median(self.peer.short_s) / median(self.ours.short_s) if self.peer else None

    def table(self) -> Table:
        """Both sides."""
        header = ("side", "tokens/s", "texts/s", "GFLOP/s", "of limit", "short text p50", "p95", "memory")
        rows = tuple(self._row(side) for side in (self.ours, self.peer) if side)
        limits = ", ".join(f"{name} {speed / 1e9:,.0f} GFLOP/s" for name, speed in self.limits.items())
        low, middle, high = self._lengths()
        notes = [
            f"{len(self.tokens):,} texts of {low} to {high} tokens (median {middle:.0f}) as they come; "
            f"medians of {len(self.ours.seconds)}. The short text has {self.short_tokens} tokens.",
            f"GFLOP/s are the useful ones. The limit is the best large matrix product of this run: {limits}.",
        ]
        if self.peer:
            notes.append(f"Ours is {self.ratio:.2f} x the peer over the texts, {self.short_ratio:.2f} x in latency.")
        title = f"Prediction, {QUESTION[self.what]} a text: {self.model}, {self.ours.threads} thread(s)"
        return Table(title, header, rows, tuple(notes))

    def _row(self, side: InferSide) -> tuple[str, ...]:
        middle = median(side.seconds)
        return (
            f"{side.name} ({side.precision})",
            f"{self.tokens_per_s(side):,.0f}",
            f"{len(self.tokens) / middle:,.1f}",
            f"{self.flops / middle / 1e9:,.0f}",
            f"{self.share(side):.0%}",
            f"{side.short_ms(0.5):.2f} ms",
            f"{side.short_ms(0.95):.2f} ms",
            f"{side.memory_bytes / 1e9:.1f} GB",
        )

    def _lengths(self) -> tuple[int, float, int]:
        return min(self.tokens), median(self.tokens), max(self.tokens)

    def values(self) -> dict[str, Any]:
        """Everything, for JSON."""
        low, middle, high = self._lengths()
        return {
            "what": self.what,
            **self._side_values(self.ours),
            "peer_tokens_per_s": self.peer and self.tokens_per_s(self.peer),
            "ratio": self.ratio,
            "short_ratio": self.short_ratio,
            "useful_flops": self.flops,
            "limits_flops_per_s": self.limits,
            "texts": len(self.tokens),
            "tokens": sum(self.tokens),
            "length_tokens": {"least": low, "median": middle, "most": high},
            "short_tokens": self.short_tokens,
            "peer": self.peer and self._side_values(self.peer),
        }

    def _side_values(self, side: InferSide) -> dict[str, Any]:
        return {
            "side": side.name,
            "precision": side.precision,
            "threads": side.threads,
            "tokens_per_s": self.tokens_per_s(side),
            "texts_per_s": len(self.tokens) / median(side.seconds),
            "useful_flops_per_s": self.flops / median(side.seconds),
            "share_of_limit": self.share(side),
            "short_p50_ms": side.short_ms(0.5),
            "short_p95_ms": side.short_ms(0.95),
            "memory_bytes": side.memory_bytes,
            "seconds": side.seconds,
        }
