"""The curves of a run, as an <svg> element: four panels over the steps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from bertsmith.training.journal import Record

# Fixed: to find them, matplotlib would draw everything twice.
_MARGINS = {"left": 0.08, "right": 0.98, "bottom": 0.07, "top": 0.95, "wspace": 0.2, "hspace": 0.28}


def four_panels() -> tuple[Any, list[Any]]:
    """A matplotlib figure and its four axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.5))
    figure.subplots_adjust(**_MARGINS)
    return figure, list(figure.subplots(2, 2).ravel())


def curve(axes: Any, records: Sequence[Record], name: str, label: str, **style: Any) -> None:
    """Draw a figure over the steps, from those records that have it."""
    points = [(record["step"], record[name]) for record in records if name in record]
    if points:
        axes.plot(*zip(*points, strict=True), label=label or "_", **style)


def draw_rate_and_speed(rate: Any, speed: Any, records: Sequence[Record]) -> None:
    """The two panels that every run has."""
    curve(rate, records, "learning_rate", "")
    rate.set_title("learning rate")
    curve(speed, records, "tokens_per_s", "")
    speed.set_title("tokens a second")


def as_svg(figure: Any) -> str:
    """The drawing as text; letters stay letters, and the same drawing gives the same text."""
    import matplotlib

    for axes in figure.axes:
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bertsmith"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]
