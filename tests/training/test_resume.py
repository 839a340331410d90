"""A stopped run, gone on with, is the run that was never stopped, bit for bit; nothing half-written is ever used."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from bertsmith.errors import BertsmithError, CheckpointError, ConfigError, DiskFullError, StoppedError
from bertsmith.model import precision, whole
from bertsmith.model.whole import can_multiply_whole
from bertsmith.training import checkpoints, loop, recipe
from bertsmith.training.checkpoints import list_checkpoints, load_checkpoint
from bertsmith.training.journal import Journal
from bertsmith.training.ranks import Ranks
from bertsmith.training.run_folder import RunFolder
from marks import needs_whole
from training.runs import SMALL, prepare, run, weights, write_corpus

MAPS = Path("/proc/self/maps")


@pytest.fixture(scope="module")
def straight(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straight") / "run"
    run(small_corpus, out)
    return out


@pytest.fixture(scope="module")
def several_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    return prepare(write_corpus(folder), folder / "corpus", shard_tokens=2000)


PHASES: dict[str, Any] = {
    "steps": None,
    "epochs": 1.3,
    "early_share": 0.2,
    "early_length_tokens": 16,
    "long_share": 0.4,
    "long_length_tokens": 64,
    "micro_batch_size": 9,
    "batch_size": 20,
}


@pytest.fixture(scope="module")
def straight_phases(several_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phases") / "run"
    assert run(several_shards, out, **PHASES).steps > 14
    return out


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch, how: Any) -> None:
    """Let `how` happen once the step is done."""
    trained = loop.Loop._train

    def train(self: Any, *arguments: Any) -> None:
        trained(self, *arguments)
        if self.progress.step == step:
            how()

    monkeypatch.setattr(loop.Loop, "_train", train)


def losses(out: Path) -> list[tuple[str, int, float]]:
    return [(r["kind"], r["step"], r["mlm_loss"]) for r in Journal(out / "training" / "metrics.jsonl").read()]


def samples(out: Path) -> bytes:
    return (out / "training/samples.jsonl").read_bytes()


@pytest.mark.parametrize("step", [1, 5, 8])
def test_ctrl_c_saves_and_the_same_command_goes_on(
    small_corpus: Path, straight: Path, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(step, patch, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(StoppedError, match=f"Ctrl-C.*step {step}"):
            run(small_corpus, tmp_path / "run")
    assert load_checkpoint(list_checkpoints(tmp_path / "run/training/checkpoints")[-1]).step == step
    result = run(small_corpus, tmp_path / "run")
    assert result.steps == 20
    assert weights(tmp_path / "run") == weights(straight)
    assert losses(tmp_path / "run") == losses(straight)
    assert samples(tmp_path / "run") == samples(straight)


@needs_whole
def test_what_is_multiplied_in_whole_numbers_goes_on_too(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "bfloat16_is_emulated", lambda: True)
    monkeypatch.setattr(precision, "avx2_alone", lambda: True)
    options: dict[str, Any] = {"precision": "auto", "optimizer": "muon", "steps": 6}
    run(small_corpus, tmp_path / "straight", **options)
    with monkeypatch.context() as patch:
        stop_after(3, patch, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(StoppedError):
            run(small_corpus, tmp_path / "run", **options)
    shutil.copytree(tmp_path / "run", tmp_path / "moved")
    run(small_corpus, tmp_path / "run", **options)
    assert weights(tmp_path / "run") == weights(tmp_path / "straight")
    assert losses(tmp_path / "run") == losses(tmp_path / "straight")
    for room in (precision, recipe, whole):  # another machine
        monkeypatch.setattr(room, "can_multiply_whole", lambda device: False)
    run(small_corpus, tmp_path / "moved", **options)
    assert losses(tmp_path / "moved")[-1][2] == pytest.approx(losses(tmp_path / "straight")[-1][2], abs=0.05)
    assert weights(tmp_path / "moved") != weights(tmp_path / "straight")


@pytest.mark.parametrize("most", [0, 1])
def test_where_a_rank_has_no_whole_numbers_all_go_on_without_and_are_told(most: int) -> None:
    told: list[str] = []
    ranks = cast(Ranks, SimpleNamespace(most=lambda lacking: max(lacking, most)))
    here = can_multiply_whole(torch.device("cpu"))
    found = recipe.precision_for_all("int16", torch.device("cpu"), ranks, told.append)
    assert found == ("int16" if here and not most else "float32")
    assert len(told) == (found == "float32")
    assert recipe.precision_for_all("bfloat16", torch.device("cpu"), ranks, told.append) == "bfloat16"


@pytest.mark.parametrize("step", [1, 7, 12])
def test_epochs_phases_shards_and_parts_go_on_too(
    tmp_path: Path, several_shards: Path, straight_phases: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(step, patch, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(StoppedError):
            run(several_shards, tmp_path / "run", **PHASES)
    run(several_shards, tmp_path / "run", **PHASES)
    assert weights(tmp_path / "run") == weights(straight_phases)
    assert losses(tmp_path / "run") == losses(straight_phases)


def test_the_phase_of_the_next_step_is_known_when_a_run_goes_on(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped right where the second phase begins."""
    options: dict[str, Any] = {"steps": 10, "long_share": 0.5, "long_length_tokens": 64}
    run(small_corpus, tmp_path / "straight", **options)
    with monkeypatch.context() as patch:
        stop_after(5, patch, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(StoppedError):
            run(small_corpus, tmp_path / "run", **options)
    run(small_corpus, tmp_path / "run", **options)
    assert weights(tmp_path / "run") == weights(tmp_path / "straight")


def test_a_crash_between_checkpoints_goes_back_to_the_last(
    small_corpus: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        stop_after(13, patch, crash)
        with pytest.raises(RuntimeError, match="power cut"):
            run(small_corpus, tmp_path / "run")
    assert [path.name for path in list_checkpoints(tmp_path / "run/training/checkpoints")] == [
        "step-00000005",
        "step-00000010",
    ]
    run(small_corpus, tmp_path / "run")
    assert weights(tmp_path / "run") == weights(straight)
    assert losses(tmp_path / "run") == losses(straight)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    small_corpus: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(13, patch, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(StoppedError, match="SIGTERM"):
            run(small_corpus, tmp_path / "run")
    newest = list_checkpoints(tmp_path / "run/training/checkpoints")[-1]
    for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
        file = newest / name
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])
        with pytest.raises(CheckpointError, match="step-00000013"):
            load_checkpoint(newest)
        file.write_bytes(whole)
    (newest / "optimizer.safetensors").write_bytes(b"")
    run(small_corpus, tmp_path / "run")
    assert newest not in list_checkpoints(newest.parent)
    assert weights(tmp_path / "run") == weights(straight)


def test_only_damaged_checkpoints_are_an_error(small_corpus: Path, tmp_path: Path) -> None:
    run(small_corpus, tmp_path / "run", steps=5)
    for path in list_checkpoints(tmp_path / "run/training/checkpoints"):
        (path / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="every checkpoint is damaged"):
        run(small_corpus, tmp_path / "run", steps=5)


def test_a_full_disk_ends_the_run_with_the_last_checkpoint_whole(
    small_corpus: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = checkpoints._write

    def full(folder: Path, checkpoint: checkpoints.Checkpoint, ranks: Ranks) -> None:
        written(folder, checkpoint, ranks)
        if checkpoint.step == 10:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_write", full)
        with pytest.raises(DiskFullError, match=r"step-00000010.*full"):
            run(small_corpus, tmp_path / "run")
    folder = tmp_path / "run/training/checkpoints"
    assert [path.name for path in folder.iterdir()] == ["step-00000005"]
    assert load_checkpoint(folder / "step-00000005").step == 5
    run(small_corpus, tmp_path / "run")
    assert weights(tmp_path / "run") == weights(straight)


def test_a_changed_setting_is_an_error_that_lists_it(small_corpus: Path, tmp_path: Path) -> None:
    run(small_corpus, tmp_path / "run", steps=5)
    with pytest.raises(ConfigError, match=r"learning_rate was 0\.001, now 0\.002") as raised:
        run(small_corpus, tmp_path / "run", steps=5, learning_rate=2e-3, batch_size=4)
    assert "batch_size was 8, now 4" in str(raised.value)
    run(small_corpus, tmp_path / "run", steps=5, checkpoint_every_steps=2)  # does not touch the numbers


@pytest.mark.skipif(not MAPS.exists(), reason="what a process has mapped is read from /proc")
def test_a_run_that_goes_on_lets_go_of_the_files_it_read(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a network file system a file that is mapped cannot be removed with its folder."""
    with monkeypatch.context() as patch:
        stop_after(2, patch, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(StoppedError):
            run(small_corpus, tmp_path / "run", steps=4)
    left_over = tmp_path / "run/training/checkpoints/.step-00000003.tmp"
    left_over.mkdir()
    mapped: list[str] = []
    stop_after(3, monkeypatch, lambda: mapped.append(MAPS.read_text()))
    run(small_corpus, tmp_path / "run", steps=4)
    assert "step-00000002" not in mapped[0]
    assert not left_over.exists()


def test_an_old_checkpoint_that_cannot_be_removed_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []

    def save(step: int) -> None:
        checkpoint = checkpoints.Checkpoint(step, {}, {}, {})
        checkpoints.save_checkpoint(tmp_path, checkpoint, keep=2, warn=warned.append)

    def busy(folder: Path, **_: bool) -> None:
        if folder.exists():
            raise OSError(errno.EBUSY, "Device or resource busy")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", busy)
        for step in (1, 2, 3):
            save(step)
    assert [path.name[-1] for path in list_checkpoints(tmp_path)] == ["1", "2", "3"]
    (told,) = warned
    assert "step-00000001: cannot be removed (Device or resource busy)" in told
    save(4)
    assert [path.name[-1] for path in list_checkpoints(tmp_path)] == ["3", "4"]


def test_what_another_rank_has_written_already_is_kept(tmp_path: Path) -> None:
    part = tmp_path / ".step-00000001.tmp/optimizer/its part"
    part.parent.mkdir(parents=True)
    part.touch()
    checkpoint = checkpoints.Checkpoint(1, {}, {}, {})
    saved = checkpoints.save_checkpoint(tmp_path, checkpoint, keep=2, warn=pytest.fail)
    assert (saved / "optimizer/its part").exists()


def test_a_setting_may_change_while_nothing_was_trained(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        stop_after(1, patch, crash)
        with pytest.raises(MemoryError):
            run(small_corpus, tmp_path / "run")
    assert run(small_corpus, tmp_path / "run", micro_batch_size=2, steps=3).steps == 3


def test_a_finished_run_is_left_as_it_is(small_corpus: Path, straight: Path) -> None:
    before, card = weights(straight), straight / "README.md"
    card.write_text(card.read_text() + "A line of the user's.")
    result = run(small_corpus, straight)
    assert result.steps == SMALL["steps"]
    assert result.metrics["mlm_loss"] == losses(straight)[-1][2]
    assert weights(straight) == before
    assert "the user's" in card.read_text()


def test_a_finished_run_whose_checkpoints_are_gone_is_left_as_it_is(small_corpus: Path, tmp_path: Path) -> None:
    run(small_corpus, tmp_path / "run", steps=2)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*") if path.is_file()}
    shutil.rmtree(tmp_path / "run/training/checkpoints")
    with pytest.raises(ConfigError, match=r"holds a finished model, and the checkpoints .* another --out"):
        run(small_corpus, tmp_path / "run", steps=2)
    with pytest.raises(ConfigError, match="steps was 2, now 3"):
        run(small_corpus, tmp_path / "run", steps=3)
    after = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*") if path.is_file()}
    assert after == {path: held for path, held in before.items() if "checkpoints" not in path.parts}


def test_compiling_and_what_is_off_and_younger_than_the_run_do_not_keep_it_from_going_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    (folder.checkpoints / "step-00000001").mkdir(parents=True)
    folder.settings.write_text("steps = 5\ncompile = false\n")
    folder.check_same({"steps": 5, "compile": True, "of_tomorrow": False})
    with pytest.raises(ConfigError, match="of_tomorrow was not given, now True"):
        folder.check_same({"steps": 5, "compile": False, "of_tomorrow": True})


def test_without_hard_links_the_weights_are_copied(
    small_corpus: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    run(small_corpus, tmp_path / "run")
    assert weights(tmp_path / "run") == weights(straight)


def test_a_second_run_on_the_folder_is_refused_and_the_first_named(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from bertsmith.training.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): print('mine', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(BertsmithError, match=f"process {other.pid} on"), RunFolder(tmp_path).locked():
            pass
    finally:
        other.kill()
        other.communicate()
    with RunFolder(tmp_path).locked():
        pass


def test_another_corpus_is_refused(small_corpus: Path, tmp_path: Path) -> None:
    run(small_corpus, tmp_path / "run", steps=5)
    settings = tmp_path / "run/training/run.toml"
    other = write_corpus(tmp_path, documents=60)
    run(other, tmp_path / "other", steps=1)
    moved = tmp_path / "other/training/corpus"
    settings.write_text(settings.read_text().replace(json.dumps(str(small_corpus)), json.dumps(str(moved))))
    with pytest.raises(CheckpointError, match="another corpus"):
        run(moved, tmp_path / "run", steps=5)
