"""Logs as JSON, a line an event, written by a thread of their own: a full pipe holds no request up.

No text of a client is ever logged, and no message of an exception, which may quote one.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from datetime import UTC, datetime
from queue import SimpleQueue
from threading import Thread
from typing import Any, TextIO

MOST_WAITING = 10_000  # lines; more are dropped, and counted


class Log:
    """Where events go.

    Args:
        stream: takes the lines; stderr if not given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._dropped, self._refused, self._refused_since = 0, 0, 0.0
        self._thread = Thread(target=self._write, name="bertsmith-log", daemon=True)
        self._thread.start()

    def event(self, name: str, level: str = "info", **values: Any) -> None:
        """One line: when, what, and what is known of it."""
        if self._lines.qsize() >= MOST_WAITING:
            self._dropped += 1
            return
        if self._dropped:
            values["lines_dropped"], self._dropped = self._dropped, 0
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._lines.put(json.dumps({"time": now, "level": level, "event": name, **values}))

    def refused(self) -> None:
        """A request that was turned away: they are many when they come, so one line a second counts them."""
        self._refused += 1
        now = time.monotonic()
        if now - self._refused_since >= 1:
            self.event("refused", "warning", count=self._refused)
            self._refused, self._refused_since = 0, now

    def error(self, error: BaseException, **values: Any) -> None:
        """An exception that is no client's fault, with where it was raised."""
        frames = traceback.extract_tb(error.__traceback__)
        stack = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self.event("error", "error", exception=type(error).__name__, stack=stack, **values)

    def close(self) -> None:
        """Write what waits."""
        if self._refused:
            self.event("refused", "warning", count=self._refused)
        self._lines.put(None)
        self._thread.join(timeout=2)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                print(line, file=self._stream, flush=True)
            except (OSError, ValueError):  # nobody reads any more; requests matter more
                return
