"""Worker processes for work that the interpreter lock would keep on one core.

Each worker is `python -m MODULE ARGUMENTS`; a job is a line of JSON on its stdin, the answer a line on its stdout.
Unlike multiprocessing this asks nothing of the user's own script (no `if __name__ == "__main__"`), forks no threads,
and a worker whose parent is gone reads the end of its stdin and ends.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any

from bertsmith import errors
from bertsmith.errors import BertsmithError

Job = dict[str, Any]
_SOURCE_FOLDER = str(Path(__file__).parents[2])


class Workers:
    """Up to `count` processes that run jobs; one is started when there is work that no idle one can take."""

    def __init__(self, module: str, arguments: list[str], count: int) -> None:
        # -P: a json.py beside the user's text is not the library's.
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._idle: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        self._started: list[subprocess.Popen[str]] = []
        self._threads = ThreadPoolExecutor(count)
        self._count = count

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for process in self._started:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._started:
            process.communicate()

    def run(self, jobs: Iterable[Job]) -> Iterator[Any]:
        """The answers, as they come; no more than two jobs a worker are taken from `jobs` ahead of them.

        Raises:
            BertsmithError: what the job raised in its worker, or that the worker was killed.
        """
        waiting: set[Future[Any]] = set()
        for job in jobs:
            waiting.add(self._threads.submit(self._ask, job))
            if len(waiting) >= 2 * self._count:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    def _ask(self, job: Job) -> Any:
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BertsmithError(
                f"a worker process ended in the middle of its work (exit status {process.wait()}; -9 is the system's, "
                "mostly for want of memory). Run the same command again: preparing goes on where it was."
            )
        answer = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        self._idle.put(process)
        return answer["answer"]

    def _start(self) -> subprocess.Popen[str]:
        paths = [_SOURCE_FOLDER, os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            process_group=0,  # Ctrl-C goes to the parent alone, which ends its workers
        )
        self._started.append(process)
        return process


def serve_jobs(handle: Callable[[Job], Any]) -> None:
    """The worker's side: answer each line of stdin until it ends, or nobody listens any more."""
    for line in sys.stdin:
        if not line.endswith("\n"):  # the parent was killed while it wrote
            return
        try:
            answer: Job = {"answer": handle(json.loads(line))}
        except BertsmithError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        try:
            print(json.dumps(answer), flush=True)
        except BrokenPipeError:  # the parent was killed
            os._exit(1)
