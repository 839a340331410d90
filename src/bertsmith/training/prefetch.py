"""The next step's batch is made while this one is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Runs one call ahead in a thread of its own: batches are never waited for, a shard's plan a fifth of a second."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._coming: Future[T] | None = None

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def ask(self, make: Callable[[], T]) -> None:
        """Start making the next one."""
        self._coming = self._thread.submit(make)

    def take(self) -> T:
        """Wait for what was asked for last; what it raised is raised here."""
        assert self._coming is not None
        return self._coming.result()
