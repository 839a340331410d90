"""`metrics.jsonl`: one JSON object a line, of kind "train" or "evaluation"; resuming goes on after its last step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bertsmith.files import disk_full_named, write_text

Record = dict[str, Any]


class Journal:
    """The figures of a run, as they come; without a path they stay in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._records: list[Record] = []

    def write(self, record: Record) -> None:
        """Add one line; floats that are no number are left out, since JSON has none."""
        if self.path is None:
            self._records.append(record)
            return
        line = json.dumps({key: value for key, value in record.items() if value == value})
        with disk_full_named(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def read(self) -> list[Record]:
        """All whole lines; one that a kill cut short is passed over."""
        if self.path is None:
            return self._records
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

    def rewind(self, step: int, *, evaluation_due: bool = False) -> None:
        """Forget what was written after a step: the run goes on from there.

        Args:
            step: the last that is kept.
            evaluation_due: whether its evaluation comes now; one that was written before is forgotten too.
        """
        kept = [
            json.dumps(record) + "\n"
            for record in self.read()
            if record["step"] < step
            or (record["step"] == step and not (evaluation_due and record["kind"] == "evaluation"))
        ]
        if self.path is not None:
            write_text(self.path, "".join(kept))
