"""Tables for people and for files that keep results."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertsmith.files import make_folder


@dataclass(frozen=True)
class Table:
    """Cells as they are shown.

    Attributes:
        title: one line.
        header: a name a column.
        rows: the cells.
        notes: lines below it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The table without its title, then its notes."""
        return "\n".join([markdown_rows(self.header, self.rows), *(f"\n{note}" for note in self.notes)])


def markdown_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def append_results(path: Path, tables: Sequence[Table], *, command: str, machine: dict[str, str | int]) -> None:
    """Add tables to a Markdown file that keeps measurements, under the command that made them, machine and day.

    Raises:
        ConfigError: the file's folder cannot be made.
    """
    make_folder(path.parent)
    where = ", ".join(f"{name} {value}" for name, value in machine.items())
    parts = [f"`{command}`", f"{where}; {datetime.date.today().isoformat()}"]
    for table in tables:
        parts += [f"**{table.title}**", table.markdown()]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + "\n\n".join(parts) + "\n")
