"""Long work is done in passes, between which whoever asked for it may end it: a reader who has typed on, say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_look: ContextVar[Callable[[], None] | None] = ContextVar("look", default=None)  # a thread sees its own


@contextmanager
def looking_up(look: Callable[[], None]) -> Iterator[None]:
    """Before each pass of an explanation that is made in the block, `look` is called; what it raises ends the work."""
    before = _look.set(look)
    try:
        yield
    finally:
        _look.reset(before)


def next_pass() -> None:
    """Another pass is about to be computed."""
    look = _look.get()
    if look is not None:
        look()
