"""No room on the disk, at every place where one writes: a clear error, nothing half-written, and the same command ends
as if there had always been room.

`make faults` fills real file systems of a few megabytes too, which only root may mount.
"""

import errno
import itertools
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from bertsmith.data.shards import is_prepared
from bertsmith.errors import DiskFullError
from bertsmith.training.checkpoints import Checkpoint, list_checkpoints, load_checkpoint, save_checkpoint
from bertsmith.training.ranks import Ranks
from bertsmith.training.sharding import gathered
from data.corpora import raw_text
from training.runs import prepare, run, weights

LONG = "BERTSMITH_KILLS" in os.environ


def prepared(text: Path, out: Path, workers: int = 1) -> dict[str, bytes]:
    """The files of a prepared corpus."""
    prepare(text, out, workers=workers)
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def train(corpus: Path, out: Path) -> dict[str, bytes]:
    """The weights of a finished run of two checkpoints."""
    run(corpus, out, steps=10)
    return weights(out)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """In this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def full_at_flush(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disk is found to be full when a file or folder is flushed for the n-th time, and ever after."""
    fsync, count = os.fsync, itertools.count(1)

    def flush(handle: int) -> None:
        if next(count) >= number:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", flush)
        yield


def assert_good(out: Path) -> None:
    """Nothing half-written stands under its name."""
    assert not list(out.glob("**/.*.tmp"))
    for path in list_checkpoints(out / "training/checkpoints"):
        load_checkpoint(path)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(raw_text(0, documents=1500))
    return path


@pytest.fixture(scope="module")
def roomy(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What training ends with where there is room."""
    return train(small_corpus, tmp_path_factory.mktemp("roomy") / "run")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_unit_that_does_not_fit(text: Path, tmp_path: Path, workers: int) -> None:
    with no_file_beyond(100_000), pytest.raises(DiskFullError, match=r"unit-.*the disk is full"):
        prepared(text, tmp_path / "full", workers)
    assert_good(tmp_path / "full")
    assert prepared(text, tmp_path / "full") == prepared(text, tmp_path / "roomy")


@pytest.mark.parametrize("size", [1_000_000, 2_500_000])  # less than the weights, less than the moments
def test_a_checkpoint_that_does_not_fit(small_corpus: Path, roomy: dict[str, bytes], tmp_path: Path, size: int) -> None:
    with no_file_beyond(size), pytest.raises(DiskFullError, match=r"step-.*the disk is full"):
        train(small_corpus, tmp_path / "full")
    assert list_checkpoints(tmp_path / "full/training/checkpoints") == []
    assert_good(tmp_path / "full")
    assert train(small_corpus, tmp_path / "full") == roomy


def test_a_rank_s_part_of_a_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        ranks, linear = Ranks(0, 2), torch.nn.Linear(300, 300)
        ranks.together(linear, divided=True)
        moments = {f"momentum.{name}": tensor.detach() for name, tensor in linear.named_parameters()}
        checkpoint, warned = Checkpoint(1, {"weight": torch.ones(3)}, moments, {}), list[str]()
        with no_file_beyond(100_000), pytest.raises(DiskFullError, match=r"step-.*the disk is full"):
            save_checkpoint(tmp_path, checkpoint, keep=2, warn=warned.append, ranks=ranks)
        assert list(tmp_path.iterdir()) == []
        saved = load_checkpoint(save_checkpoint(tmp_path, checkpoint, keep=2, warn=warned.append, ranks=ranks))
        for name, tensor in moments.items():
            assert torch.equal(saved.optimizer[name], gathered(tensor))
    finally:
        dist.destroy_process_group()


def test_preparing_on_a_disk_that_is_full_at_every_file_in_turn(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = end_after_every_failure(lambda: prepared(text, tmp_path / "full"), tmp_path / "full", 1, monkeypatch)
    assert made == prepared(text, tmp_path / "roomy")


def test_training_on_a_disk_that_is_full_at_every_checkpoint_in_turn(
    small_corpus: Path, roomy: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = end_after_every_failure(lambda: train(small_corpus, tmp_path / "full"), tmp_path / "full", 3, monkeypatch)
    assert made == roomy


def end_after_every_failure(
    make: Callable[[], dict[str, bytes]], out: Path, stride: int, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """Make something while the disk is full after ever more files, until it comes to its end."""
    for number in range(1, 1000, stride):
        try:
            with full_at_flush(number, monkeypatch):
                made = make()
        except DiskFullError:
            assert_good(out)
            # The card is written last. Where it stands, only its name's way to the disk failed, and all else is there.
            if (out / "README.md").exists():
                assert (out / "model.safetensors").exists()
                assert (out / "training" / "report.html").exists()
        else:
            assert number > 5 * stride
            return made
    raise AssertionError("it never ends")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Gives a mounted file system of a size, or gives the one that is there another size."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(size: str) -> Path:
        again = ["remount"] if place.is_mount() else []
        options = ",".join([*again, f"size={size}"])
        try:
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", place], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no file system can be mounted here: that needs root")
        return place

    yield sized
    if place.is_mount():
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(not LONG, reason="a long fault run: make faults")
@pytest.mark.parametrize("size", ["200k", "300k", "400k"])
def test_preparing_on_a_small_disk(text: Path, tmp_path: Path, small_disk: Callable[[str], Path], size: str) -> None:
    out = small_disk(size) / "corpus"
    with pytest.raises(DiskFullError, match="the disk is full"):
        prepared(text, out)
    assert not is_prepared(out)
    assert_good(out)
    small_disk("100m")
    assert prepared(text, out) == prepared(text, tmp_path / "roomy")


@pytest.mark.skipif(not LONG, reason="a long fault run: make faults")
@pytest.mark.parametrize("size", ["3m", "7m"])  # a checkpoint has 5 MB
def test_training_on_a_small_disk(
    small_corpus: Path, roomy: dict[str, bytes], tmp_path: Path, small_disk: Callable[[str], Path], size: str
) -> None:
    out = small_disk(size) / "run"
    with pytest.raises(DiskFullError, match="the disk is full"):
        train(small_corpus, out)
    assert_good(out)
    small_disk("100m")
    assert train(small_corpus, out) == roomy
