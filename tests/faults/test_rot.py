"""Files that rot or vanish under a run: the run stops and names the file; with the file restored the same command ends
as if nothing had been."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertsmith.cli.main import main
from bertsmith.data.shards import open_corpus
from bertsmith.errors import PreparedCorpusError
from bertsmith.training import loop
from bertsmith.training.checkpoints import list_checkpoints
from training.runs import run, weights, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of several shards, each read in eight steps or so."""
    folder = tmp_path_factory.mktemp("rot")
    words = "prepare --vocab-size 200 --workers 1 --held-out-share 0.1 --shard-tokens 2000"
    assert main([*words.split(), str(write_corpus(folder)), "--out", str(folder / "corpus")]) == 0
    return folder / "corpus"


@pytest.fixture(scope="module")
def straight(corpus: Path) -> dict[str, bytes]:
    run(corpus, corpus.parent / "straight")
    return weights(corpus.parent / "straight")


def flip(path: Path) -> None:
    """A bit in the middle of a file, in a new file of that name: a mapped one keeps what it had."""
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 16
    path.unlink()
    path.write_bytes(whole)


def after_step(step: int, harm: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    trained = loop.Loop._train

    def train(self: Any, *arguments: Any) -> None:
        trained(self, *arguments)
        if self.progress.step == step:
            harm()

    monkeypatch.setattr(loop.Loop, "_train", train)


@pytest.mark.parametrize(("harm", "found"), [(flip, "checksum"), (os.unlink, "not there")])
def test_a_shard_that_rots_or_vanishes_while_a_run_reads_the_corpus(
    corpus: Path,
    straight: dict[str, bytes],
    tmp_path: Path,
    harm: Callable[[Path], None],
    found: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shards = {path: path.read_bytes() for path in corpus.glob("train-*.arrow")}
    assert len(shards) > 2
    with monkeypatch.context() as patch:
        after_step(6, lambda: [harm(path) for path in shards] and None, patch)
        with pytest.raises(PreparedCorpusError, match=rf"train-\d+\.arrow: .*{found}.*Restore the file"):
            run(corpus, tmp_path / "run")
    assert list_checkpoints(tmp_path / "run/training/checkpoints")
    with pytest.raises(PreparedCorpusError, match=found):  # no run begins where the last one stopped
        run(corpus, tmp_path / "run")
    for path, whole in shards.items():
        path.write_bytes(whole)
    run(corpus, tmp_path / "run")
    assert weights(tmp_path / "run") == straight


def test_a_checkpoint_of_which_one_bit_has_flipped_is_passed_over(
    corpus: Path, straight: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        after_step(13, crash, patch)
        with pytest.raises(RuntimeError, match="power cut"):
            run(corpus, tmp_path / "run")
    flip(list_checkpoints(tmp_path / "run/training/checkpoints")[-1] / "model.safetensors")
    run(corpus, tmp_path / "run")
    assert weights(tmp_path / "run") == straight


def test_any_bit_of_a_manifest_that_has_flipped_is_noticed(corpus: Path, tmp_path: Path) -> None:
    for path in corpus.iterdir():
        (tmp_path / path.name).symlink_to(path)
    manifest = tmp_path / "manifest.json"
    good, whole = open_corpus(corpus), manifest.read_bytes()
    manifest.unlink()
    for place in range(len(whole)):
        harmed = bytearray(whole)
        harmed[place] ^= 1 << (place % 7)
        manifest.write_bytes(harmed)
        with pytest.raises(PreparedCorpusError, match=r"manifest\.json: (damaged|format version)"):
            open_corpus(tmp_path)
    manifest.write_bytes(whole)
    assert open_corpus(tmp_path).fingerprint == good.fingerprint
