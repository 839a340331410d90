"""Serving beside plain FastAPI with the pipelines of `transformers`, and under four times what it can do.

    python bench/serve.py MODEL [--seconds 20] [--rounds 3] [--clients 32] [--overload-seconds 60]

The requests are texts of 8 to 256 tokens, every other one to be classified, the others to be embedded; a model without
a classifier gets one of random weights. Both sides are processes of their own with the same weights, in float32, and
take turns. Every answer is compared with its own request's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread

from bertsmith.benchmarks.infer_job import texts_of_vocabulary
from bertsmith.inference.predictor import load
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
    parser.add_argument("--overload-seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        job = make_job("classify", options.model, ["a text"], Path(home))
        questions = make_questions(job.folder)
        with running("ours", job.folder) as (ours, process), running("peer", job.folder) as (peer, _):
            side_by_side({"ours": ours, "peer": peer}, questions, options)
            if options.overload_seconds:
                overload(ours, process.pid, questions, options)


def make_questions(folder: str, count: int = 400) -> list[Question]:
    """Requests, with the beginnings of their answers."""
    predictor = load(folder)
    texts = texts_of_vocabulary(predictor.tokenizer, longest=predictor.max_length_tokens)[:count]
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
def running(side: str, folder: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A side's server, ready: its port and process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = {
        "ours": [sys.executable, "-m", "bertsmith", "serve", f"model={folder}", "--port", str(port)],
        "peer": [sys.executable, "-m", "serving.peer", folder, str(port)],
    }[side]
    process = subprocess.Popen(command, cwd=HERE, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for _ in range(START_S * 10):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        process.wait(timeout=60)


def side_by_side(ports: dict[str, int], questions: list[Question], options: argparse.Namespace) -> None:
    """Throughput of many clients and the time of one, in turn."""
    many: dict[str, list[Tally]] = {side: [] for side in ports}
    single: dict[str, list[Tally]] = {side: [] for side in ports}
    for port in ports.values():
        asyncio.run(closed_load(port, questions, clients=4, seconds=3))  # warm
    for _ in range(options.rounds):
        for side, port in ports.items():
            load = closed_load(port, questions, clients=options.clients, seconds=options.seconds)
            many[side].append(asyncio.run(load))
            single[side].append(asyncio.run(closed_load(port, questions[:20], clients=1, seconds=options.seconds / 4)))
    for side in ports:
        rates = [tally.goodput for tally in many[side]]
        statuses = sum((Counter(tally.statuses) for tally in many[side]), start=Counter[int]())
        print(
            f"{side}: {median(rates):.1f} right answers/s with {options.clients} clients "
            f"({', '.join(f'{rate:.1f}' for rate in rates)}), wrong {sum(t.wrong for t in many[side])}, "
            f"lost {sum(t.lost for t in many[side])}, statuses {dict(statuses)}; "
            f"p50 of one client {median(t.percentile(0.5) for t in single[side]) * 1000:.1f} ms"
        )
    ours, peer = (median(tally.goodput for tally in many[side]) for side in ("ours", "peer"))
    print(f"ratio {ours / peer:.2f}")


def overload(port: int, pid: int, questions: list[Question], options: argparse.Namespace) -> None:
    """The peak, then four times as many requests a second."""
    peak = asyncio.run(closed_load(port, questions, clients=64, seconds=options.seconds))
    with memory_of(pid) as megabytes:
        rate = OVERLOAD * peak.goodput
        tally = asyncio.run(open_load(port, questions, rate=rate, seconds=options.overload_seconds))
    print(
        f"overload: peak {peak.goodput:.1f}/s; {rate:.0f} requests/s for {options.overload_seconds:g} s: "
        f"{tally.goodput:.1f} right answers/s ({tally.goodput / peak.goodput:.0%}), "
        f"statuses {dict(tally.statuses)}, "
        f"wrong {tally.wrong}, lost {tally.lost}, p50 {tally.percentile(0.5):.2f} s, "
        f"p99 {tally.percentile(0.99):.2f} s; "
        f"memory {megabytes[0]} MB at first, {max(megabytes)} at most, {megabytes[-1]} at last"
    )


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
