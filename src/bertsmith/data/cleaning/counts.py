"""How many documents, lines and characters each step of cleaning has changed or left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bertsmith.data.cleaning.survey import EMPTY, EXACT, KEPT, LANGUAGE, NEAR, SHORT, SYMBOLS

# The steps: two that change documents, and those that drop them, each with the fate that it gives.
LINES, MENDED = "boilerplate_lines", "mended"
DROPS = {
    "empty": EMPTY,
    "short": SHORT,
    "symbols": SYMBOLS,
    "language": LANGUAGE,
    "exact_duplicates": EXACT,
    "near_duplicates": NEAR,
}
NAMES = {
    LINES: "boilerplate lines taken out",
    MENDED: "Unicode mended",
    "empty": "dropped: nothing left of it",
    "short": "dropped: too short",
    "symbols": "dropped: too many symbols",
    "language": "dropped: another language",
    "exact_duplicates": "dropped: exact duplicate",
    "near_duplicates": "dropped: near duplicate",
}
HEADER = ("", "documents", "lines", "characters")


@dataclass
class Counts:
    """What one step did; `characters` are those that it left out."""

    changed: int = 0
    dropped: int = 0
    lines: int = 0
    characters: int = 0


def count_steps(batches: Sequence[pa.RecordBatch], fates: Iterable[NDArray[np.uint8]]) -> dict[str, Any]:
    """The manifest's account of cleaning: what was read, what was kept, and each step that did something."""
    steps = {name: Counts() for name in NAMES}
    read, kept = Counts(), Counts()
    for batch, fate in zip(batches, fates, strict=True):
        column = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in _COLUMNS}
        lines, gone = column["lines"], column["characters"].astype(np.int64) - column["unlined"]
        _add(steps[LINES], changed=(lines > 0).sum(), lines=lines.sum(dtype=np.int64), characters=gone.sum())
        _add(steps[MENDED], changed=column["mended"].sum())
        lengths = column["cleaned"].astype(np.int64)
        for name, number in DROPS.items():
            _add(steps[name], dropped=(fate == number).sum(), characters=lengths[fate == number].sum())
        _add(read, changed=len(fate), characters=column["characters"].sum(dtype=np.int64))
        _add(kept, changed=(fate == KEPT).sum(), characters=lengths[fate == KEPT].sum())
    return {
        "read": {"documents": read.changed, "characters": read.characters},
        "kept": {"documents": kept.changed, "characters": kept.characters},
        "steps": {name: vars(found) for name, found in steps.items() if any(vars(found).values())},
    }


_COLUMNS = ("characters", "unlined", "cleaned", "lines", "mended")


def _add(counts: Counts, **more: Any) -> None:
    for name, value in more.items():
        setattr(counts, name, getattr(counts, name) + int(value))


def table_rows(account: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The manifest's account as the rows of a table under `HEADER`."""
    rows = [_row(NAMES[name], found) for name, found in account["steps"].items()]
    return [_row("read", account["read"]), *rows, _row("kept", account["kept"])]


def _row(name: str, found: Mapping[str, int]) -> tuple[str, ...]:
    documents = found.get("documents") or found.get("changed") or found.get("dropped") or 0
    cells = (found[what] if found.get(what) else None for what in ("lines", "characters"))
    return (name, f"{documents:,}", *("" if cell is None else f"{cell:,}" for cell in cells))


def in_words(account: Mapping[str, Any]) -> str:
    """The account as a line: `2,100 of 9,000 documents dropped (200 too short, 1,900 near duplicate)`."""
    steps = account["steps"]
    drops = [
        f"{found['dropped']:,} {NAMES[name].removeprefix('dropped: ')}"
        for name, found in steps.items()
        if found["dropped"]
    ]
    read, kept = account["read"]["documents"], account["kept"]["documents"]
    parts = [f"{read - kept:,} of {read:,} documents dropped" + (f" ({', '.join(drops)})" if drops else "")]
    if LINES in steps:
        parts.append(f"{steps[LINES]['lines']:,} boilerplate lines taken out of {steps[LINES]['changed']:,} documents")
    if MENDED in steps:
        parts.append(f"{steps[MENDED]['changed']:,} documents mended")
    return "; ".join(parts)
