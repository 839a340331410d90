"""What a task finds in its answers for people to look at, beside the figures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_WRONG = 20  # examples that a report shows


@dataclass(frozen=True)
class Table:
    """A table of the report; a float is shown with three digits."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


@dataclass(frozen=True)
class Mistake:
    """An example that the model got wrong.

    Attributes:
        place: where the example stands.
        text: what was read.
        truth, guess: what is right, and what the model said.
        badness: the larger, the more wrong; comparable within one task.
    """

    place: str
    text: str
    truth: str
    guess: str
    badness: float


@dataclass(frozen=True)
class Findings:
    """What a report shows beside the figures.

    Attributes:
        tables: such as one with a row a class.
        confusion: (label of each row and column, counts: a row what is right, a column what was said); or None.
        mistakes: the most wrong first.
    """

    tables: tuple[Table, ...] = ()
    confusion: tuple[tuple[str, ...], NDArray[np.int64]] | None = None
    mistakes: tuple[Mistake, ...] = field(default=())
