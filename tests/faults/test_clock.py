"""A clock on the wall that jumps by years, both ways, ten times a second: runs do not look at it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faults.commands import small_run
from training.runs import run, weights, write_corpus

LONG = "BERTSMITH_KILLS" in os.environ
# What asks the system for the time of day goes through one of these three.
CLOCK = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void now(clockid_t id, struct timespec *at) { syscall(SYS_clock_gettime, id, at); }

int clock_gettime(clockid_t id, struct timespec *at) {
    struct timespec steady;
    now(id, at);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        now(CLOCK_MONOTONIC, &steady);
        at->tv_sec += (steady.tv_nsec / 100000000) % 2 ? 100000000 : -100000000;
    }
    return 0;
}

time_t time(time_t *kept) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (kept) *kept = at.tv_sec;
    return at.tv_sec;
}

int gettimeofday(struct timeval *restrict kept, void *restrict zone) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    kept->tv_sec = at.tv_sec;
    kept->tv_usec = at.tv_nsec / 1000;
    return 0;
}
"""


@pytest.fixture
def jumping(tmp_path: Path) -> dict[str, str]:
    """An environment whose processes see the clock jump."""
    (tmp_path / "clock.c").write_text(CLOCK)
    library = tmp_path / "clock.so"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "clock.c"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no C compiler here, which makes the clock that jumps")
    environment = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
    look = "import time\nfor _ in range(30): print(time.time()); time.sleep(0.01)"
    shown = subprocess.run([sys.executable, "-c", look], env=environment, check=True, capture_output=True, text=True)
    seen = [float(line) for line in shown.stdout.splitlines()]
    if not (min(seen) < time.time() - 9e7 and max(seen) > time.time() + 9e7):
        pytest.skip("the system does not let a library stand in for its clock")
    return environment


def test_preparing_and_training_end_with_the_same_bytes(tmp_path: Path, jumping: dict[str, str]) -> None:
    corpus = write_corpus(tmp_path)
    run(corpus, tmp_path / "straight")
    command = [sys.executable, *small_run(corpus, tmp_path / "jumping")]
    subprocess.run(command, env=jumping, check=True, capture_output=True)
    assert weights(tmp_path / "jumping") == weights(tmp_path / "straight")
    for shard in (tmp_path / "straight/training/corpus").glob("*.arrow"):
        assert (tmp_path / "jumping/training/corpus" / shard.name).read_bytes() == shard.read_bytes()


def test_a_budget_of_minutes_is_of_minutes_that_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: 1.7e9 + (1e8 if next(jumps) % 2 else -1e8))
    result = run(write_corpus(tmp_path), tmp_path / "run", steps=None, minutes=0.05)
    assert 3 <= result.seconds < 1000
    assert result.steps > 1


@pytest.mark.skipif(not LONG, reason="a long fault run: make faults")
def test_ranks_end_with_the_same_bytes(tmp_path: Path, jumping: dict[str, str]) -> None:
    corpus = write_corpus(tmp_path)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    for name, environment in (("straight", os.environ), ("jumping", jumping)):
        command = [*launcher, *small_run(corpus, tmp_path / name)]
        subprocess.run(command, env={**environment, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
    assert weights(tmp_path / "jumping") == weights(tmp_path / "straight")
