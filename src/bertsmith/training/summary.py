"""`result.json`: what a finished fine-tuning came to; report and model card are made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from bertsmith.config import Architecture, TaskName
from bertsmith.errors import CheckpointError
from bertsmith.files import write_text
from bertsmith.tasks.findings import Findings, Mistake, Table


@dataclass(frozen=True, eq=False)
class Summary:
    """A finished run, or several with different seeds of which the best was kept.

    Attributes:
        task: what was learned.
        source: the model it began with.
        headline: the figure that the best is chosen by.
        metrics: of the kept model, on the development examples.
        data: fingerprint of the training and development examples.
        counts: "train" and "dev" examples, "train_tokens", "windowed" training examples that slide.
        recipe: the options of the kept model's run.
        findings: what else there is to look at.
        steps, tokens, seconds: of training, over all runs.
        seeds: figures of each seed, where there were several.
        trials: options tried and their headline figure, where there was a search.
        architecture: of the model.
    """

    task: TaskName
    source: str
    headline: str
    metrics: dict[str, float]
    data: str
    counts: dict[str, int]
    recipe: dict[str, Any]
    findings: Findings
    steps: int
    tokens: int
    seconds: float
    seeds: Mapping[int, dict[str, float]]
    trials: tuple[dict[str, Any], ...] = ()
    architecture: Architecture = "bert"

    def spread(self, name: str) -> tuple[float, float]:
        """Mean and (sample) standard deviation of a figure over the seeds."""
        values = [metrics[name] for metrics in self.seeds.values() if name in metrics]
        return fmean(values), stdev(values) if len(values) > 1 else 0.0


def write_summary(path: Path, summary: Summary) -> None:
    """Write it as JSON."""
    values = asdict(summary)
    if summary.findings.confusion is not None:
        labels, counts = summary.findings.confusion
        values["findings"]["confusion"] = {"labels": labels, "counts": counts.tolist()}
    write_text(path, json.dumps(values, indent=2) + "\n")  # as ASCII: a text may hold half a character


def read_summary(path: Path) -> Summary:
    """Read what `write_summary` wrote.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["findings"] = _findings(values["findings"])
        values["seeds"] = {int(seed): metrics for seed, metrics in values["seeds"].items()}
        values["trials"] = tuple(values["trials"])
        return Summary(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged ({error}). Remove it to run again.") from None


def _findings(values: dict[str, Any]) -> Findings:
    confusion = values["confusion"]
    return Findings(
        tuple(
            Table(table["title"], tuple(table["header"]), tuple(tuple(row) for row in table["rows"]))
            for table in values["tables"]
        ),
        confusion and (tuple(confusion["labels"]), np.array(confusion["counts"], np.int64)),
        tuple(Mistake(**mistake) for mistake in values["mistakes"]),
    )
