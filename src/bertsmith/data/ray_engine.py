"""Work on units by a Ray cluster: tasks, which Ray gives to another worker when one is lost.

Documents go out and Arrow bytes come back as plain bytes; the machine that began it all reads the text and writes
the files, so that the others need no disk that they share, only the same bertsmith.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from bertsmith import errors
from bertsmith.data.engines import Handle, Work
from bertsmith.data.workers import Job
from bertsmith.errors import BertsmithError, ConfigError
from bertsmith.files import atomic_path

RETRIES = 3  # of a unit whose worker is lost
Failed = tuple[str, str]
_HANDLES: dict[str, Handle] = {}


@contextmanager
def ray_engine(workers: int | None) -> Iterator[RayEngine]:
    """The cluster that this process has joined already, or RAY_ADDRESS names, or that runs on this machine.

    None is begun: a cluster listens on every network that its machine has, and that is for its user to decide.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("--engine ray: Ray is not installed. pip install 'bertsmith[ray]'") from None
    joined = ray.is_initialized()
    if not joined:
        address = os.environ.get("RAY_ADDRESS") or "auto"
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            place = "none is begun on this machine" if address == "auto" else f"none answers at {address}"
            raise ConfigError(
                f"--engine ray: no cluster, {place} ({type(error).__name__}). `ray start --head` begins one, and "
                "RAY_ADDRESS=host:port names one. On one machine --engine local does the same."
            ) from error
    try:
        yield RayEngine(ray, workers)
    finally:
        if not joined:
            ray.shutdown()


class RayEngine:
    """Tasks of a Ray cluster, as `engines.Engine`; machines that join it are used from then on."""

    def __init__(self, ray: Any, workers: int | None) -> None:
        self._ray, self._workers = ray, workers

    def run(self, work: Work, jobs: Iterable[Job]) -> Iterator[Path]:
        """As `Engine`."""
        inputs = {name: (work.folder / name).read_bytes() for name in work.files if (work.folder / name).exists()}
        key = hashlib.sha256(repr((work.module, work.options, inputs)).encode()).hexdigest()
        task = self._ray.remote(num_cpus=1, max_retries=RETRIES)(do_unit)
        # The folder is this machine's; the files in it go along.
        shared = self._ray.put(inputs), Work(work.module, work.options, Path(), work.files), key
        waiting: dict[Any, Path] = {}
        try:
            for job in jobs:
                data = json.dumps({name: value for name, value in job.items() if name != "path"}).encode()
                waiting[task.remote(*shared, data)] = Path(job["path"])
                while len(waiting) >= self._most():
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            for left in waiting:  # only after an error
                self._ray.cancel(left)

    def _most(self) -> int:
        return self._workers or max(2, 2 * int(self._ray.cluster_resources().get("CPU", 1)))

    def _next(self, waiting: dict[Any, Path]) -> Path:
        """Wait for a unit, and write it."""
        (done,), _ = self._ray.wait(list(waiting), num_returns=1)
        path = waiting.pop(done)
        try:
            answer: bytes | Failed = self._ray.get(done)
        except self._ray.exceptions.RayError as error:
            raise BertsmithError(
                f"a unit was lost on the Ray cluster, {RETRIES + 1} times ({str(error).strip().splitlines()[0]}); "
                "mostly for want of memory. Run the same command again: it goes on where it was."
            ) from error
        if isinstance(answer, tuple):
            raise getattr(errors, answer[0])(answer[1])
        with atomic_path(path) as beside:
            beside.write_bytes(answer)
        return path


def do_unit(inputs: dict[str, bytes], work: Work, key: str, job: bytes) -> bytes | Failed:
    """A task: a job as JSON -> an Arrow file's bytes, or the name and message of a BertsmithError."""
    try:
        if key not in _HANDLES:
            _HANDLES.clear()
            _HANDLES[key] = _handle(work, inputs)
        batch = _HANDLES[key](json.loads(job))
    except BertsmithError as error:
        return type(error).__name__, str(error)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _handle(work: Work, inputs: dict[str, bytes]) -> Handle:
    with tempfile.TemporaryDirectory() as folder:
        for name, data in inputs.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        return work.handle(Path(folder))
