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
from collections import Counter
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


class Killed:
    """Runs of two ranks, one after the other, of which ranks and launchers are killed.

    Args:
        folder: of the runs.
        corpus: raw text.
        life_s: about how long a run takes.
    """

    def __init__(self, folder: Path, corpus: Path, *, life_s: float) -> None:
        self.folder, self.corpus, self.life_s = folder, corpus, life_s
        self.said = folder / "said.txt"
        self.rng = random.Random(0)
        self.victims = Counter[str]()
        self.outs: list[Path] = []
        self._begin()

    def kill(self) -> None:
        """A rank or the launcher, at a random moment; where a run has come to its end by then, one of the next run."""
        while self._ended_within(self.rng.uniform(0, self.life_s)):
            self._begin()
        ranks = ranks_of(self.launcher)
        if ranks and self.rng.random() < 0.5:
            os.kill(self.rng.choice(ranks), signal.SIGKILL)
            self.victims["ranks"] += 1
            return
        self.launcher.kill()
        self.launcher.wait()
        self.victims["launchers"] += 1
        self._launch()

    def finish(self) -> None:
        """Let the last run come to its end."""
        assert self.launcher.wait() == 0, self.said.read_text()

    def _begin(self) -> None:
        self.outs.append(self.folder / f"killed-{len(self.outs)}")
        self._launch()

    def _launch(self) -> None:
        self.launcher = launched([*TORCHRUN, *words(self.corpus, self.outs[-1], 0.1)], self.said)

    def _ended_within(self, seconds: float) -> bool:
        try:
            assert self.launcher.wait(seconds) == 0, self.said.read_text()
        except subprocess.TimeoutExpired:
            return False
        return True


def test_ranks_end_with_the_same_bytes(tmp_path: Path) -> None:
    corpus, straight = write_corpus(tmp_path), tmp_path / "straight"
    started = time.monotonic()
    finished([*TORCHRUN, *words(corpus, straight, 0.1)], tmp_path / "said.txt")
    killed = Killed(tmp_path, corpus, life_s=time.monotonic() - started)
    for _ in range(KILLS):
        killed.kill()
    killed.finish()
    print(f"{KILLS} kills: {dict(killed.victims)}; {len(killed.outs)} run(s), a straight one {killed.life_s:.0f} s")
    for out in killed.outs:
        assert weights(out) == weights(straight)


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
