"""`report.html`: the curves of a run on one page that opens from disk, without a request to anywhere."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertsmith.files import write_text
from bertsmith.training.journal import Record

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: training</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .2rem 1rem .2rem 0; text-align: left; }}
td {{ font-variant-numeric: tabular-nums; }} svg {{ max-width: 100%; height: auto; }}
</style>
<h1>{title}</h1>
<table>{rows}</table>
{figure}
<p>Loss is in nats a masked token. The dotted line is the loss of always guessing by word frequency: a model below it
has learned something of the text. The figures stand in <code>metrics.jsonl</code>.</p>
</html>
"""

# What is shown of the last evaluation, and how.
FIGURES = {
    "mlm_loss": ("masked LM loss, nats a token", "{:.3f}"),
    "mlm_perplexity": ("masked LM perplexity", "{:,.1f}"),
    "mlm_accuracy": ("masked words guessed right", "{:.1%}"),
    "frequency_loss": ("loss of guessing by word frequency, nats", "{:.3f}"),
    "nsp_loss": ("next-sentence loss, nats", "{:.3f}"),
    "nsp_accuracy": ("next-sentence accuracy", "{:.1%}"),
    "nsp_baseline": ("accuracy of always the same next-sentence answer", "{:.1%}"),
    "step": ("steps", "{:,}"),
    "tokens": ("tokens seen", "{:,}"),
    "epochs": ("passes over the corpus", "{:.2f}"),
    "seconds": ("seconds", "{:,.0f}"),
    "tokens_per_s": ("tokens a second", "{:,.0f}"),
}


def write_report(path: Path, records: Sequence[Record], *, title: str) -> None:
    """Write the page; nothing is written while there is nothing to show."""
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    last = evaluations[-1] if evaluations else records[-1] if records else None
    if last is None:
        return
    rows = "".join(f"<tr><th>{label}</th><td>{value}</td></tr>" for label, value in shown_figures(last))
    page = _PAGE.format(title=html.escape(title), rows=rows, figure=draw_curves(records))
    write_text(path, page)


def shown_figures(record: Record) -> list[tuple[str, str]]:
    """(what it is, how it reads) for each figure of a record."""
    return [(label, shape.format(record[name])) for name, (label, shape) in FIGURES.items() if name in record]


def draw_curves(records: Sequence[Record]) -> str:
    """Loss, accuracies, learning rate and speed over the steps, as an <svg> element."""
    from matplotlib.figure import Figure

    train = [record for record in records if record["kind"] == "train"]
    held_out = [record for record in records if record["kind"] == "evaluation"]
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    loss, accuracy, rate, speed = figure.subplots(2, 2).ravel()
    _curve(loss, train, "mlm_loss", "training", alpha=0.4)
    _curve(loss, held_out, "mlm_loss", "evaluation", marker="o", markersize=3)
    if held_out and "frequency_loss" in held_out[-1]:
        loss.axhline(held_out[-1]["frequency_loss"], color="grey", linestyle=":", label="word frequency")
    loss.set_title("masked LM loss, nats a token")
    _curve(accuracy, held_out, "mlm_accuracy", "masked words", marker="o", markersize=3)
    _curve(accuracy, held_out, "nsp_accuracy", "next sentence", marker="o", markersize=3)
    accuracy.set_title("share guessed right in evaluation")
    _curve(rate, train, "learning_rate", "")
    rate.set_title("learning rate")
    _curve(speed, train, "tokens_per_s", "")
    speed.set_title("tokens a second")
    for axes in (loss, accuracy, rate, speed):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend()
    return _as_svg(figure)


def _curve(axes: Any, records: Sequence[Record], name: str, label: str, **style: Any) -> None:
    points = [(record["step"], record[name]) for record in records if name in record]
    if points:
        axes.plot(*zip(*points, strict=True), label=label or "_", **style)


def _as_svg(figure: Any) -> str:
    """The drawing as text; letters stay letters, and the same drawing gives the same text."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bertsmith"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]
