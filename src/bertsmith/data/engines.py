"""What carries out the work on units: processes of this machine, or a Ray cluster. Both run the same pure function.

A job is a unit's documents, and the path of the file that is to be made of them. Work on a unit is done wholly or not
at all, so that a lost worker costs its units and no more.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import pyarrow as pa

from bertsmith.data.shards import write_batch
from bertsmith.data.workers import Job, Workers, serve_jobs
from bertsmith.prepare_config import EngineName

Handle: TypeAlias = Callable[[Job], pa.RecordBatch]


@dataclass(frozen=True)
class Work:
    """What is done to every unit.

    Attributes:
        module: has a function `worker(folder, *options)`, which returns a pure function of a job.
        options: what it depends on besides the job.
        folder: holds the small files that it reads.
        files: their names in it; those that are not there are not needed.
    """

    module: str
    options: tuple[str, ...]
    folder: Path
    files: tuple[str, ...]

    def handle(self, folder: Path | None = None) -> Handle:
        """The function of a job; its files in another folder, on another machine."""
        worker: Callable[..., Handle] = importlib.import_module(self.module).worker
        return worker(folder or self.folder, *self.options)


class Engine(Protocol):
    """Many hands."""

    def run(self, work: Work, jobs: Iterable[Job]) -> Iterator[Path]:
        """Make the file of every job, at its "path"; the paths as they are done, in any order.

        Few jobs are taken from `jobs` ahead of the work.

        Raises:
            BertsmithError: what the work raised, or that it was lost for good.
        """
        ...


class LocalEngine:
    """Processes of this machine; for one at a time, this one."""

    def __init__(self, count: int) -> None:
        self._count = count

    def run(self, work: Work, jobs: Iterable[Job]) -> Iterator[Path]:
        """As `Engine`."""
        if self._count == 1:
            yield from _done_here(work, jobs)
            return
        arguments = [work.module, str(work.folder), *work.options]
        with Workers("bertsmith.data.engines", arguments, self._count) as workers:
            yield from map(Path, workers.run(jobs))


def _done_here(work: Work, jobs: Iterable[Job]) -> Iterator[Path]:
    handle = work.handle()
    yield from (_done(handle, job) for job in jobs)


def _done(handle: Handle, job: Job) -> Path:
    path = Path(job["path"])
    write_batch(path, handle(job))
    return path


@contextmanager
def engine_of(name: EngineName, workers: int | None) -> Iterator[Engine]:
    """An engine by its name, until the block ends.

    Args:
        name: of the engine.
        workers: how many units are worked on at once; as many as there are cores if not given.

    Raises:
        ConfigError: Ray is not installed.
        BertsmithError: its cluster does not answer.
    """
    if name == "local":
        yield LocalEngine(workers or os.cpu_count() or 1)
        return
    from bertsmith.data.ray_engine import ray_engine  # an extra, and its import takes seconds

    with ray_engine(workers) as engine:
        yield engine


def main() -> None:
    """A worker of `LocalEngine`: `python -m bertsmith.data.engines MODULE FOLDER OPTIONS…`."""
    module, folder, *options = sys.argv[1:]
    handle = Work(module, tuple(options), Path(folder), ()).handle()
    serve_jobs(lambda job: str(_done(handle, job)))


if __name__ == "__main__":
    main()
