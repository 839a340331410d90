"""A checkpoint is written while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Behind:
    """Runs one call behind, in a thread of its own; what a call raised is raised where the caller next looks at it.

    Leaving the `with` block waits for a call that is under way.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._going: Future[None] | None = None

    def __enter__(self) -> Behind:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread
        self._thread.shutdown()

    def start(self, call: Callable[[], None]) -> None:
        """Wait for the call before, then begin this one."""
        assert self._thread
        self.wait()
        self._going = self._thread.submit(call)

    def look(self) -> None:
        """Raise what the last call raised, if it has ended."""
        if self._going and self._going.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the last call to end."""
        going, self._going = self._going, None
        if going:
            going.result()
