"""Raw records -> the losses over time, and how much sooner or lower one side is.

A record is a dict: side ("ours" or "peer"), recipe, minutes, seed, and points, a list of dicts with mark, minutes,
steps, tokens and the loss of each cut. Times are minutes, losses nats a masked token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bertsmith.benchmarks.figures import markdown_rows
from side_by_side.records import Record
from side_by_side.table import Spread

OURS, PEER = "ours", "peer"
SIDE, RECIPE, MINUTES, SEED = NAMES = ("side", "recipe", "minutes", "seed")


@dataclass(frozen=True)
class Curve:
    """The runs of one recipe and budget, over their seeds.

    Attributes:
        losses: at each mark that all seeds have.
        seen: tokens at the end, the mean.
    """

    side: str
    recipe: str
    minutes: float
    seeds: int
    losses: dict[float, Spread]
    seen: float

    @property
    def final(self) -> Spread:
        """At the end of the budget."""
        return self.losses[self.minutes]


def curves(records: Sequence[Record], cut: str) -> list[Curve]:
    """One for each recipe and budget, in the order of the records.

    Args:
        records: of all runs.
        cut: the rows that are judged, "chunked" or "framed".
    """
    groups: dict[tuple[str, str, float], list[Record]] = {}
    for record in records:
        groups.setdefault((record[SIDE], record[RECIPE], record[MINUTES]), []).append(record)
    found = []
    for (side, recipe, minutes), same in groups.items():
        points = [{point["mark"]: point for point in record["points"]} for record in same]
        marks = sorted(set.intersection(*(set(each) for each in points)))
        losses = {mark: Spread.of([each[mark][cut] for each in points]) for mark in marks}
        found.append(Curve(side, recipe, minutes, len(same), losses, fmean(each[minutes]["tokens"] for each in points)))
    return found


def best_peer(found: Sequence[Curve]) -> Curve | None:
    """The peer's recipe with the lowest final loss, of those with the longest budget; None where there is none."""
    peers = [curve for curve in found if curve.side == PEER]
    longest = max((curve.minutes for curve in peers), default=0.0)
    return min((curve for curve in peers if curve.minutes == longest), key=lambda c: c.final.mean, default=None)


def soonest(found: Sequence[Curve], loss: float) -> float | None:
    """The earliest mark at which one of several curves is at a loss or below; None where none ever is."""
    return min((mark for curve in found for mark, each in curve.losses.items() if each.mean <= loss), default=None)


def summary(records: Sequence[Record], cut: str) -> str:
    """Markdown: a row a recipe and budget; then each recipe of ours against the best of the peer's."""
    found = curves(records, cut)
    marks = sorted({mark for curve in found for mark in curve.losses})
    header = ["side", "recipe", "budget", "seeds", "M tokens", *(f"{mark:g} min" for mark in marks)]
    rows = []
    for curve in found:
        cells = [_shown(curve.losses[mark]) if mark in curve.losses else "" for mark in marks]
        budget = f"{curve.minutes:g} min"
        rows.append([curve.side, curve.recipe, budget, str(curve.seeds), f"{curve.seen / 1e6:.1f}", *cells])
    return "\n".join([markdown_rows(header, rows), "", *_verdicts(found)])


def _verdicts(found: Sequence[Curve]) -> list[str]:
    """What the issue of speed asks: when ours is where the peer ends, and how far below it at equal time."""
    peer = best_peer(found)
    if peer is None:
        return []
    lines = [f"The peer at its best ({peer.recipe}): {_shown(peer.final)} nats after {peer.minutes:g} minutes."]
    for recipe in dict.fromkeys(curve.recipe for curve in found if curve.side == OURS):
        same = [curve for curve in found if curve.side == OURS and curve.recipe == recipe]
        when = soonest(same, peer.final.mean)
        reached = f"there after {when:g} minutes, {when / peer.minutes:.3f} of its time" if when else "never there"
        equal = next((curve for curve in same if curve.minutes == peer.minutes), None)
        below = f"; at equal time lower by {peer.final.mean - equal.final.mean:.2f} nats" if equal else ""
        lines.append(f"Ours ({recipe}): {reached}{below}.")
    return lines


def _shown(loss: Spread) -> str:
    return f"{loss.mean:.3f} ± {loss.sd:.3f}" if loss.sd else f"{loss.mean:.3f}"
