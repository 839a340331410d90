"""Checkpoints: a folder each, written beside and renamed, with a checksum of every file.

checkpoints/step-00001200/
├── model.safetensors         the weights, under Hugging Face's names
├── optimizer.safetensors     what the optimizer keeps of each parameter: AdamW its step and moments, Muon its momentum
│   (or optimizer/…           a file of each rank among which that is divided)
├── best.safetensors          the weights of the best evaluation so far, where those are kept
└── state.json                where the run stands; checksums
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.errors import CheckpointError
from bertsmith.files import READABLE, disk_full_named, link_or_copy, sealed, sync_folder, unsealed
from bertsmith.training.ranks import ALONE, Ranks
from bertsmith.training.sharding import Joined

_MODEL, _OPTIMIZER, _BEST = "model.safetensors", "optimizer.safetensors", "best.safetensors"
_STATE = "state.json"
_DIVIDED = "optimizer"  # a folder with a file of each rank


@dataclass(frozen=True)
class Checkpoint:
    """A run at one step.

    Attributes:
        step: optimizer steps done.
        model: the weights.
        optimizer: the optimizer's tensors; of a divided model, those of this rank until they are read again.
        state: everything else, as plain JSON values.
        best: a file of the best weights so far, which is kept with the checkpoint; None for none.
    """

    step: int
    model: dict[str, Tensor]
    optimizer: Mapping[str, Tensor]
    state: dict[str, Any]
    best: Path | None = None


def save_checkpoint(
    folder: Path, checkpoint: Checkpoint, *, keep: int, warn: Callable[[str], None], ranks: Ranks = ALONE
) -> Path:
    """Write a checkpoint, then remove all but the last `keep`; a failure leaves the older ones as they were.

    Args:
        folder: of the run's checkpoints.
        checkpoint: where the run stands.
        keep: so many.
        warn: told of an older one that cannot be removed.
        ranks: of a divided model all save together, else the first alone.

    Raises:
        DiskFullError: no room left.
    """
    final = path_of(folder, checkpoint.step)
    beside = folder / f".{final.name}.tmp"
    if not ranks.first:
        with disk_full_named(final):
            ranks.write_divided(checkpoint.optimizer, beside / _DIVIDED)
        return final
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with disk_full_named(final):
            beside.mkdir(exist_ok=True)  # another rank may have been here first, to write its part
            _write(beside, checkpoint, ranks)
            if final.exists():
                shutil.rmtree(final)
            os.replace(beside, final)
            sync_folder(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    for old in list_checkpoints(folder)[:-keep]:
        try:
            shutil.rmtree(old)
        except OSError as error:
            warn(f"{old}: cannot be removed ({error.strerror}); it is tried again after the next checkpoint")
    return final


def _write(folder: Path, checkpoint: Checkpoint, ranks: Ranks) -> None:
    if ranks.divided:
        files = ranks.write_divided(checkpoint.optimizer, folder / _DIVIDED)
    else:
        files = [folder / _OPTIMIZER]
        _save(checkpoint.optimizer, folder / _OPTIMIZER)
    files.append(folder / _MODEL)
    _save(checkpoint.model, folder / _MODEL)
    if checkpoint.best:
        files.append(folder / _BEST)
        link_or_copy(checkpoint.best, folder / _BEST)
    state = {
        "step": checkpoint.step,
        "state": checkpoint.state,
        "sha256": {str(file.relative_to(folder)): _sha256(file) for file in files},
    }
    (folder / _STATE).write_text(json.dumps(sealed(state), indent=2))
    for file in (*files, folder / _STATE):
        file.chmod(READABLE)
        with file.open("rb+") as written:
            os.fsync(written.fileno())
    for parent in {file.parent for file in files}:
        sync_folder(parent)


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first, whole or not."""
    return sorted(folder.glob("step-*"))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, every checksum compared.

    Raises:
        CheckpointError: a file is missing or is not what was written.
    """
    try:
        record = unsealed(json.loads((path / _STATE).read_text(encoding="utf-8")))
        for name, digest in record["sha256"].items():
            if _sha256(path / name) != digest:
                raise CheckpointError(f"{path / name}: its checksum does not match")
        model = load_file(path / _MODEL)
        optimizer = Joined([path / name for name in record["sha256"] if name.startswith(_DIVIDED)])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged ({error})") from None
    best = path / _BEST if _BEST in record["sha256"] else None
    return Checkpoint(record["step"], model, optimizer, record["state"], best)


def load_last_good(folder: Path, *, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where there never was one.

    Each damaged one is named, and removed once a whole one is found: the run will come by its step again.

    Raises:
        CheckpointError: there are checkpoints, and all are damaged.
    """
    damaged: list[Path] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            checkpoint = load_checkpoint(path)
        except CheckpointError as error:
            warn(f"{error}; going on from the one before it")
            damaged.append(path)
        else:
            for old in damaged:
                shutil.rmtree(old)
            return checkpoint
    if damaged:
        raise CheckpointError(
            f"{folder}: every checkpoint is damaged. Remove the folder to begin the run anew, or restore it."
        )
    return None


def load_for_all(ranks: Ranks, folder: Path, *, warn: Callable[[str], None]) -> Checkpoint | None:
    """As `load_last_good`, on every rank: the first looks which one is whole, and the others read the same.

    What a process that was killed had begun to write goes: here, since nobody else writes yet.

    Raises:
        CheckpointError: there are checkpoints, and all are damaged.
    """
    found: list[Checkpoint | None] = []

    def look() -> str | None:
        for left_over in folder.glob(".step-*.tmp"):
            shutil.rmtree(left_over, ignore_errors=True)
        checkpoint = load_last_good(folder, warn=warn)
        found.append(checkpoint)
        return path_of(folder, checkpoint.step).name if checkpoint else None

    name = ranks.once(look)
    if found:
        return found[0]
    return load_checkpoint(folder / name) if name else None


def path_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:08d}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
