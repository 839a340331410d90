"""What a notebook shows of an answer: what is said, how likely it and others are; plain HTML, every text as text."""

from __future__ import annotations

from collections.abc import Iterable

from bertsmith.safe_text import escape

_BOX = "font: 14px/1.6 system-ui, sans-serif"
SHOWN = 5  # of many labels
_WIDEST = 120  # of a bar, in pixels


def drawn(said: str, shares: Iterable[tuple[str, float]] = ()) -> str:
    """An answer.

    Args:
        said: what is said.
        shares: this and others, each with its probability.
    """
    return f'<div style="{_BOX}"><b dir="auto">{escape(said)}</b>{bars(shares)}</div>'


def bars(shares: Iterable[tuple[str, float]]) -> str:
    """A table of texts with their probabilities as bars."""
    rows = "".join(
        f'<tr><td dir="auto" style="text-align: left">{escape(name)}</td><td style="text-align: right">{share:.1%}</td>'
        f'<td><div style="background: #d9730d; height: .6em; width: {_WIDEST * share:.0f}px"></div></td></tr>'
        for name, share in shares
    )
    return f"<table>{rows}</table>" if rows else ""
