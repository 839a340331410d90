"""Several processes of one run, as torchrun starts them: together they are one."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.nn.parallel import DistributedDataParallel

from bertsmith.cli.main import main
from bertsmith.errors import ConfigError
from bertsmith.training.checkpoints import list_checkpoints, load_checkpoint
from bertsmith.training.ranks import Ranks, joined_ranks
from training.runs import run, weights, write_corpus

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
BERTSMITH = ["-m", "bertsmith"]
# With parts of two rows, two of the first rank and three of the second.
SMALL = "--size tiny --batch-size 9 --max-length-tokens 32 --evaluation-rows 8 --precision float32 --vocab-size 200"
SMALL += " --workers 1 --held-out-share 0.1"


def pretraining(corpus: Path, out: Path, *more: str) -> list[str]:
    return [*BERTSMITH, "pretrain", *SMALL.split(), *more, str(corpus), "--out", str(out)]


def started(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)


def alone(words: list[str]) -> None:
    assert main(words[len(BERTSMITH) :]) == 0


def in_two(words: list[str]) -> str:
    done = started([*TORCHRUN, *words])
    assert done.returncode == 0, done.stderr
    return done.stdout


def curve(out: Path) -> list[dict[str, Any]]:
    lines = (out / "training/metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "train"]


def assert_same_curve(one: list[dict[str, Any]], two: list[dict[str, Any]], steps: int) -> None:
    assert [record["step"] for record in one] == [record["step"] for record in two] == list(range(1, steps + 1))
    assert [record["tokens"] for record in one] == [record["tokens"] for record in two]
    # Sums in another order: rounding, which fifty steps carry on to 1e-6 to 6e-6.
    np.testing.assert_allclose([r["loss"] for r in one], [r["loss"] for r in two], rtol=2e-5)


def test_two_ranks_have_the_loss_curve_of_one(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path)
    alone(pretraining(corpus, tmp_path / "one", "--steps", "50", "--micro-batch-size", "2"))
    said = in_two(pretraining(corpus, tmp_path / "two", "--steps", "50", "--micro-batch-size", "2"))
    assert_same_curve(curve(tmp_path / "one"), curve(tmp_path / "two"), 50)
    in_two(pretraining(corpus, tmp_path / "divided", "--steps", "50", "--micro-batch-size", "2", "--shard"))
    assert_same_curve(curve(tmp_path / "one"), curve(tmp_path / "divided"), 50)
    assert said.count("is your BERT") == 1  # one rank speaks
    assert_same_moments(
        *(list_checkpoints(tmp_path / name / "training/checkpoints")[-1] for name in ("one", "divided"))
    )


def assert_same_moments(whole: Path, divided: Path) -> None:
    """Of a checkpoint whose moments lie in a file of each rank, which torch opens too."""
    assert len(list((divided / "optimizer").iterdir())) == 2
    moments, parts = load_checkpoint(whole).optimizer, load_checkpoint(divided).optimizer
    assert set(parts) == set(moments)
    by_torch = {name: torch.empty_like(tensor) for name, tensor in moments.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        load(by_torch, storage_reader=HuggingFaceStorageReader(str(divided / "optimizer")), no_dist=True)
    for name, moment in moments.items():
        assert torch.equal(parts[name], by_torch[name])
        torch.testing.assert_close(parts[name], moment, rtol=1e-3, atol=1e-6)


def test_fine_tuning_on_two_ranks_has_the_loss_curve_of_one(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path)
    alone(pretraining(corpus, tmp_path / "bert", "--steps", "2"))
    rows = [f"{line.strip()},{'ab'[len(line) % 2]}" for line in corpus.read_text().splitlines() if line.strip()][:61]
    table = tmp_path / "train.csv"
    table.write_text("text,label\n" + "\n".join(rows))
    words = [
        "finetune",
        "classify",
        "--batch-size",
        "4",
        "--epochs",
        "4",
        "--dropout",
        "0",
        "--precision",
        "float32",
        "--learning-rate",
        "1e-3",
        "--weight-decay",  # which on one rank, and on two that divide nothing, passes by words that no batch has had
        "0",
    ]
    given = ["--model", str(tmp_path / "bert"), "--train", str(table)]
    for name, begin in (("one", alone), ("two", in_two)):
        begin([*BERTSMITH, *words, *given, "--out", str(tmp_path / name)])
    in_two([*BERTSMITH, *words, *given, "--shard", "--out", str(tmp_path / "divided")])
    one, two, divided = (curve(tmp_path / name) for name in ("one", "two", "divided"))
    assert len(one) >= 50  # the last batch of an epoch has fewer examples than there are ranks, or as many
    assert_same_curve(one, two, len(one))
    assert_same_curve(one, divided, len(one))
    assert weights(tmp_path / "one").keys() == weights(tmp_path / "two").keys()


def test_fewer_rows_than_ranks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="--batch-size 3 cannot be dealt to 4 ranks"), joined_ranks("cpu", 3):
        pass


def test_half_of_what_torchrun_tells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ConfigError, match=r"no MASTER_ADDR and no MASTER_PORT .*torchrun"), joined_ranks("cpu", 8):
        pass


SEVERAL = """
from bertsmith.errors import StoppedError
from bertsmith.training.ranks import joined_ranks
for run in range(3):
    try:
        with joined_ranks("cpu", 2) as ranks:
            (total,) = ranks.sums([run + ranks.number])
            most = ranks.most(ranks.number)
            if ranks.once(lambda: total) == total and ranks.first:
                print(total, most)
            if run == 0:
                raise StoppedError("as after Ctrl-C")
    except StoppedError:
        pass
"""


def test_a_process_may_make_several_runs_and_stop_one(tmp_path: Path) -> None:
    (tmp_path / "several.py").write_text(SEVERAL)
    assert in_two([str(tmp_path / "several.py")]).splitlines() == ["1.0 1", "3.0 1", "5.0 1"]


def test_a_model_that_is_to_be_divided_among_no_ranks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--shard divides a model among the ranks of torchrun"):
        run(write_corpus(tmp_path), tmp_path / "out", shard=True)


def test_gradients_travel_once_however_many_parts_a_step_has() -> None:
    travelled: list[int] = []

    def count(_: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        travelled.append(bucket.index())
        sent: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        sent.set_result(bucket.buffer())
        return sent

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        ranks, linear = Ranks(0, 2), torch.nn.Linear(3, 1)
        module = ranks.together(linear, divided=False)
        assert isinstance(module, DistributedDataParallel)
        module.register_comm_hook(None, count)
        for part in range(4):
            with ranks.apart(module, when=part < 3):
                module(torch.ones(2, 3)).sum().backward()
            assert len(travelled) == (part == 3)
        assert linear.bias.grad == 4 * 2  # of all parts
    finally:
        dist.destroy_process_group()


def test_mistakes_are_said_once(tmp_path: Path) -> None:
    done = started([*TORCHRUN, *pretraining(tmp_path / "none.txt", tmp_path / "out", "--steps", "2")])
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert "none.txt" in done.stderr
