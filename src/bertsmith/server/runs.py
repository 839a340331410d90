"""Run folders that are served: their journals as they grow, and weights that are newer than those in memory."""

from __future__ import annotations

import json
import os
import re
import time
import tomllib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith.config import PredictionPrecision
from bertsmith.errors import BertsmithError
from bertsmith.explain.predictor import Predictor, load
from bertsmith.files import holder_lives
from bertsmith.server.refusals import BadRequestError, NotFoundError
from bertsmith.server.run_schemas import RunCard
from bertsmith.training.run_folder import RunFolder

MOST_BYTES = 1 << 20  # of a journal, in one answer
TAIL_BYTES = 256  # before a cursor, by which a journal that was rewound is known
# What a page says of a run; where its data lie is not its business.
SHOWN = (
    "task",
    "architecture",
    "size",
    "objective",
    "steps",
    "epochs",
    "minutes",
    "batch_size",
    "learning_rate",
    "seed",
)
_CURSOR = re.compile(r"(\d{1,15})-([0-9a-f]{8})")


@dataclass(frozen=True)
class Lines:
    """What was added to a journal.

    Attributes:
        records: whole lines, as JSON.
        cursor: where to go on.
        anew: these are from the start: the journal is not the one, or not as it was, that the cursor was of.
        more: there are more already.
    """

    records: list[dict[str, Any]]
    cursor: str
    anew: bool
    more: bool


class Runs:
    """The run folders among what is served.

    Args:
        folders: all that is served, by name; those without `training/` are no runs.
        precision: of the predictors that are read anew.
    """

    def __init__(
        self, folders: Mapping[str, Path] | None = None, *, precision: PredictionPrecision = "float32"
    ) -> None:
        self._folders = {name: RunFolder(path) for name, path in (folders or {}).items() if is_run(path)}
        self._precision = precision
        self._read = {name: _mark(run.out) for name, run in self._folders.items()}  # of the weights in memory

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return list(self._folders)

    def card(self, name: str, *, loaded: bool) -> RunCard:
        """What clients may know of a run.

        Args:
            name: of a run.
            loaded: whether a model of that name is served.

        Raises:
            NotFoundError: no such run.
        """
        run = self._run(name)
        written = max((path.stat().st_mtime for path in self._journals(run).values() if path.exists()), default=None)
        mark = _mark(run.out)
        return RunCard(
            id=name,
            parts=list(self._journals(run)),
            settings=_settings(run),
            weights="none" if mark is None else "read" if loaded and mark == self._read[name] else "newer",
            running=holder_lives(run.lock),
            finished=(run.out / "README.md").exists(),
            quiet_s=None if written is None else max(0.0, time.time() - written),
        )

    def lines(self, name: str, part: str, kind: str, since: str) -> Lines:
        """What a run, or a part of it such as one of several seeds, has written since a cursor.

        Args:
            name: of a run.
            part: one of its card's parts; of "", which it may have had before there were others, nothing.
            kind: "metrics" or "samples".
            since: of an earlier answer; empty for all.

        Raises:
            NotFoundError: no such run, no such part of it, or another kind.
        """
        run = self._run(name)
        journals = {"": run.journal, **self._journals(run)}
        if part not in journals:
            raise NotFoundError(f"no part of that name; there are {', '.join(map(repr, journals))}")
        if kind not in ("metrics", "samples"):
            raise NotFoundError("of is metrics or samples", field="of")
        journal = journals[part]
        return read_since(journal if kind == "metrics" else journal.with_name("samples.jsonl"), since)

    def steps(self, name: str) -> dict[str, Path]:
        """The steps of a run that can be opened, its start too, as NAME/step-N; of what is no run, none."""
        from bertsmith.explain.opening import steps_of

        if name not in self._folders:
            return {}
        try:
            found = steps_of(self._folders[name].checkpoints)
        except (OSError, ValueError, BertsmithError):  # its settings are damaged
            return {}
        return {f"{name}/step-{int(path.name.removeprefix('step-'))}": path for path in found}

    def newer(self, name: str, *, loaded: bool) -> Predictor | None:
        """The run's model, read anew; None where the one in memory has its weights already.

        Raises:
            NotFoundError: no such run.
            BadRequestError: it has written no model yet.
        """
        run = self._run(name)
        mark = _mark(run.out)
        if mark is None:
            raise BadRequestError(
                f"{name} has written no model yet: pretraining does at its first checkpoint, fine-tuning at its end",
                field="model",
            )
        if loaded and mark == self._read[name]:
            return None
        predictor = load(run.out, precision=self._precision)
        predictor.name = name
        self._read[name] = mark
        return predictor

    def _run(self, name: str) -> RunFolder:
        if name not in self._folders:
            raise NotFoundError(f"no run of that name; there are {', '.join(self._folders) or 'none'}", field="model")
        return self._folders[name]

    def _journals(self, run: RunFolder) -> dict[str, Path]:
        """Of the run itself, as "", and of its seeds and trials; the run's own where it has one or they have none."""
        parts = {
            f"{kind}/{path.parent.parent.name}": path
            for kind in ("seeds", "search")
            for path in sorted(run.training.glob(f"{kind}/*/training/metrics.jsonl"), key=_in_order)
        }
        own = {"": run.journal} if run.journal.exists() or not parts else {}
        return {**own, **parts}


def _in_order(path: Path) -> tuple[int, Path]:
    """2 before 10."""
    return len(str(path)), path


def is_run(folder: Path) -> bool:
    """Whether a run was begun in a folder."""
    return (folder / "training").is_dir()


def is_waiting(folder: Path) -> bool:
    """Whether it is a run that has not written a model yet."""
    return is_run(folder) and _mark(folder) is None


def _mark(folder: Path) -> tuple[int, int, int] | None:
    """What tells weights from those written later; None where the model is not there, or not whole."""
    if not (folder / "config.json").exists():
        return None
    try:
        found = (folder / "model.safetensors").stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _settings(run: RunFolder) -> dict[str, Any]:
    try:
        values = tomllib.loads(run.settings.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: values[name] for name in SHOWN if name in values}


def read_since(path: Path, cursor: str) -> Lines:
    """The lines of a journal after a cursor, or all where it no longer fits; a line that is not whole comes later."""
    try:
        file = path.open("rb")
    except OSError:  # nothing was written yet
        return Lines([], "", anew=bool(cursor), more=False)
    with file:
        start = _start(file, cursor)
        file.seek(start or 0)
        data = file.read(MOST_BYTES)
        end = data.rfind(b"\n") + 1
        records = [record for line in data[:end].splitlines() if (record := _record(line)) is not None]
        place = (start or 0) + end
        return Lines(records, _cursor(file, place), anew=bool(cursor) and start is None, more=len(data) == MOST_BYTES)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line, parse_constant=lambda _: None)
    except ValueError:  # cut short by a kill
        return None
    return record if isinstance(record, dict) else None


def _start(file: Any, cursor: str) -> int | None:
    """Where a cursor points; None if what stands before it is not what stood there."""
    found = _CURSOR.fullmatch(cursor)
    place = int(found[1]) if found else 0
    whole = place <= os.fstat(file.fileno()).st_size
    return place if found and whole and _cursor(file, place) == cursor else None


def _cursor(file: Any, place: int) -> str:
    tail = min(place, TAIL_BYTES)
    file.seek(place - tail)
    return f"{place}-{zlib.crc32(file.read(tail)):08x}"
