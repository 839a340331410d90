"""How long things show where they are: a live bar on a terminal, a plain line now and then elsewhere.

Everything goes to stderr; stdout belongs to results. Code is given a `Reporter` and knows no terminal.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

REDRAW_S = 0.1
PLAIN_LINE_S = 10.0


class Track(Protocol):
    """One piece of work on its way."""

    def update(self, done: float, note: str = "") -> None:
        """Say how much is done so far (not since last time); `note` is free text, such as `loss 6.21`."""


class Reporter(Protocol):
    """Where a long run says what it does."""

    def say(self, message: str) -> None:
        """One line that stays."""

    def warn(self, message: str) -> None:
        """One line that stays and stands out."""

    def track(self, label: str, *, total: float | None, unit: str) -> AbstractContextManager[Track]:
        """A bar for work of `total` units (`None`: unknown); `unit` is a plural noun, or `s` for seconds."""


class Silent(Reporter):
    """Says nothing."""

    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass

    @contextmanager
    def track(self, label: str, *, total: float | None, unit: str) -> Iterator[Track]:
        yield _SilentTrack()


class _Stderr(Console):
    """A console whose reader may go away (`… 2>&1 | head`): the work goes on, unheard."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


class Terminal(Reporter):
    """Speaks on stderr: a live bar on a terminal, else one plain line at most every ten seconds.

    Args:
        console: where to write; stderr if not given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _Stderr(stderr=True, highlight=False)
        self._live: Progress | None = None

    def say(self, message: str) -> None:
        self._console.print(message, markup=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        self._console.print(f"warning: {message}", style="yellow", markup=False, soft_wrap=True)

    @contextmanager
    def track(self, label: str, *, total: float | None, unit: str) -> Iterator[Track]:
        if not self._console.is_terminal:
            lines = _PlainTrack(self._console, label, total, unit)
            yield lines
            lines.finish()
        elif self._live is not None:
            yield _BarTrack(self._live, label, total, unit)  # one bar under the other
        else:
            with _live_bars(self._console) as self._live:
                bar = _BarTrack(self._live, label, total, unit)
                try:
                    yield bar
                finally:
                    bar.flush()
                    self._live = None


class _SilentTrack(Track):
    def update(self, done: float, note: str = "") -> None:
        pass


class _BarTrack(Track):
    def __init__(self, live: Progress, label: str, total: float | None, unit: str) -> None:
        self._live, self._total = live, total
        self._task = live.add_task(label, total=total, unit=unit, note="")
        self._latest, self._drawn_at = (0.0, ""), -REDRAW_S

    def update(self, done: float, note: str = "") -> None:
        self._latest = (done, note or self._latest[1])
        if time.monotonic() - self._drawn_at >= REDRAW_S:
            self.flush()

    def flush(self) -> None:
        done, note = self._latest
        self._live.update(self._task, completed=done, note=note)
        self._live.refresh()
        self._drawn_at = time.monotonic()


class _PlainTrack(Track):
    def __init__(self, console: Console, label: str, total: float | None, unit: str) -> None:
        self._console, self._label, self._total, self._unit = console, label, total, unit
        self._started = self._printed_at = time.monotonic()
        self._first: float | None = None  # a resumed run starts in the middle; the rate counts from there
        self._latest, self._shown = (0.0, ""), -1.0

    def update(self, done: float, note: str = "") -> None:
        if self._first is None:
            self._first, self._started = done, time.monotonic()
        self._latest = (done, note or self._latest[1])
        if time.monotonic() - self._printed_at >= PLAIN_LINE_S:
            self._print()

    def finish(self) -> None:
        """The last state, if it was not shown yet."""
        if self._first is not None and self._latest[0] != self._shown:
            self._print()

    def _print(self) -> None:
        done, note = self._latest
        elapsed_s = time.monotonic() - self._started
        rate = (done - (self._first or 0.0)) / elapsed_s if elapsed_s > 0.1 else None
        parts = [f"{self._label}:", _amount(done, self._total, self._unit)]
        if rate and self._unit != "s":
            parts.append(f"{_number(rate)} {self._unit}/s")
        if rate and self._total and done < 0.995 * self._total:
            parts.append(f"{duration((self._total - done) / rate)} left")
        self._console.print("  ".join([*parts, note]).rstrip(), markup=False, soft_wrap=True)
        self._printed_at, self._shown = time.monotonic(), done


class _AmountColumn(ProgressColumn):
    """Amount, rate and time left: `1,200/10,000 steps  34 steps/s  4 min left`."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        parts = [_amount(task.completed, task.total, unit, percent=False)]
        if task.speed and unit != "s":
            parts.append(f"{_number(task.speed)} {unit}/s")
        if task.speed and task.total and task.completed < task.total:
            parts.append(f"{duration((task.total - task.completed) / task.speed)} left")
        return Text("  ".join(parts), style="cyan")


def _live_bars(console: Console) -> Progress:
    # No refresh thread: workers are forked while a bar is up, and a lock that a thread holds would go along.
    return Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=24),
        TaskProgressColumn(markup=True),
        _AmountColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True)),
        console=console,
        auto_refresh=False,
    )


def _amount(done: float, total: float | None, unit: str, *, percent: bool = True) -> str:
    if unit == "s":
        amount = duration(done) + (f" of {duration(total)}" if total else "")
    else:
        amount = f"{_number(done)}/{_number(total)} {unit}" if total else f"{_number(done)} {unit}"
    return f"{100 * done / total:.0f}%  {amount}" if percent and total else amount


def _number(value: float) -> str:
    if value >= 1e9:
        return f"{value / 1e9:,.2f} G"
    if value >= 1e7:
        return f"{value / 1e6:,.1f} M"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def duration(seconds: float) -> str:
    """A time to read at a glance: `40 s`, `4 min`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
