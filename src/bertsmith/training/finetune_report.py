"""`report.html` of a fine-tuning: figures, curves, classes, confusions, mistakes on one page that opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertsmith import __version__
from bertsmith.safe_text import escape
from bertsmith.tasks.findings import Mistake, Table
from bertsmith.training.confusion import confusion_parts
from bertsmith.training.curves import as_svg, curve, draw_rate_and_speed, four_panels
from bertsmith.training.finetune_figures import (
    TASKS,
    cautions,
    difference,
    effort,
    figure_of,
    kept_evaluation,
    names_of,
    shown,
    shown_spread,
)
from bertsmith.training.journal import Record
from bertsmith.training.page import expandable, html_table, write_page
from bertsmith.training.summary import Summary

_COLOURS = ("tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:pink", "tab:cyan")


def write_finetune_report(path: Path, summary: Summary, records: Sequence[Record], *, title: str) -> str:
    """Write the page.

    Args:
        path: of the page.
        summary: of the finished fine-tuning.
        records: the journal of the kept run.
        title: what the model is called.

    Returns:
        The curves, as an <svg> element, for the card; "" for none.
    """
    curves = draw_finetune_curves(summary, records)
    confusion = summary.findings.confusion
    parts = [
        *_opening(summary, title),
        _headline(summary),
        _figures(summary),
        *(f'<p class="note">{escape(sentence)}</p>' for sentence in cautions(summary, records)),
        *_section("Curves", curves),
        *(part for table in summary.findings.tables for part in _section(table.title, _table(table))),
        *(_section("Confusions", *confusion_parts(*confusion)) if confusion else ()),
        *_section("The most wrong examples", _mistakes(summary.findings.mistakes)),
        *(_section("Seeds", _seeds(summary)) if len(summary.seeds) > 1 else ()),
        *(_section("Search", _trials(summary)) if summary.trials else ()),
        *_section("Recipe", _recipe(summary)),
        f'<p class="foot">bertsmith {__version__}. {escape(where_figures_are(summary))}</p>',
    ]
    write_page(path, title=f"{title}: fine-tuning", body="\n".join(filter(None, parts)))
    return curves


def where_figures_are(summary: Summary) -> str:
    """Which files hold the figures of steps and evaluations."""
    several = "seeds" if len(summary.seeds) > 1 else "search" if summary.trials else None
    steps = f"the metrics.jsonl of each run in training/{several}/" if several else "training/metrics.jsonl"
    return f"All figures stand in training/result.json, those of steps and evaluations in {steps}."


def _section(heading: str, *parts: str) -> list[str]:
    """Nothing where there is nothing to show."""
    return [f"<h2>{escape(heading[:1].upper() + heading[1:])}</h2>", *parts] if any(parts) else []


def _opening(summary: Summary, title: str) -> list[str]:
    counts = summary.counts
    source = f"<code>{escape(summary.source)}</code>"
    said = (
        f"{TASKS[summary.task]}, begun from {source}, learned on {counts['train']:,} examples "
        f"({counts['train_tokens']:,} tokens), measured on {counts['dev']:,} development examples. "
        f"Training took {effort(summary)}."
    )
    if counts["windowed"]:
        said += f" {counts['windowed']:,} training examples are longer than a window and were read in several."
    return [f"<h1>{escape(title)}</h1>", f'<p class="lead">{said[0].upper()}{said[1:]}</p>']


def _headline(summary: Summary) -> str:
    """The figure that counts, large: over several seeds their mean, else that of the kept model."""
    if summary.headline not in summary.metrics:
        return ""
    figure = figure_of(summary, summary.headline)
    value, said = shown(figure, summary.metrics[summary.headline]), escape(figure.label)
    if (count := len(summary.seeds)) > 1:
        mean, deviation = summary.spread(summary.headline)
        said = f"± {difference(figure, deviation)} {said}, mean of {count} seeds; the kept model's: {value}"
        value = shown(figure, mean)
    return f'<p class="headline"><b>{value}</b> {said}</p>'


def _figures(summary: Summary) -> str:
    several = len(summary.seeds) > 1
    rows = []
    for name in names_of(summary):
        figure = figure_of(summary, name)
        spread = [shown_spread(summary, name)] if several else []
        rows.append([figure.label, shown(figure, summary.metrics[name]), *spread])
    if baseline := _baseline(summary):
        rows.append([*baseline, *([""] if several else [])])
    count = len(summary.seeds)
    header = ("development examples", f"seed {summary.recipe.get('seed')}, kept", f"mean ± sd of {count} seeds")
    return html_table(header if several else (), rows)


def _baseline(summary: Summary) -> list[str] | None:
    """What a classifier reaches that has learned nothing."""
    if summary.task != "classify" or summary.findings.confusion is None or "accuracy" not in summary.metrics:
        return None
    labels, counts = summary.findings.confusion
    commonest = int(counts.sum(axis=1).argmax())
    share = counts[commonest].sum() / max(1, counts.sum())
    return [f"accuracy of always saying “{labels[commonest]}”", shown(figure_of(summary, "accuracy"), float(share))]


def draw_finetune_curves(summary: Summary, records: Sequence[Record]) -> str:
    """Training loss, development figures, learning rate and speed over the steps, as an <svg> element; "" for none."""
    train = [record for record in records if record["kind"] == "train"]
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    if not (train or evaluations):
        return ""
    figure, (loss, figures, rate, speed) = four_panels()
    wide = max(1, len(train) // 20)
    curve(loss, train, "loss", "a step", alpha=0.3 if wide > 1 else 1.0)
    if wide > 1:
        curve(loss, _smooth(train, wide), "loss", f"mean of {wide} steps", color="tab:blue")
    loss.set_title("training loss")
    unit = figure_of(summary, summary.headline).unit
    alike = [name for name in names_of(summary) if figure_of(summary, name).unit == unit and name != "mse"]
    for name, colour in zip(alike, _COLOURS, strict=False):
        width = 2.0 if name == summary.headline else 1.0
        label = figure_of(summary, name).label
        curve(figures, evaluations, name, label, color=colour, linewidth=width, marker="o", markersize=3)
    kept = kept_evaluation(summary, records)
    if kept and len(evaluations) > 1:
        figures.axvline(kept["step"], color="grey", linestyle=":", label="kept")
    figures.set_title("development examples" + (", in percent" if unit == "percent" else ""))
    draw_rate_and_speed(rate, speed, train)
    return as_svg(figure)


def _smooth(records: Sequence[Record], wide: int) -> list[Record]:
    """The mean loss of so many records, up to each that has as many before it."""
    import numpy as np

    sums = np.cumsum([0.0, *(record["loss"] for record in records)])
    means = (sums[wide:] - sums[:-wide]) / wide
    return [{"step": record["step"], "loss": mean} for record, mean in zip(records[wide - 1 :], means, strict=True)]


def _table(table: Table) -> str:
    columns = [_column(cells) for cells in zip(*table.rows, strict=True)]
    return html_table(table.header, zip(*columns, strict=True)) if columns else ""


def _column(cells: Sequence[str | int | float]) -> list[str]:
    """Floats with three digits: those of a column all with as many places."""
    floats = [abs(cell) for cell in cells if isinstance(cell, float)]
    shape = "{:.1f}" if max(floats, default=0.0) >= 10 else "{:.3f}"
    shapes = {float: shape, int: "{:,}"}
    return [shapes.get(type(cell), "{}").format(cell) for cell in cells]


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    if not mistakes:
        return "<p>None: no development example is wholly wrong.</p>"
    rows = "".join(
        f'<tr><td class="place">{escape(mistake.place)}</td><td>{expandable(mistake.text)}</td>'
        f"<td>{expandable(mistake.truth)}</td><td>{expandable(mistake.guess)}</td></tr>"
        for mistake in mistakes
    )
    head = "<thead><tr><th>place</th><th>text</th><th>right</th><th>said</th></tr></thead>"
    columns = "<colgroup><col><col><col><col></colgroup>"
    return (
        "<p>The worst first. Among them are often labels that are wrong in the data itself.</p>"
        f'<table class="mistakes">{columns}{head}<tbody>{rows}</tbody></table>'
    )


def _seeds(summary: Summary) -> str:
    names = names_of(summary)
    figures = {name: figure_of(summary, name) for name in names}
    rows = [
        [str(seed), *(shown(figures[name], metrics[name]) if name in metrics else "–" for name in names)]
        for seed, metrics in summary.seeds.items()
    ]
    rows.append(["mean ± sd", *(shown_spread(summary, name) for name in names)])
    seeds = list(summary.seeds)
    kept = summary.recipe.get("seed")
    header = ["seed", *(figures[name].label for name in names)]
    return html_table(header, rows, best=seeds.index(kept) if kept in seeds else None)


def _trials(summary: Summary) -> str:
    names = list(summary.trials[0])
    scores = [trial.get(summary.headline, float("-inf")) for trial in summary.trials]
    figure = figure_of(summary, summary.headline)
    rows = [
        [str(number), *(_shown_option(trial[name]) for name in names if name != summary.headline), shown(figure, score)]
        for number, (trial, score) in enumerate(zip(summary.trials, scores, strict=True), 1)
    ]
    header = ["trial", *(name.replace("_", " ") for name in names if name != summary.headline), figure.label]
    return html_table(header, rows, best=scores.index(max(scores)))


def _recipe(summary: Summary) -> str:
    given = {name: value for name, value in summary.recipe.items() if value is not None}
    return html_table((), [[name.replace("_", " "), _shown_option(value)] for name, value in given.items()])


def _shown_option(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
