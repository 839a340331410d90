"""`report.html`: the curves of a run on one page that opens from disk, without a request to anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bertsmith.safe_text import escape
from bertsmith.training.curves import as_svg, curve, draw_rate_and_speed, four_panels
from bertsmith.training.journal import Record
from bertsmith.training.page import html_table, write_page

_BODY = """<h1>{title}</h1>
{figures}
{curves}
<p>Loss is in nats a masked token. The dotted line is the loss of always guessing by word frequency: a model below it
has learned something of the text. The figures stand in <code>metrics.jsonl</code>.</p>"""

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


def write_report(path: Path, records: Sequence[Record], *, title: str) -> str:
    """Write the page; nothing is written while there is nothing to show.

    Returns:
        The curves, as an <svg> element, for the card; "" for none.
    """
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    last = evaluations[-1] if evaluations else records[-1] if records else None
    if last is None:
        return ""
    curves = draw_curves(records)
    body = _BODY.format(title=escape(title), figures=html_table((), shown_figures(last)), curves=curves)
    write_page(path, title=f"{title}: training", body=body)
    return curves


def shown_figures(record: Record) -> list[tuple[str, str]]:
    """(what it is, how it reads) for each figure of a record."""
    return [(label, shape.format(record[name])) for name, (label, shape) in FIGURES.items() if name in record]


def draw_curves(records: Sequence[Record]) -> str:
    """Loss, accuracies, learning rate and speed over the steps, as an <svg> element."""
    train = [record for record in records if record["kind"] == "train"]
    held_out = [record for record in records if record["kind"] == "evaluation"]
    figure, (loss, accuracy, rate, speed) = four_panels()
    curve(loss, train, "mlm_loss", "training", alpha=0.4)
    curve(loss, held_out, "mlm_loss", "evaluation", marker="o", markersize=3)
    if held_out and "frequency_loss" in held_out[-1]:
        loss.axhline(held_out[-1]["frequency_loss"], color="grey", linestyle=":", label="word frequency")
    loss.set_title("masked LM loss, nats a token")
    curve(accuracy, held_out, "mlm_accuracy", "masked words", marker="o", markersize=3)
    curve(accuracy, held_out, "nsp_accuracy", "next sentence", marker="o", markersize=3)
    accuracy.set_title("share guessed right in evaluation")
    draw_rate_and_speed(rate, speed, train)
    return as_svg(figure)
