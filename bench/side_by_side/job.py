"""One fine-tuning of one side: what it is told, and what it tells; both are JSON files between two processes."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """What a side does.

    Attributes:
        kind: "classify", "regress", "tag" or "answer".
        train, dev: files of `sets.write`.
        model: the folder to begin with.
        variant: the precision: "auto" of ours; "float32" or "bfloat16" of the peer, with options after a plus, such as
            "bfloat16+grouped".
        outcome: the file to write.
        max_length_tokens: of a window of ours, and where the peer truncates; the model's own length if None.
    """

    kind: str
    train: str
    dev: str
    model: str
    variant: str
    seed: int
    epochs: float
    batch_size: int
    learning_rate: float
    outcome: str
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    max_length_tokens: int | None = None


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        answers: to the development examples, in their order: a label, a number, tags, or a text.
        seconds: of "read" (files -> tokens of both sets), "train" (tokens -> trained model), "predict".
        train_cpu_s: processor time of the training, of all threads.
        tokens: trained on, no padding, over all epochs.
        precision: of the products.
        memory_mb: the most that the process held.
    """

    answers: list[Any] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    train_cpu_s: float = 0.0
    tokens: int = 0
    precision: str = ""
    memory_mb: float = 0.0

    def timed(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a part of the job and note how long it took."""
        started, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.seconds[name] = time.perf_counter() - started
        if name == "train":
            self.train_cpu_s = time.process_time() - cpu
        return result


def child(run: Callable[[Job], Outcome]) -> None:
    """The whole of a side's process: a job's file in `argv`, its outcome written where the job says."""
    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    outcome = run(job)
    outcome.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    Path(job.outcome).write_text(json.dumps(asdict(outcome)), encoding="utf-8")
