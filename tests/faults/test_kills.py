"""Processes killed at random moments, then the same command: the end is that of the run that was never stopped.

A few kills in `make test`; `make faults` sets BERTSMITH_KILLS for many, of which a fifth are here, in each test.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from data.corpora import raw_text
from training.runs import weights, write_corpus

KILLS = int(os.environ.get("BERTSMITH_KILLS", "10")) // 5
# What a cluster leaves between SIGTERM and the end; a machine that runs all tests at once is given longer.
GRACE_S = 30 if "BERTSMITH_KILLS" in os.environ else 300
BERTSMITH = [sys.executable, "-m", "bertsmith"]


def pretraining(corpus: Path, out: Path) -> list[str]:
    words = "pretrain --size tiny --steps 60 --batch-size 8 --max-length-tokens 32 --evaluation-rows 8 --dropout 0.1"
    options = "--checkpoint-every-steps 4 --precision float32 --vocab-size 200 --workers 1 --held-out-share 0.1"
    return [*BERTSMITH, *words.split(), *options.split(), str(corpus), "--out", str(out)]


def preparing(corpus: Path, out: Path, *cleaning: str) -> list[str]:
    words = "--vocab-size 500 --workers 2 --shard-tokens 100000"
    return [*BERTSMITH, "prepare", *words.split(), *cleaning, str(corpus), "--out", str(out)]


def shards(out: Path) -> dict[str, bytes]:
    """Every shard of a prepared corpus."""
    return {path.name: path.read_bytes() for path in out.glob("*.arrow")}


def lifetime(command: list[str]) -> float:
    """Run a command to its end; the seconds it took."""
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - started


def kill_at_random(command: list[str], out: Path, seconds: float, *, how: signal.Signals, seed: int) -> None:
    """Start a command and kill it after a random part of its life, again and again, at least once alive; a signal
    that asks it to end must find it ended within the time that clusters leave."""
    rng = random.Random(seed)
    hits = 0
    for _ in range(KILLS):
        hits += kill_after(command, rng.uniform(0.2, 0.8) * seconds, how)
    while not hits:  # the machine was slower when the command's life was measured
        shutil.rmtree(out)
        seconds /= 2
        hits += kill_after(command, 0.5 * seconds, how)


def kill_after(command: list[str], seconds: float, how: signal.Signals) -> bool:
    """Whether the command was still alive when it was killed; it must not have shown a traceback."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(seconds)
    alive = process.poll() is None
    process.send_signal(how)
    _, errors = process.communicate(timeout=GRACE_S)
    assert b"Traceback" not in errors, errors.decode()
    return alive


@dataclass(frozen=True)
class Straight:
    """A command that was never stopped: what it was given, what it made, how long it took."""

    corpus: Path
    out: Path
    seconds: float


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Straight:
    folder = tmp_path_factory.mktemp("pretrained")
    corpus, out = write_corpus(folder), folder / "straight"
    return Straight(corpus, out, lifetime(pretraining(corpus, out)))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(raw_text(0, documents=40_000))
    return path


@pytest.fixture(scope="module")
def prepared(text: Path) -> Straight:
    out = text.parent / "straight"
    return Straight(text, out, lifetime(preparing(text, out)))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_pretraining_ends_with_the_same_bytes(pretrained: Straight, tmp_path: Path, how: signal.Signals) -> None:
    killed = pretraining(pretrained.corpus, tmp_path / "killed")
    kill_at_random(killed, tmp_path / "killed", pretrained.seconds, how=how, seed=how)
    subprocess.run(killed, check=True, capture_output=True)
    assert weights(tmp_path / "killed") == weights(pretrained.out)


def test_preparing_ends_with_the_same_bytes(prepared: Straight, tmp_path: Path) -> None:
    prepare_with_kills(prepared, tmp_path / "killed")


def test_preparing_with_cleaning_ends_with_the_same_bytes(tmp_path: Path) -> None:
    cleaning = ["--drop-boilerplate-lines", "2", "--drop-duplicates", "near", "--near-duplicate-share", "0.9"]
    corpus = tmp_path / "text.txt"
    corpus.write_text(raw_text(0, documents=20_000))  # which take twice as long
    seconds = lifetime(preparing(corpus, tmp_path / "straight", *cleaning))
    prepare_with_kills(Straight(corpus, tmp_path / "straight", seconds), tmp_path / "killed", *cleaning)


def prepare_with_kills(straight: Straight, out: Path, *cleaning: str) -> None:
    killed = preparing(straight.corpus, out, *cleaning)
    kill_at_random(killed, out, straight.seconds, how=signal.SIGKILL, seed=0)
    subprocess.run(killed, check=True, capture_output=True)
    assert shards(out) == shards(straight.out) != {}


def test_a_killed_worker_is_said_and_the_next_try_ends(prepared: Straight, tmp_path: Path) -> None:
    command = preparing(prepared.corpus, tmp_path / "out")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    worker = None
    while worker is None and process.poll() is None:
        found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        worker = next((int(pid) for pid in found.stdout.split()), None)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert b"a worker process ended" in errors
    subprocess.run(command, check=True, capture_output=True)
    assert shards(tmp_path / "out") == shards(prepared.out)
