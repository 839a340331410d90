"""Fine-tuning killed at random, alone and as one of two ranks: the end is that of the run that was never stopped."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from faults.test_kills import kill_at_random, lifetime
from faults.test_rank_kills import TORCHRUN, finished, launched, ranks_of, wait_for
from training.runs import weights

LONG = "BERTSMITH_KILLS" in os.environ


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Labelled examples of 2 to 20 words."""
    rng = random.Random(0)
    rows = [f"{' '.join(rng.choices('abcdefgh', k=rng.randint(2, 20)))},{rng.choice('xy')}" for _ in range(160)]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(["text,label", *rows]))
    return path


def words(bert: Path, table: Path, out: Path) -> list[str]:
    shape = "finetune classify --batch-size 4 --epochs 8 --dropout 0.1 --precision float32 --checkpoint-every-steps 4"
    return ["-m", "bertsmith", *shape.split(), "--model", str(bert), "--train", str(table), "--out", str(out)]


def test_fine_tuning_ends_with_the_same_bytes(tiny_bert: Path, table: Path, tmp_path: Path) -> None:
    straight, killed = ([sys.executable, *words(tiny_bert, table, tmp_path / name)] for name in ("straight", "killed"))
    seconds = lifetime(straight)
    kill_at_random(killed, tmp_path / "killed", seconds, how=signal.SIGKILL, seed=0)
    lifetime(killed)
    assert weights(tmp_path / "killed") == weights(tmp_path / "straight")


@pytest.mark.skipif(not LONG, reason="a long fault run: make faults")
def test_a_rank_that_is_killed_while_fine_tuning(tiny_bert: Path, table: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "killed", tmp_path / "said.txt"
    finished([*TORCHRUN, *words(tiny_bert, table, tmp_path / "straight")], said)
    launcher = launched([*TORCHRUN, *words(tiny_bert, table, out)], said)
    for step in (4, 80, 160):  # of 288
        wait_for(out, step, launcher)
        ranks = ranks_of(launcher)
        assert len(ranks) == 2
        os.kill(ranks[step == 80], signal.SIGKILL)
        while set(ranks) & set(ranks_of(launcher)):
            time.sleep(0.05)
    assert launcher.wait() == 0, said.read_text()
    assert weights(out) == weights(tmp_path / "straight")
