"""One side of the prediction measurement in a process of its own, which answers texts when it is asked to.

`python -m bertsmith.benchmarks.infer_side SIDE JOB PRECISION` is a worker of `data.workers`. SIDE is "ours" or
"transformers", JOB a file that `infer_job` wrote, PRECISION ours. Its jobs:

    {"do": "texts", "count": 100}  ->  {"seconds"}: a list of one, for the first so many texts in their order
    {"do": "short"}                ->  {"seconds"}: of each of many calls with the short text alone
    {"do": "limits"}               ->  FLOP/s of the best matrix product in each format
    {"do": "state"}                ->  {"memory_bytes", "precision", "threads"}
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bertsmith.benchmarks import infer_job
from bertsmith.benchmarks.infer_job import What
from bertsmith.benchmarks.limit import matmul_limits
from bertsmith.benchmarks.machine import peak_memory_bytes
from bertsmith.config import PredictionPrecision
from bertsmith.data.workers import Job, serve_jobs
from bertsmith.inference.predictor import Predictor, load
from bertsmith.model.device import choose_device

OURS, PEER = "ours", "transformers"
SHORT_WARM, SHORT_LEAST, SHORT_MOST = 3, 10, 100  # calls with the short text

Run = Callable[[list[str]], Any]
"""Texts -> (E, D) vectors, (E, O) probabilities, (E,) scores, (E,) ids of the likeliest fills, or E taggings."""


def our_run(predictor: Predictor, what: What) -> Run:
    """What a predictor does with texts."""
    runs: dict[What, Run] = {
        "embed": predictor.embed,
        "fill": lambda texts: np.array([masks[0][0].token_id for masks in predictor.fill_texts(texts)]),
        "classify": lambda texts: np.array([list(each.probabilities.values()) for each in predictor.classify(texts)]),
        "regress": lambda texts: np.array(predictor.rate(texts)),
        "tag": predictor.tag,
    }
    return runs[what]


class Took(NamedTuple):
    """A result, and the seconds of wall-clock and of processor time that it took."""

    result: Any
    wall_s: float
    cpu_s: float


def timed(work: Callable[[], Any]) -> Took:
    """Do it, with a watch."""
    started, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Took(result, time.perf_counter() - started, time.process_time() - cpu)


def timed_often(work: Callable[[], Any], *, most: int, seconds: float) -> list[Took]:
    """The same call again and again, warm: until there are `most`, or the time is up and there are a few."""
    for _ in range(SHORT_WARM):
        work()
    ends, times = time.perf_counter() + seconds, list[Took]()
    while len(times) < most and (len(times) < SHORT_LEAST or time.perf_counter() < ends):
        times.append(timed(work))
    return times


@dataclass(frozen=True)
class Side:
    """Somebody's prediction; `precision` is that of its products."""

    run: Run
    precision: str


def build_side(name: str, job: infer_job.Job, precision: PredictionPrecision) -> Side:
    """The side of a name; a peer's library is loaded here."""
    if name == OURS:
        predictor = load(job.folder, precision=precision)
        return Side(our_run(predictor, job.what), predictor.precision)
    from bertsmith.benchmarks.infer_peer import peer_run

    return Side(peer_run(job.what, job.folder), "float32")


def main() -> None:
    """Answer jobs until there are no more."""
    name, job, precision = sys.argv[1], infer_job.Job.read(Path(sys.argv[2])), sys.argv[3]
    warnings.simplefilter("ignore")
    sides: list[Side] = []

    def handle(asked: Job) -> Any:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for answers
            if asked["do"] == "limits":
                return matmul_limits(choose_device())
            if not sides:
                sides.append(build_side(name, job, precision))  # type: ignore[arg-type]
            run = sides[0].run
            if asked["do"] == "state":
                return _state(sides[0])
            if asked["do"] == "short":
                times = timed_often(lambda: run([job.short]), most=SHORT_MOST, seconds=1.0)
            else:
                times = [timed(lambda: run(job.texts[: asked["count"]]))]
            return {"seconds": [each.wall_s for each in times]}

    serve_jobs(handle)


def _state(side: Side) -> dict[str, Any]:
    threads = torch.get_num_threads()
    return {"memory_bytes": peak_memory_bytes(choose_device()), "precision": side.precision, "threads": threads}


if __name__ == "__main__":
    main()
