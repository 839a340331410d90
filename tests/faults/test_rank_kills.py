"""Ranks and their launcher killed at random moments: the end is that of the ranks that were never stopped.

A few kills in `make test`; `make faults` sets BERTSMITH_KILLS for many.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from training.runs import weights, write_corpus

KILLS = int(os.environ.get("BERTSMITH_KILLS", "2"))
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1000"]
STEPS = 60


def words(corpus: Path, out: Path, dropout: float) -> list[str]:
    shape = "pretrain --size tiny --batch-size 8 --max-length-tokens 32 --evaluation-rows 8 --vocab-size 200"
    options = f"--steps {STEPS} --checkpoint-every-steps 4 --precision float32 --dropout {dropout} --workers 1"
    return [
        "-m",
        "bertsmith",
        *shape.split(),
        *options.split(),
        "--held-out-share",
        "0.1",
        str(corpus),
        "--out",
        str(out),
    ]


def launched(command: list[str], said: Path) -> subprocess.Popen[bytes]:
    """Start a command; what it says goes to a file, which ranks that outlive their launcher may go on writing to."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with said.open("ab") as file:
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=file)


def finished(command: list[str], said: Path) -> None:
    assert launched(command, said).wait() == 0, said.read_text()


def ranks_of(launcher: subprocess.Popen[bytes]) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def steps_saved(out: Path) -> int:
    return max((int(path.name.removeprefix("step-")) for path in out.glob("training/checkpoints/step-*")), default=0)


def wait_for(out: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    while steps_saved(out) < step and process.poll() is None:
        time.sleep(0.05)


def test_ranks_end_with_the_same_bytes(tmp_path: Path) -> None:
    corpus, out, rng = write_corpus(tmp_path), tmp_path / "killed", random.Random(0)
    said = tmp_path / "said.txt"
    finished([*TORCHRUN, *words(corpus, tmp_path / "straight", 0.1)], said)
    command = [*TORCHRUN, *words(corpus, out, 0.1)]
    launcher = launched(command, said)
    for kill in range(KILLS):
        # The first two come while it trains, the others whenever they like.
        wait_for(out, 4 * (1 + kill) if kill < 2 else 0, launcher)
        time.sleep(rng.uniform(0, 6 if kill >= 2 else 0.5))
        if launcher.poll() is not None:
            break
        ranks = ranks_of(launcher)
        if kill % 2 == 0 and ranks:
            os.kill(rng.choice(ranks), signal.SIGKILL)
        else:
            launcher.kill()
            launcher.wait()
            launcher = launched(command, said)
    assert launcher.wait() == 0, said.read_text()
    assert weights(out) == weights(tmp_path / "straight")


def test_two_divided_ranks_one_and_two_again_see_the_rows_of_a_straight_run(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path), tmp_path / "changing"
    said = tmp_path / "said.txt"
    finished([sys.executable, *words(corpus, tmp_path / "straight", 0.0)], said)
    for launcher, until, more in (TORCHRUN, 8, ["--shard"]), ([sys.executable], 24, []):
        process = launched([*launcher, *words(corpus, out, 0.0), *more], said)
        wait_for(out, until, process)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait() != 0
        assert steps_saved(out) < STEPS
    finished([*TORCHRUN, *words(corpus, out, 0.0)], said)
    straight, changing = (
        [json.loads(line) for line in (folder / "training/metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "straight", out)
    )
    for one, other in zip(straight, changing, strict=True):
        assert (one["kind"], one["step"], one["tokens"]) == (other["kind"], other["step"], other["tokens"])
    losses = [[r["loss"] for r in records if r["kind"] == "train"] for records in (straight, changing)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_a_stop_of_the_launcher_saves_first(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path), tmp_path / "stopped"
    process = launched([*TORCHRUN, *words(corpus, out, 0.0)], said := tmp_path / "said.txt")
    wait_for(out, 4, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() != 0
    assert "stopped by" in said.read_text()
    journal = [json.loads(line) for line in (out / "training/metrics.jsonl").read_text().splitlines()]
    assert steps_saved(out) == max(record["step"] for record in journal)
