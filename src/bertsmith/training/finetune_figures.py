"""The figures of a fine-tuning in people's words, and how far they can be trusted; for report and model card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bertsmith.config import TaskName
from bertsmith.training.journal import Record
from bertsmith.training.summary import Summary

# A share is in [0, 1] and shown in percent; a percentage is so already; all else is a plain number.
Unit = Literal["share", "percent", "plain", "count"]

NOTABLE = 0.01  # of a share or a correlation: a difference that people tell each other
FEW_TEXTS = 500  # too few for figures that have no formula for their error
FEW_TO_LEARN = 5000  # training examples below which one seed alone says little


@dataclass(frozen=True)
class Figure:
    """How a figure is called.

    Attributes:
        label: for people.
        unit: how it is shown.
        hub_type: its name among the Hugging Face hub's metrics; None for what is no measure of the model.
        average: of an F1 over classes, as the hub's metric is told.
    """

    label: str
    unit: Unit = "plain"
    hub_type: str | None = None
    average: str | None = None


TASKS: Mapping[TaskName, str] = {
    "classify": "text classification",
    "regress": "text regression",
    "tag": "tagging of words",
    "answer": "extractive question answering",
    "choose": "multiple choice",
}

_FIGURES: Mapping[str, Figure] = {
    "accuracy": Figure("accuracy", "share", "accuracy"),
    "f1": Figure("F1 of label 1", "share", "f1"),
    "f1_macro": Figure("macro F1", "share", "f1", "macro"),
    "f1_weighted": Figure("weighted F1", "share", "f1", "weighted"),
    "f1_micro": Figure("micro F1", "share", "f1", "micro"),
    "mcc": Figure("Matthews correlation (MCC)", "plain", "matthews_correlation"),
    "pearson": Figure("Pearson correlation", "plain", "pearsonr"),
    "spearman": Figure("Spearman correlation", "plain", "spearmanr"),
    "mse": Figure("mean squared error", "plain", "mse"),
}
_OWN: Mapping[TaskName, Mapping[str, Figure]] = {
    "tag": {
        "f1": Figure("entity F1", "share", "f1"),
        "precision": Figure("entity precision", "share", "precision"),
        "recall": Figure("entity recall", "share", "recall"),
        "accuracy": Figure("word accuracy", "share", "accuracy"),
    },
    "answer": {
        "exact_match": Figure("exact match (EM)", "percent", "exact_match"),
        "f1": Figure("F1", "percent", "f1"),
        "has_answer_exact_match": Figure("EM, questions with an answer", "percent"),
        "has_answer_f1": Figure("F1, questions with an answer", "percent"),
        "has_answer_total": Figure("questions with an answer", "count"),
        "no_answer_exact_match": Figure("EM, questions without an answer", "percent"),
        "no_answer_f1": Figure("F1, questions without an answer", "percent"),
        "no_answer_total": Figure("questions without an answer", "count"),
        "best_exact_match": Figure("best EM of any threshold", "percent"),
        "best_exact_match_threshold": Figure("threshold of the best EM"),
        "best_f1": Figure("best F1 of any threshold", "percent"),
        "best_f1_threshold": Figure("threshold of the best F1"),
    },
}
_ALL_RIGHT = Figure("texts with all labels right", "share", "accuracy")


def has_several_labels(summary: Summary) -> bool:
    """Whether any number of labels may hold at once, of a classifier: only then there is a micro F1."""
    return summary.task == "classify" and "f1_micro" in summary.metrics


def figure_of(summary: Summary, name: str) -> Figure:
    """How a figure of a summary is called; one that nobody described bears its own name."""
    if name == "accuracy" and has_several_labels(summary):
        return _ALL_RIGHT
    return _OWN.get(summary.task, {}).get(name) or _FIGURES.get(name) or Figure(name.replace("_", " "))


def names_of(summary: Summary) -> list[str]:
    """The figures there are, the headline first."""
    return sorted(summary.metrics, key=lambda name: name != summary.headline)


def shown(figure: Figure, value: float) -> str:
    """A figure as it reads."""
    if not math.isfinite(value):
        return "–"
    shapes = {"share": f"{value:.1%}", "percent": f"{value:.1f}%", "count": f"{value:,.0f}"}
    return shapes.get(figure.unit, f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}")


def difference(figure: Figure, value: float) -> str:
    """A difference of two figures as it reads."""
    in_percent = {"share": 100 * value, "percent": value}.get(figure.unit)
    return f"{value:.3f}" if in_percent is None else f"{in_percent:.1f} points"


def shown_spread(summary: Summary, name: str) -> str:
    """A figure's mean over the seeds, ± its standard deviation."""
    figure = figure_of(summary, name)
    mean, deviation = summary.spread(name)
    return f"{shown(figure, mean)} ± {difference(figure, deviation).removesuffix(' points')}"


def cautions(summary: Summary, records: Sequence[Record]) -> list[str]:
    """What a reader should know before believing the figures: noise of few examples and of seeds, and the choice."""
    found = (_noise_of_examples(summary), _noise_of_seeds(summary), chosen_by(summary, records))
    return [sentence for sentence in found if sentence]


def _noise_of_examples(summary: Summary) -> str | None:
    """By how much the development set's size alone lets a figure miss, where that is much."""
    count = summary.counts["dev"]
    name = "accuracy" if "accuracy" in summary.metrics and summary.task in ("classify", "choose") else summary.headline
    if name not in summary.metrics:
        return None
    figure = figure_of(summary, name)
    error = _two_errors(summary, name)
    if error is None:
        few = f"The development set is small ({count:,} texts): small differences of these figures are chance."
        return few if count < FEW_TEXTS else None
    if error < NOTABLE:
        return None
    size = difference(figure, error * (100 if figure.unit == "percent" else 1))
    return (
        f"The development set has {count:,} examples, so chance alone moves {_spoken(figure)} by up to about ±{size} "
        "(two standard errors): differences below that are noise."
    )


def _two_errors(summary: Summary, name: str) -> float | None:
    """Twice the standard error of a figure for the number of examples; None where there is no formula for it.

    For a share p of n it is sqrt(p (1 - p) / n), after two right and two wrong were added, since few examples that are
    all right say little (Agresti & Coull 1998). Each F1 of an answer is in [0, 1], so that theirs is no larger.
    Fisher's for a correlation.
    """
    count, value = summary.counts["dev"], summary.metrics[name]
    unit = figure_of(summary, name).unit
    if summary.task == "regress" and name in ("pearson", "spearman"):
        return 2 * (1 - value**2) / math.sqrt(max(1, count - 1))
    if summary.task == "tag" or unit not in ("share", "percent") or name.startswith("f1_"):
        return None
    right = value / 100 if unit == "percent" else value
    right = (right * count + 2) / (count + 4)
    return 2 * math.sqrt(right * (1 - right) / (count + 4))


def _noise_of_seeds(summary: Summary) -> str | None:
    name, count = summary.headline, len(summary.seeds)
    figure = figure_of(summary, name)
    if count < 2:
        learned = summary.counts["train"]
        said = (
            f"This is one seed. With {learned:,} training examples another may move the figures: --seeds 5 measures it."
        )
        return said if learned < FEW_TO_LEARN else None
    if name not in summary.metrics:
        return None
    _, deviation = summary.spread(name)
    if deviation < NOTABLE * (100 if figure.unit == "percent" else 1):
        return None
    from scipy.stats import t

    by_chance = float(t.ppf(0.975, 2 * count - 2)) * deviation * math.sqrt(2 / count)
    return (
        f"Over the {count} seeds {_spoken(figure)} has a large standard deviation: {difference(figure, deviation)}. "
        f"Compare means of several seeds, never single runs; means of {count} seeds differ by up to about "
        f"{difference(figure, by_chance)} by chance."
    )


def chosen_by(summary: Summary, records: Sequence[Record]) -> str | None:
    """That the figures are of what was chosen by them, if anything was."""
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    ways = []
    if summary.recipe.get("keep") == "best" and len(evaluations) > 1:
        ways.append(f"the best of {len(evaluations)} evaluations")
    if len(summary.seeds) > 1:
        ways.append(f"the best of {len(summary.seeds)} seeds")
    if len(summary.trials) > 1:
        ways.append(f"the best of {len(summary.trials)} trials")
    if "best_f1_threshold" in summary.metrics:
        ways.append("the threshold below which no answer is given")
    if not ways:
        return None
    headline = _spoken(figure_of(summary, summary.headline))
    return (
        f"What was kept was chosen by {headline} on these same development examples "
        f"({', '.join(ways)}), so the figures are slightly optimistic. For a figure to rely on, measure once more on "
        "examples that nothing was chosen by."
    )


def _spoken(figure: Figure) -> str:
    return f"the {figure.label}"


def kept_evaluation(summary: Summary, records: Sequence[Record]) -> Record | None:
    """The evaluation whose weights were kept."""
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    if not evaluations or summary.recipe.get("keep") != "best":
        return evaluations[-1] if evaluations else None
    return max(evaluations, key=lambda record: record.get(summary.headline, -math.inf))


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def effort(summary: Summary) -> str:
    """What training took, over all runs."""
    said = f"{summary.steps:,} steps, {summary.tokens:,} tokens, {duration(summary.seconds)}"
    return f"{said} over all runs" if len(summary.seeds) > 1 or summary.trials else said
