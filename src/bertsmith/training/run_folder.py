"""The run folder: which settings it was begun with, and who is writing to it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertsmith.errors import ConfigError
from bertsmith.files import locked, write_text

# What may change when a run goes on: it does not touch the numbers, or (the device) their rounding only.
_FREE = {"workers", "checkpoint_every_steps", "keep_checkpoints", "on_bad_input", "device", "shard"}
_FREE |= {"cache_gb", "cache_folder", "compile"}


class RunFolder:
    """Paths of a run, its settings and its lock."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.name = out.resolve().name
        self.training = out / "training"
        self.checkpoints = self.training / "checkpoints"
        self.journal = self.training / "metrics.jsonl"
        self.samples = self.training / "samples.jsonl"
        self.report = self.training / "report.html"
        self.settings = self.training / "run.toml"
        self.corpus = self.training / "corpus"
        self.start = self.training / "start.safetensors"
        self.result = self.training / "result.json"
        self.lock = self.training / "lock"

    def within(self, name: str) -> RunFolder:
        """A run that is a part of this one, such as one of several seeds."""
        return RunFolder(self.training / name)

    def keep(self, values: Mapping[str, Any]) -> None:
        """Write down the settings that the run is begun with; until something was trained they may change."""
        if not self._trained():
            write_text(self.settings, _toml(values))

    def check_same(self, values: Mapping[str, Any]) -> None:
        """Compare settings with those that the run was begun with, if it was.

        Raises:
            ConfigError: settings that change the numbers have changed; each is listed. Or the folder holds a model
                that is no run, or of a finished run without its checkpoints, which must not be overwritten.
        """
        if not self.settings.exists() and (self.out / "config.json").exists():
            raise ConfigError(f"{self.out} holds a model that is no run of bertsmith. Choose another --out.")
        if not self._trained():
            return
        try:
            was = tomllib.loads(self.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.settings}: missing or damaged ({error}). Restore it, or choose another --out."
            ) from None
        changes = [
            f"{name} was {_shown(was.get(name))}, now {_shown(values.get(name))}"
            for name in sorted({*was, *values} - _FREE)
            if was.get(name) != values.get(name)
            and (name in was or values[name] is not False)  # what is off may be younger than the run
        ]
        if changes:
            raise ConfigError(
                f"{self.out} holds a run with other settings:\n  "
                + "\n  ".join(changes)
                + "\nTo go on with it, give the settings it was begun with "
                + f"(--config {self.settings} has them); for a new run choose another --out."
            )
        if not self._can_go_on():
            raise ConfigError(
                f"{self.out} holds a finished model, and the checkpoints of its run are gone. Use it as it is; for a "
                "new run choose another --out, or remove this folder."
            )

    def _trained(self) -> bool:
        """Whether a new run would overwrite something; a card is written beside finished weights alone."""
        finished = all((self.out / name).exists() for name in ("README.md", "model.safetensors"))
        return finished or self._can_go_on()

    def _can_go_on(self) -> bool:
        """Whether there is a result, or something that leads to one."""
        from bertsmith.training.checkpoints import list_checkpoints  # by torch: who only reads a run does without

        parts = (RunFolder(path) for kind in ("seeds", "search") for path in self.training.glob(f"{kind}/*"))
        return (
            self.result.exists() or bool(list_checkpoints(self.checkpoints)) or any(part._can_go_on() for part in parts)
        )

    @contextmanager
    def locked(self, *, wait_s: float = 0.0) -> Iterator[None]:
        """Keep the folder for this process until the block ends, however it ends; wait so long for another that has it.

        Raises:
            BertsmithError: another process has it; it is named.
            ConfigError: there is a file of that name, or the place cannot be written to.
        """
        with locked(self.out, self.lock, wait_s=wait_s):
            for folder in (self.out, self.training):
                for left_over in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
                    left_over.unlink()
            yield


def _toml(values: Mapping[str, Any]) -> str:
    """Scalars as TOML; JSON's strings, numbers and booleans are TOML's too. None is left out."""
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items() if value is not None]
    return "\n".join(["# The settings of this run; --config reads them.", *lines, ""])


def _shown(value: Any) -> str:
    return "not given" if value is None else repr(value)
