"""Checkpoints are written while training goes on, of copies."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from bertsmith.errors import DiskFullError
from bertsmith.training import pretraining_run
from bertsmith.training.behind import Behind
from bertsmith.training.journal import Journal
from training.runs import run, weights


def test_calls_follow_one_another_and_errors_are_raised_where_one_looks() -> None:
    done: list[int] = []
    gate = threading.Event()

    def first() -> None:
        gate.wait()
        done.append(1)

    def fails() -> None:
        raise DiskFullError("full")

    with Behind() as behind:
        behind.start(first)
        behind.look()  # still going: nothing to say
        assert done == []
        gate.set()
        behind.start(lambda: done.append(1 + len(done)))  # not before the first has ended
        behind.wait()
        assert done == [1, 2]
        behind.start(fails)
        with pytest.raises(DiskFullError):
            behind.wait()
        behind.look()  # said once


def test_training_goes_on_while_a_checkpoint_is_written_of_what_it_was(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(small_corpus, tmp_path / "straight", steps=12, keep_checkpoints=9)
    save, seen = pretraining_run.save_checkpoint, []

    def slow(folder: Path, checkpoint: Any, **options: Any) -> Path:
        until = time.monotonic() + 60
        while checkpoint.step == 5 and not seen and time.monotonic() < until:
            seen.extend(r["step"] for r in Journal(folder.parent / "metrics.jsonl").read() if r["step"] > 7)
        return save(folder, checkpoint, **options)

    monkeypatch.setattr(pretraining_run, "save_checkpoint", slow)
    run(small_corpus, tmp_path / "slow", steps=12, keep_checkpoints=9)
    assert seen
    for name in ("model", "optimizer"):
        file = f"training/checkpoints/step-00000005/{name}.safetensors"
        one, other = (load_file(tmp_path / out / file) for out in ("straight", "slow"))
        assert {key: value.tobytes() for key, value in one.items()} == {k: v.tobytes() for k, v in other.items()}
    assert weights(tmp_path / "straight") == weights(tmp_path / "slow")


def test_a_failed_checkpoint_ends_the_run_with_the_one_before_whole(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(small_corpus, tmp_path / "straight")
    save = pretraining_run.save_checkpoint

    def full(folder: Path, checkpoint: Any, **options: Any) -> Path:
        if checkpoint.step == 10:
            raise DiskFullError(f"{folder}: the disk is full")
        return save(folder, checkpoint, **options)

    monkeypatch.setattr(pretraining_run, "save_checkpoint", full)
    with pytest.raises(DiskFullError):
        run(small_corpus, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full/training/checkpoints").iterdir()] == ["step-00000005"]
    monkeypatch.setattr(pretraining_run, "save_checkpoint", save)
    run(small_corpus, tmp_path / "full")
    assert weights(tmp_path / "full") == weights(tmp_path / "straight")
