"""An explanation in a notebook: a small picture by itself, and the whole page below the cell."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.safe_text import escape
from bertsmith.tasks.drawing import bars, drawn

if TYPE_CHECKING:
    from bertsmith.explain.explanation import Explanation

_HEIGHT = 820  # of the page below a cell, in pixels
_SHOWN = 5
_BOX = "font: 14px/1.6 system-ui, sans-serif; max-width: 48rem"
_TOKEN = "padding: .1em .25em; border-radius: .25em"


def show(explanation: Explanation) -> None:
    """See `Explanation.show`."""
    if display := _notebook():
        display({"text/html": framed(explanation.page())}, raw=True)
        return
    with tempfile.NamedTemporaryFile("w", prefix="bertsmith-", suffix=".html", delete=False, encoding="utf-8") as file:
        file.write(explanation.page())
    webbrowser.open(Path(file.name).as_uri())


def framed(page: str) -> str:
    """A page as a frame that cannot reach the notebook around it."""
    style = f"width: 100%; height: {_HEIGHT}px; border: 0"
    return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{escape(page)}"></iframe>'


def _notebook() -> Any:
    """What shows things below a cell; None outside of notebooks. IPython is not imported for it."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    if running is None or not hasattr(running, "kernel"):
        return None
    from IPython.display import display  # type: ignore[import-not-found]

    return display


def summary_html(explanation: Explanation) -> str:
    """The text with its evidence, and what was predicted; plain HTML."""
    parts = [_tokens(explanation)]
    recording = explanation.recording
    for place in recording.masked:
        parts.append(f"<b>guesses at W{place + 1}</b>{bars(explanation.guesses(place)[:_SHOWN])}")
    if recording.task is not None:
        parts.append(_answer(recording.task.answer))
    return f'<div style="{_BOX}">{"".join(parts)}</div>'


def _tokens(explanation: Explanation) -> str:
    """The tokens, shaded by the shares of the first evidence: for it warm, against it cold."""
    tokens = explanation.recording.tokens
    shares = explanation.evidence[0].integrated.tolist() if explanation.evidence else [0.0] * len(tokens)
    most = max(map(abs, shares)) or 1.0
    spans = []
    for token, share in zip(tokens, shares, strict=True):
        colour = f"rgb({'217 115 13' if share >= 0 else '47 111 208'} / {0.5 * abs(share) / most:.2f})"
        space = "" if token.text.startswith("##") else " "
        spans.append(
            f'{space}<span style="{_TOKEN}; background: {colour}" title="{share:.4f}">{escape(token.text)}</span>'
        )
    of = f'<div style="opacity: .7">{escape(explanation.evidence[0].target)}</div>' if explanation.evidence else ""
    return f"<div>{''.join(spans)}</div>{of}"


def _answer(answer: Any) -> str:
    """What a fine-tuned model says, as it draws itself; the score of a regression is a bare number."""
    if isinstance(answer, float):
        return drawn(f"score {answer:.3f}")
    shown: str = answer._repr_html_()
    return shown
