"""Serving beside plain FastAPI with the pipelines of `transformers`, and under four times what it can do.

    python bench/serve.py MODEL [--seconds 20] [--rounds 3] [--clients 32] [--longest 256]

The requests are texts of 8 to --longest tokens, every other one to be classified, the others to be embedded; a model
without a classifier gets one of random weights. Both sides are processes of their own with the same weights, and take
turns; --precision is ours, the peer computes in float32. Every answer is compared with its own request's. The overload
is made by clients of our own, and by wrk where it is installed (Debian: wrk).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from statistics import median
from threading import Event, Thread

from bertsmith.benchmarks.infer_job import texts_of_vocabulary
from bertsmith.inference.predictor import load
from bertsmith.serve_config import ServeConfig
from prediction.inputs import make_job
from serving.client import Question, Tally, closed_load, open_load

HERE = Path(__file__).parent
START_S = 120
OVERLOAD = 4


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--longest", type=int, default=256)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--overload-seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        job = make_job("classify", options.model, ["a text"], Path(home))
        questions = make_questions(job.folder, options.longest)
        with running("ours", job.folder, options.precision) as ours:
            with running("peer", job.folder) as peer:
                side_by_side({"ours": ours, "peer": peer}, questions, options)
            if options.overload_seconds:
                overload(ours, questions, options)


def make_questions(folder: str, longest: int, count: int = 400) -> list[Question]:
    """Requests, with the beginnings of their answers."""
    predictor = load(folder)
    texts = texts_of_vocabulary(predictor.tokenizer, longest=longest)[:count]
    vectors, classes = predictor.embed(texts), predictor.classify(texts)
    questions = []
    for index, text in enumerate(texts):
        if index % 2:
            shares = classes[index].probabilities
            path, numbers = "/v1/classify", [shares[label] for label in sorted(shares)]
        else:
            path, numbers = "/v1/embed", vectors[index, :8].tolist()
        questions.append(Question(path, json.dumps({"text": text}).encode(), tuple(numbers)))
    return questions


@contextmanager
def running(name: str, folder: str, precision: str = "float32") -> Iterator[Side]:
    """A side's server, ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = {
        "ours": ["-m", "bertsmith", "serve", f"model={folder}", "--precision", precision, "--port", str(port)],
        "peer": ["-m", "serving.peer", folder, str(port)],
    }[name]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=HERE, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        wait_for(process, port, f"{name}: python {' '.join(command)}")
        yield Side(port, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for(process: subprocess.Popen[bytes], port: int, said: str) -> None:
    """Until a server answers; the measurement ends where it has ended, or is silent for START_S."""
    ends = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < ends:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{said}: no server came of it (status {process.poll()}). Run it by itself in {HERE} to see why.")


@dataclass
class Side:
    """A side's server, and what was measured of it."""

    port: int
    pid: int
    many: list[Tally] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    single: list[Tally] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Right answers a second, the median."""
        return median(tally.goodput for tally in self.many)

    @property
    def cpu_rate(self) -> float:
        """Answers a second of the server's processor time, which other work on the machine does not change."""
        return median(sum(t.statuses.values()) / cpu_s for t, cpu_s in zip(self.many, self.cpu_s, strict=True))

    def measure(self, questions: list[Question], options: argparse.Namespace) -> None:
        """One round."""
        before = _processor_s(self.pid)
        load = closed_load(self.port, questions, clients=options.clients, seconds=options.seconds)
        self.many.append(asyncio.run(load))
        self.cpu_s.append(_processor_s(self.pid) - before)
        alone = closed_load(self.port, questions[:20], clients=1, seconds=options.seconds / 4)
        self.single.append(asyncio.run(alone))

    def __str__(self) -> str:
        rates = ", ".join(f"{tally.goodput:.1f}" for tally in self.many)
        p50 = median(tally.percentile(0.5) for tally in self.single) * 1000
        statuses = sum((tally.statuses for tally in self.many), start=Counter())
        return (
            f"{self.rate:.1f} right answers/s ({rates}), {self.cpu_rate:.1f} a second of processor time; "
            f"p50 of one client {p50:.1f} ms; statuses {dict(statuses)}, "
            f"wrong {sum(tally.wrong for tally in self.many)}, lost {sum(tally.lost for tally in self.many)}"
        )


def side_by_side(sides: dict[str, Side], questions: list[Question], options: argparse.Namespace) -> None:
    """Throughput of many clients and the time of one, in turn."""
    for side in sides.values():
        asyncio.run(closed_load(side.port, questions, clients=4, seconds=3))  # warm
    for _ in range(options.rounds):
        for side in sides.values():
            side.measure(questions, options)
    for name, side in sides.items():
        print(f"{name}: {side}")
    ours, peer = sides.values()
    print(f"ratio {ours.rate / peer.rate:.2f}, by processor time {ours.cpu_rate / peer.cpu_rate:.2f}")


def overload(ours: Side, questions: list[Question], options: argparse.Namespace) -> None:
    """The peak, then four times as many requests a second: from clients of our own, and from wrk."""
    peak = asyncio.run(closed_load(ours.port, questions, clients=64, seconds=options.seconds)).goodput
    seconds = options.overload_seconds
    print(f"overload: peak {peak:.1f} right answers/s, then {OVERLOAD * peak:.0f} requests/s for {seconds:g} s")
    with memory_of(ours.pid) as megabytes:
        tally = asyncio.run(open_load(ours.port, questions, rate=OVERLOAD * peak, seconds=seconds))
    print(
        f"own clients: {tally.goodput:.1f} right answers/s ({tally.goodput / peak:.0%}), "
        f"statuses {dict(tally.statuses)}, wrong {tally.wrong}, lost {tally.lost} {dict(tally.losses)}, "
        f"p50 {tally.percentile(0.5):.2f} s, p99 {tally.percentile(0.99):.2f} s; {_tenths(megabytes)}"
    )
    if which("wrk"):
        with memory_of(ours.pid) as megabytes:
            counts = by_wrk(ours.port, questions, peak=peak, seconds=seconds)
        goodput = counts["good"] / counts["seconds"]
        print(f"wrk: {goodput:.1f} right answers/s ({goodput / peak:.0%}), {counts}; {_tenths(megabytes)}")
    else:
        print("wrk is not installed, and was not asked")


def by_wrk(port: int, questions: list[Question], *, peak: float, seconds: float) -> dict[str, float]:
    """What wrk's clients got: twice as many as may wait, so half are refused and ask again, at three times the peak."""
    waiting = ServeConfig.model_fields["queue"].default
    pause_ms = 1000 * waiting / ((OVERLOAD - 1) * peak)
    rows = [
        f"{question.path}\t{question.body.decode()}\t{' '.join(map(str, question.expected))}\n"
        for question in questions
    ]
    with tempfile.TemporaryDirectory() as home:
        asked = Path(home) / "questions.tsv"
        asked.write_text("".join(rows), encoding="utf-8")
        clients = str(2 * waiting)
        command = ["wrk", "-t", clients, "-c", clients, "-d", f"{seconds:.0f}s", "--timeout", "60s"]
        script = ["-s", str(HERE / "serving" / "overload.lua"), f"http://127.0.0.1:{port}"]
        told = subprocess.run(
            [*command, *script, "--", str(asked), f"{pause_ms:.0f}"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    counts: dict[str, float] = json.loads(told.strip().splitlines()[-1])
    return counts


def _tenths(megabytes: list[int]) -> str:
    return f"memory in MB, ten times on the way: {megabytes[:: max(1, len(megabytes) // 10)]}"


def _processor_s(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def memory_of(pid: int) -> Iterator[list[int]]:
    """Resident megabytes, twice a second."""
    samples, over = [_resident(pid)], Event()

    def watch() -> None:
        while not over.wait(0.5):
            samples.append(_resident(pid))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
