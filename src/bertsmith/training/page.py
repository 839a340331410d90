"""Pages that open from disk without a request to anywhere: their frame and style, and users' text in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bertsmith.files import write_text
from bertsmith.safe_text import escape

SHOWN_CHARS = 400  # of a text, before a click shows all of it
_FULL_CHARS = 20_000  # of a text on the page: twenty books would make it too heavy to open

_NUMBER = re.compile(r"[-–+±\d.,%e ]*")  # or nothing

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
h1 { margin-bottom: .25rem; overflow-wrap: anywhere; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.25rem; }
.lead { color: #555; margin-top: 0; overflow-wrap: anywhere; }
.headline { font-size: 1.25rem; margin: 1.5rem 0 .75rem; }
.headline b { font-size: 3rem; line-height: 1; font-weight: 650; }
.foot { margin-top: 2.5rem; color: #555; font-size: .9rem; }
.note { border-left: 4px solid #d9a300; background: #fff8e1; padding: .5rem .9rem; margin: .5rem 0; max-width: 52rem; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
td, th { padding: .25rem 1.25rem .25rem 0; text-align: left; vertical-align: top; font-variant-numeric: tabular-nums; }
th { font-weight: 600; } thead th { border-bottom: 2px solid #bbb; vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid #e4e4e4; }
.number { text-align: right; white-space: nowrap; } tr.best > * { font-weight: 650; background: #eef6ee; }
svg { max-width: 100%; height: auto; } code { font-size: .9em; overflow-wrap: anywhere; }
.confusion td, .confusion th { padding: .2rem .5rem; border: 1px solid #fff; min-width: 1.6rem; }
.confusion td { text-align: right; background: #f6f6f6; }
.confusion thead td { background: none; }
.confusion .hit { background: rgb(46 125 50 / var(--share)); }
.confusion .miss { background: rgb(198 40 40 / var(--share)); }
.confusion th { border: 0; max-width: 14rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.confusion tbody th, .confusion thead th { text-align: right; }
.confusion.tall thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; max-height: 14rem; }
.mistakes { table-layout: fixed; width: 100%; } .mistakes td { overflow-wrap: anywhere; padding-right: 1rem; }
.mistakes .place { color: #666; font-size: .85rem; } .full { white-space: pre-wrap; }
.mistakes col:nth-child(1) { width: 15%; } .mistakes col:nth-child(n+3) { width: 16%; }
summary { cursor: pointer; } details[open] > summary > .cut { display: none; }
summary::marker { color: #888; }
"""


def write_page(path: Path, *, title: str, body: str) -> None:
    """Write a page.

    Args:
        path: of the page.
        title: plain text.
        body: HTML.
    """
    write_text(path, _FRAME.format(title=escape(title), style=_STYLE.lstrip(), body=body))


def shortened(text: str, limit: int = SHOWN_CHARS) -> str:
    """The beginning of a text, up to the end of a word, on one line."""
    line = " ".join(text[: 4 * limit].split())
    if len(line) <= limit:
        return line
    words = line[:limit].rsplit(" ", 1)[0]
    return (words if len(words) > limit // 2 else line[:limit]) + " …"


def expandable(text: str) -> str:
    """A user's text: whole if it is short, else its beginning, of which a click makes the whole."""
    short = shortened(text)
    if short == " ".join(text.split()):
        return f'<span dir="auto">{escape(short)}</span>'
    more = len(text) - _FULL_CHARS
    full = text if more <= 0 else f"{text[:_FULL_CHARS]} … ({more:,} characters more)"
    return (
        f'<details><summary><span class="cut" dir="auto">{escape(short)}</span></summary>'
        f'<div class="full" dir="auto">{escape(full)}</div></details>'
    )


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, best: int | None = None) -> str:
    """A table of plain text; the first column says what a row is, and columns of numbers stand right.

    Args:
        header: of the columns; none for a table without one.
        rows: as many cells each.
        best: the row that stands out.
    """
    rows = [list(row) for row in rows]
    if not rows:
        return ""
    classes = [' class="number"' if all(map(_NUMBER.fullmatch, column)) else "" for column in zip(*rows, strict=True)]
    lines = []
    for index, (first, *others) in enumerate(rows):
        mark = ' class="best"' if index == best else ""
        lines.append(f"<tr{mark}><th>{escape(first)}</th>{_cells('td', others, classes[1:])}</tr>")
    head = f"<thead><tr>{_cells('th', header, ['', *classes[1:]])}</tr></thead>" if header else ""
    return f'<div class="wide"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'


def _cells(tag: str, texts: Sequence[str], classes: Sequence[str]) -> str:
    return "".join(f"<{tag}{kind}>{escape(text)}</{tag}>" for text, kind in zip(texts, classes, strict=True))
