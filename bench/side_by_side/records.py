"""What the runs of a measurement came to, kept in a file, so that the same command goes on where it was stopped."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertsmith.benchmarks.machine import describe

Record = dict[str, Any]
PACKAGES = ("torch", "transformers", "accelerate", "tokenizers")


class Records:
    """All records so far, in memory and in the user's file.

    Args:
        path: the file; None to keep nothing.
        settings: what all runs have in common; a file with others is refused.
        names: of the fields that say which run a record is of.
    """

    def __init__(self, path: Path | None, settings: Record, names: Sequence[str]) -> None:
        self.path, self.settings, self.names = path, settings, names
        self.machine = describe(PACKAGES)
        self.all: list[Record] = []
        self.failed = 0
        if path and path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if {**settings, **kept["settings"]} != settings:  # older files may lack some
                sys.exit(f"{path} was made with other settings ({kept['settings']}): choose another --json")
            self.all = kept["records"]

    def has(self, **run: Any) -> bool:
        """Whether a run was made already; `run` has all of the names."""
        return any(all(each[name] == run[name] for name in self.names) for each in self.all)

    def add(self, record: Record | None) -> None:
        """Keep a run's record; None is a run that failed."""
        if record is None:
            self.failed += 1
            return
        self.all.append(record)
        if self.path:
            kept = {"settings": self.settings, "machine": self.machine, "records": self.all}
            beside = self.path.with_name(f"{self.path.name}.new")
            beside.write_text(json.dumps(kept, indent=1), encoding="utf-8")
            beside.replace(self.path)

    def introduce(self) -> None:
        """Say what machine this is."""
        print(", ".join(f"{name} {value}" for name, value in self.machine.items()), flush=True)
