"""From a kill to the first step after it: the same command begun again, and torchrun's ranks of which one is killed.

    python bench/restart.py [--runs 3] [--size tiny]

A run that saves every five steps is killed (`kill -9`) once it has saved, three ways: alone, then begun again by the
same command; one of two ranks, which torchrun begins again; and torchrun itself, which is begun again at once, while
its ranks save and end. Told are the seconds until the journal has the first step after the checkpoint, and beside them
what a process takes to import torch and to read the checkpoint, without which nothing can begin.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bertsmith.training.checkpoints import list_checkpoints, load_checkpoint

Process = subprocess.Popen[bytes]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "100"]
RUN = "--batch-size 8 --max-length-tokens 32 --evaluation-rows 8 --vocab-size 200 --steps 100000 --precision float32"
SAVING = "--checkpoint-every-steps 5 --workers 1 --held-out-share 0.1"


def write_text(path: Path) -> Path:
    """Documents of a few words."""
    rng = random.Random(0)
    known = ["".join(rng.choices("abcdefghij", k=rng.randint(2, 6))) for _ in range(200)]
    path.write_text("\n\n".join(". ".join(" ".join(rng.choices(known, k=9)) for _ in range(4)) for _ in range(300)))
    return path


def begin(words: list[str]) -> Process:
    """A process that says nothing, in a group of its own with those that it starts."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )


def until(found: Callable[[], bool], process: Process) -> None:
    """Look every 10 ms."""
    while not found():
        if process.poll() is not None:
            raise SystemExit(f"the run ended by itself, with status {process.returncode}")
        time.sleep(0.01)


def last_step(journal: Path) -> int:
    """The last that the journal has a whole line of."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    steps = [json.loads(line)["step"] for line in lines if line.endswith("}")]
    return max(steps, default=0)


def seconds_of(kill: Callable[[Process], Process], words: list[str], out: Path) -> float:
    """From a kill to the first step of the processes that come after."""
    journal = out / "training/metrics.jsonl"
    process = begin(words)
    try:
        saved = last_step(journal) + 10
        until(lambda: last_step(journal) > saved and bool(list_checkpoints(out / "training/checkpoints")), process)
        killed = time.monotonic()
        process = kill(process)
        # Going on rewinds the journal to the checkpoint, in a new file.
        old = journal.stat().st_ino
        until(lambda: journal.stat().st_ino != old, process)
        rewound = last_step(journal)
        until(lambda: last_step(journal) > rewound, process)
        return time.monotonic() - killed
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def kill_and_begin(words: list[str]) -> Callable[[Process], Process]:
    """The same command again, at once."""

    def again(process: Process) -> Process:
        process.kill()
        process.wait()
        return begin(words)

    return again


def kill_a_rank(launcher: Process) -> Process:
    """One of those that torchrun has begun."""
    ranks = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    os.kill(int(ranks[-1]), signal.SIGKILL)
    return launcher


def seconds_alone(code: str) -> float:
    """Of a process that does only this."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.monotonic() - started


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", default="tiny")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        text = write_text(home / "text.txt")

        def words(out: Path) -> list[str]:
            return [
                "-m",
                "bertsmith",
                "pretrain",
                "--size",
                options.size,
                *RUN.split(),
                *SAVING.split(),
                str(text),
                "--out",
                str(out),
            ]

        alone, ranks = words(home / "alone"), [*TORCHRUN, *words(home / "ranks")]
        ways = {
            "alone, the same command again": (kill_and_begin(alone), alone, home / "alone"),
            "a rank of two, torchrun begins both again": (kill_a_rank, ranks, home / "ranks"),
            "torchrun, the same command again": (kill_and_begin(ranks), ranks, home / "ranks"),
        }
        print(f"{options.size}, {options.runs} runs, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        for name, (kill, command, out) in ways.items():
            took = sorted(seconds_of(kill, command, out) for _ in range(options.runs))
            print(f"{name}: {median(took):.1f} s ({took[0]:.1f} … {took[-1]:.1f})")
        imports = median(seconds_alone("import torch") for _ in range(options.runs))
        started = time.monotonic()
        load_checkpoint(list_checkpoints(home / "alone/training/checkpoints")[-1])
        print(f"import torch: {imports:.1f} s; the checkpoint read and looked at: {time.monotonic() - started:.2f} s")


if __name__ == "__main__":
    main()
