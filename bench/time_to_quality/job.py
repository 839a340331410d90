"""One pretraining of one side: what it is told, and the points on its way that can be judged."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

POINTS = "points.json"  # of a finished run of the peer, in its folder


@dataclass(frozen=True)
class Job:
    """What a side does.

    Attributes:
        corpus: the folder of the prepared corpus, whose training documents both sides read.
        out: the folder of the run.
        size: "mini" and so on.
        minutes: on the side's own clock; the learning rate falls to 0 at their end.
        marks: minutes at which the weights are wanted, rising, the last of them `minutes`.
        seed: of the weights, the order and the masks.
        words: ours: more words of `bertsmith pretrain`.
        blocks: the peer: the file of its training blocks, (n, T) ids.
        learning_rate, precision, dropout, batch_size: the peer's; "bfloat16" is autocast, "bfloat16+compile" compiled.
    """

    corpus: str
    out: str
    size: str
    minutes: float
    marks: Sequence[float]
    seed: int
    words: Sequence[str] = ()
    blocks: str = ""
    learning_rate: float = 5e-4
    precision: str = "bfloat16"
    dropout: float = 0.1
    batch_size: int = 32

    def write(self, path: Path) -> None:
        """For the process of the side."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True)
class Point:
    """Weights on the way.

    Attributes:
        minutes: of training, on the side's clock.
        steps, tokens: done.
        weights: the file, under Hugging Face's names.
        mark: the mark that it was saved for; None of ours, whose checkpoints know no marks.
    """

    minutes: float
    steps: int
    tokens: int
    weights: str
    mark: float | None = None


def told() -> Job:
    """The job that this process was given."""
    return Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


def points_of(out: Path) -> list[Point]:
    """What a run has left to be judged: a peer's points, or the checkpoints of ours; in rising order."""
    if (out / POINTS).exists():
        return [Point(**each) for each in json.loads((out / POINTS).read_text(encoding="utf-8"))]
    points = []
    for path in sorted((out / "training" / "checkpoints").glob("step-*")):
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))["state"]
        weights = str(path / "model.safetensors")
        points.append(Point(state["seconds"] / 60, state["step"], state["tokens"], weights))
    return points


def at_marks(points: Sequence[Point], marks: Sequence[float]) -> dict[float, Point]:
    """For each mark its point; where points know no marks the last one before it, so that nobody is judged too late.

    The last mark has the last point of all, which is a step past it. A mark that comes before every point has none.
    """
    chosen = {point.mark: point for point in points if point.mark is not None}
    if not chosen:
        for point in points:
            chosen |= {mark: point for mark in marks if point.minutes <= mark}
        chosen[marks[-1]] = points[-1]
    return {mark: chosen[mark] for mark in marks if mark in chosen}
