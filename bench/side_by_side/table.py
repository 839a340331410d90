"""Raw records -> who is better and who is faster, as tables.

A record is a dict: task, variant ("ours", or the peer's), seed, figures, seconds {read, train, predict}, tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from bertsmith.benchmarks.figures import markdown_rows
from side_by_side.records import Record

OURS = "ours"


@dataclass(frozen=True)
class Spread:
    """A figure over the seeds: its mean and (sample) standard deviation."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value; the deviation of one is 0."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else 0.0)

    def __str__(self) -> str:
        return f"{100 * self.mean:.2f} ± {100 * self.sd:.2f}"


@dataclass(frozen=True)
class Comparison:
    """One figure on both sides."""

    ours: Spread
    theirs: Spread

    @property
    def half_sds(self) -> float | None:
        """By how many halves of their deviation ours is better; None where theirs is 0."""
        return (self.ours.mean - self.theirs.mean) / (self.theirs.sd / 2) if self.theirs.sd else None

    @property
    def holds(self) -> bool:
        """Whether our mean is at least theirs less half their deviation."""
        return self.ours.mean >= self.theirs.mean - self.theirs.sd / 2


def seconds(record: Record, part: str) -> float:
    """How long a part took; "whole" is all of them."""
    return sum(record["seconds"].values()) if part == "whole" else record["seconds"][part]


def middle(records: Sequence[Record], part: str) -> float:
    """The median over the seeds."""
    return median(seconds(record, part) for record in records)


def by_variant(records: Sequence[Record], task: str) -> dict[str, list[Record]]:
    """The records of a task, those of each variant together."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record["task"] == task:
            found.setdefault(record["variant"], []).append(record)
    return found


def rivals(variants: dict[str, list[Record]]) -> tuple[str, list[Record], list[Record]] | None:
    """The peer's variant that trains fastest, our records and its, of the same seeds; None where a side has none.

    A variant that was tried with fewer seeds than another is none of the rivals.
    """
    seeds = {name: {record["seed"] for record in same} for name, same in variants.items()}
    ours = seeds.pop(OURS, set())
    shared = {name: each & ours for name, each in seeds.items() if each & ours}
    if not shared:
        return None
    most = max(map(len, shared.values()))
    tried = {
        name: [[record for record in variants[side] if record["seed"] in same] for side in (OURS, name)]
        for name, same in shared.items()
        if len(same) == most
    }
    best = min(tried, key=lambda name: middle(tried[name][1], "train"))
    return best, *tried[best]


def compare(ours: Sequence[Record], theirs: Sequence[Record], figure: str) -> Comparison:
    """One figure on both sides."""
    mine, peers = (Spread.of([each["figures"][figure] for each in side]) for side in (ours, theirs))
    return Comparison(mine, peers)


def summary(records: Sequence[Record], figures: dict[str, tuple[str, ...]]) -> str:
    """Markdown: a row a figure against the fastest variant of the peer; then every variant.

    Args:
        records: of all runs.
        figures: of each task, headline first.
    """
    head = "task | figure | ours | theirs | of ½ sd | at least theirs - ½ sd | train s | theirs | ratio | whole ratio"
    rows = [row for task, names in figures.items() for row in _rows(task, names, rivals(by_variant(records, task)))]
    details = "task | variant | seeds | figures | read s | train s | predict s | tokens | tokens/s | MB"
    every = [_detail(task, name, same, names) for task, names in figures.items()
             for name, same in by_variant(records, task).items()]  # fmt: skip
    return f"{markdown_rows(head.split(' | '), rows)}\n\n{markdown_rows(details.split(' | '), every)}"


def _rows(task: str, names: Sequence[str], found: tuple[str, list[Record], list[Record]] | None) -> Iterator[list[str]]:
    if found is None:
        return
    peer, ours, theirs = found
    trains = [middle(side, "train") for side in (ours, theirs)]
    whole = middle(ours, "whole") / middle(theirs, "whole")
    times = [f"{trains[0]:.1f}", f"{trains[1]:.1f} ({peer})", f"{trains[0] / trains[1]:.2f}", f"{whole:.2f}"]
    for name in names:
        both = compare(ours, theirs, name)
        units = "-" if both.half_sds is None else f"{both.half_sds:+.1f}"
        yield [task, name, str(both.ours), str(both.theirs), units, "yes" if both.holds else "NO", *times]


def _detail(task: str, variant: str, same: list[Record], names: Sequence[str]) -> list[str]:
    train = middle(same, "train")
    tokens = median(each["tokens"] for each in same)
    shown = ", ".join(f"{name} {Spread.of([each['figures'][name] for each in same])}" for name in names)
    precision = f" ({same[0]['precision']})" if variant == OURS else ""
    return [
        task,
        variant + precision,
        str(len(same)),
        shown,
        f"{middle(same, 'read'):.2f}",
        f"{train:.1f}",
        f"{middle(same, 'predict'):.1f}",
        f"{tokens:,.0f}",
        f"{tokens / train:,.0f}",
        f"{max(each['memory_mb'] for each in same):,.0f}",
    ]
