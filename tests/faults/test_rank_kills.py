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
import pytest

from training.runs import weights, write_corpus

KILLS = int(os.environ.get("BERTSMITH_KILLS", "2"))
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1000"]
STEPS, SAVED_EVERY = 60, 4
# What a cluster leaves between SIGTERM and the end; a machine that runs all tests at once is given longer.
GRACE_S = 30 if "BERTSMITH_KILLS" in os.environ else 300


def words(corpus: Path, out: Path, dropout: float) -> list[str]:
    shape = "pretrain --size tiny --batch-size 8 --max-length-tokens 32 --evaluation-rows 8 --vocab-size 200"
    options = (
        f"--steps {STEPS} --checkpoint-every-steps {SAVED_EVERY} --precision float32 --dropout {dropout} --workers 1"
    )
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
        more: words of the command.
    """

    def __init__(self, folder: Path, corpus: Path, *more: str, life_s: float) -> None:
        self.folder, self.corpus, self.more, self.life_s = folder, corpus, more, life_s
        self.said = folder / "said.txt"
        self.rng = random.Random(0)
        self.victims = Counter[str]()
        self.saved, self._saved_before = 0, 0  # kills before which something new was saved
        self.outs: list[Path] = []
        self._begin()

    def kill(self) -> None:
        """A rank and the launcher by turns, at a random moment; where a run has ended by then, one of the next run."""
        victim = ("rank", "launcher")[self.victims.total() % 2]
        while not self._lives_on() or (victim == "rank" and not self._has_ranks()):
            self._begin()
        self.saved += steps_saved(self.outs[-1]) > self._saved_before
        self._saved_before = steps_saved(self.outs[-1])
        self.victims[victim] += 1
        if victim == "rank":
            os.kill(self.rng.choice(ranks_of(self.launcher)), signal.SIGKILL)
            return
        self.launcher.kill()
        self.launcher.wait()
        self._launch()

    def finish(self) -> None:
        """Let the last run come to its end."""
        assert self.launcher.wait() == 0, self.said.read_text()

    def _lives_on(self) -> bool:
        """Until a random moment: of the next start, however slow the machine, or after one or two more checkpoints."""
        more = self.rng.randrange(3)
        while steps_saved(self.outs[-1]) < self._saved_before + SAVED_EVERY * more:
            if self._ended_within(0.02):
                return False
        return not self._ended_within(self.rng.uniform(0, self.life_s if not more else self.life_s / STEPS))

    def _has_ranks(self) -> bool:
        """Once the launcher has begun them."""
        while not ranks_of(self.launcher):
            if self._ended_within(0.05):
                return False
        return True

    def _begin(self) -> None:
        self._saved_before = 0
        self.outs.append(self.folder / f"killed-{len(self.outs)}")
        self._launch()

    def _launch(self) -> None:
        self.launcher = launched([*TORCHRUN, *words(self.corpus, self.outs[-1], 0.1), *self.more], self.said)

    def _ended_within(self, seconds: float) -> bool:
        try:
            assert self.launcher.wait(seconds) == 0, self.said.read_text()
        except subprocess.TimeoutExpired:
            return False
        return True


@pytest.mark.parametrize(("kills", "more"), [(KILLS, []), (KILLS // 5, ["--shard"])], ids=["whole", "divided"])
def test_ranks_end_with_the_same_bytes(tmp_path: Path, kills: int, more: list[str]) -> None:
    if not kills:
        pytest.skip("a long fault run: make faults")
    corpus, straight = write_corpus(tmp_path), tmp_path / "straight"
    started = time.monotonic()
    finished([*TORCHRUN, *words(corpus, straight, 0.1), *more], tmp_path / "said.txt")
    life_s = time.monotonic() - started
    killed = Killed(tmp_path, corpus, *more, life_s=life_s)
    for _ in range(kills):
        killed.kill()
    killed.finish()
    victims = f"{kills} kills: {dict(killed.victims)}, {killed.saved} after something new was saved"
    print(f"{victims}; {len(killed.outs)} run(s), of {killed.life_s:.0f} s if none is killed")
    said = killed.said.read_text()
    assert "Traceback" not in said, said[said.index("Traceback") :]
    for out in killed.outs:
        assert weights(out) == weights(straight)


def telling(words: list[str], told: Path) -> list[str]:
    """The same words to `rows_told.py`, which writes to a file what rows each step of each rank was fed."""
    return [str(Path(__file__).with_name("rows_told.py")), str(told), *words[2:]]


def rows_of_steps(told: Path, ranks: int) -> dict[int, list[str]]:
    """Of each step that all ranks took the rows of the global batch, in their order."""
    steps: dict[int, dict[int, list[str]]] = {}
    for line in map(json.loads, told.read_text().splitlines()):
        steps.setdefault(line["step"], {})[line["rank"]] = line["rows"]
    return {step: [row for rank in sorted(of) for row in of[rank]] for step, of in steps.items() if len(of) == ranks}


def test_two_divided_ranks_one_and_two_again_see_the_rows_of_a_straight_run(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path), tmp_path / "changing"
    said, told = tmp_path / "said.txt", tmp_path / "straight.jsonl"
    finished([sys.executable, *telling(words(corpus, tmp_path / "straight", 0.0), told)], said)
    straight_rows, rows = rows_of_steps(told, 1), {}
    assert len({row for step in straight_rows.values() for row in step}) == STEPS * 8  # no two rows are alike
    for ranks, until, more in (2, 8, ["--shard"]), (1, 24, []), (2, STEPS, ["--shard"]):
        told = tmp_path / f"until-{until}.jsonl"
        launcher = TORCHRUN if ranks == 2 else [sys.executable]
        process = launched([*launcher, *telling([*words(corpus, out, 0.0), *more], told)], said)
        if until < STEPS:
            wait_for(out, until, process)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
        assert (process.wait() == 0) == (until == STEPS), said.read_text()
        of_ranks = rows_of_steps(told, ranks)
        assert min(of_ranks) == max(rows, default=0) + 1  # it was saved where it was stopped
        rows |= of_ranks
        assert (len(rows) == STEPS) == (until == STEPS)
    assert rows == straight_rows  # the same ones in the same order
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
    assert process.wait(GRACE_S) != 0
    assert "stopped by" in said.read_text()
    journal = [json.loads(line) for line in (out / "training/metrics.jsonl").read_text().splitlines()]
    assert steps_saved(out) == max(record["step"] for record in journal)
