"""Attention as figures for papers, by matplotlib.

Letters: L layers, N heads, T tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.errors import InputError
from bertsmith.files import atomic_path, expect_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bertsmith.explain.explanation import Explanation

FILES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 200
_COLOURS = "Oranges"


def plot_attention(explanation: Explanation, *, layer: int | None, head: int | None, path: str | Path | None) -> Figure:
    """See `Explanation.plot_attention`."""
    from matplotlib.figure import Figure

    weights = explanation.recording.attention
    _check("layer", layer, len(weights))
    _check("head", head, weights.shape[1])
    if head is not None and layer is None:
        raise InputError(f"head {head} of which layer? Give the layer too")
    if path is not None and Path(path).suffix not in FILES:
        raise InputError(f"{path}: a figure is written as {', '.join(FILES)}; name it so")
    if path is not None:
        expect_file(Path(path))
    figure = Figure(layout="constrained")
    if layer is not None and head is not None:
        _draw_one(figure, explanation, layer, head)
    else:
        _draw_many(figure, explanation, range(len(weights)) if layer is None else range(layer, layer + 1))
    if path is not None:
        _write(figure, Path(path))
    return figure


def _check(name: str, index: int | None, count: int) -> None:
    if index is not None and not 0 <= index < count:
        raise InputError(f"{name} {index}: the model has {count}, from 0 to {count - 1}")


def _draw_one(figure: Figure, explanation: Explanation, layer: int, head: int) -> None:
    """One head, tokens that look down the side, tokens that are looked at along the top."""
    tokens = [token.text for token in explanation.recording.tokens]
    side = max(2.5, 0.28 * len(tokens) + 1.2)
    figure.set_size_inches(side + 0.8, side)
    axes = figure.subplots()
    picture = axes.imshow(explanation.recording.attention[layer, head], cmap=_COLOURS, vmin=0, vmax=1)
    axes.xaxis.tick_top()
    # A token such as $ is no mathematics.
    axes.set_xticks(range(len(tokens)), tokens, rotation=90, parse_math=False)
    axes.set_yticks(range(len(tokens)), tokens, parse_math=False)
    axes.set_xlabel(f"layer {layer + 1}, head {head + 1}: {explanation.roles[layer][head].name}")
    figure.colorbar(picture, ax=axes, shrink=0.8)


def _draw_many(figure: Figure, explanation: Explanation, layers: range) -> None:
    """A row of small matrices a layer, without names of tokens."""
    weights = explanation.recording.attention
    heads = weights.shape[1]
    figure.set_size_inches(0.75 * heads + 0.5, 0.75 * len(layers) + 0.6)
    rows: Any = figure.subplots(len(layers), heads, squeeze=False)
    for layer, row in zip(layers, rows, strict=True):
        for head, axes in enumerate(row):
            axes.imshow(weights[layer, head], cmap=_COLOURS, vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.tick_params(length=0)
        row[0].set_ylabel(f"layer {layer + 1}", fontsize=7)
    for head, axes in enumerate(rows[0]):
        axes.set_title(f"head {head + 1}", fontsize=7)


def _write(figure: Figure, path: Path) -> None:
    kind = path.suffix.removeprefix(".")
    with atomic_path(path) as beside:
        figure.savefig(beside, format=kind, dpi=_DOTS_PER_INCH)
