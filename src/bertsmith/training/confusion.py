"""What is taken for what: the confusion matrix as a heat table, and the commonest confusions as a list."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertsmith.safe_text import escape
from bertsmith.training.page import html_table

_COMMONEST = 10  # confusions that are listed
_FEW = 6  # labels whose confusions one sees in the table at a glance
_LEVEL = 8  # labels of columns that stand side by side; more of them stand upright
_MOST = 100  # labels beyond which a table is no help
_DEEPEST = 0.6  # of the colour behind a number, which goes with the root of the share: errors are to be seen


def confusion_parts(labels: Sequence[str], counts: NDArray[np.int64]) -> list[str]:
    """HTML: how to read it, the table, and where there are many labels the commonest confusions before it.

    Args:
        labels: of each row and column.
        counts: (labels, labels) a row what is right, a column what was said.
    """
    parts = [] if len(labels) <= _FEW else [_commonest(labels, counts)]
    if len(labels) > _MOST:
        return [*parts, f"<p>The whole table of {len(labels):,} labels is in <code>result.json</code>.</p>"]
    return [*parts, "<p>A row is what is right, a column what was said.</p>", _heat_table(labels, counts)]


def _commonest(labels: Sequence[str], counts: NDArray[np.int64]) -> str:
    """The cells off the diagonal with the most examples."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    places = np.argsort(-wrong, axis=None, kind="stable")[:_COMMONEST]
    cells = [divmod(int(place), len(labels)) for place in places if wrong.flat[place]]
    rows = [
        [labels[right], labels[said], f"{wrong[right, said]:,}", f"{wrong[right, said] / counts[right].sum():.0%}"]
        for right, said in cells
    ]
    return html_table(("right", "said", "examples", "of that label"), rows) if rows else ""


def _heat_table(labels: Sequence[str], counts: NDArray[np.int64]) -> str:
    names = [f'<th title="{escape(label)}" dir="auto">{escape(label)}</th>' for label in labels]
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    lines = []
    for right, name in enumerate(names):
        cells = zip(counts[right].tolist(), shares[right].tolist(), strict=True)
        row = "".join(_cell(count, share, hit=said == right) for said, (count, share) in enumerate(cells))
        lines.append(f"<tr>{name}{row}</tr>")
    tall = " tall" if len(labels) > _LEVEL else ""
    return (
        f'<div class="wide"><table class="confusion{tall}"><thead><tr><td></td>{"".join(names)}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(count: int, share: float, *, hit: bool) -> str:
    """The deeper the colour, the larger the share of the row: green where it is right, red where it is wrong."""
    if not count:
        return "<td></td>"
    kind = "hit" if hit else "miss"
    return (
        f'<td class="{kind}" style="--share:{_DEEPEST * share**0.5:.2f}" title="{share:.1%} of the row">{count:,}</td>'
    )
