"""How much of a run is done, from 0 to 1, and what the learning rate is there.

A budget is steps, epochs or minutes; the schedule follows the share that is spent, whichever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["steps", "epochs", "minutes"]


@dataclass(frozen=True)
class Budget:
    """An amount of training."""

    amount: float
    unit: Unit

    def share(self, *, steps: int, epochs: float, seconds: float) -> float:
        """The share that is spent, 1 or more when the run is over."""
        spent = {"steps": steps, "epochs": epochs, "minutes": seconds / 60}
        return spent[self.unit] / self.amount

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


def learning_rate(peak: float, share: float, *, warmup_share: float) -> float:
    """Linear from 0 to the peak over the warm-up, then linear down to 0 at the end (Devlin et al. 2019, A.2).

    Args:
        peak: the highest learning rate.
        share: how much of the budget is spent, 0 to 1.
        warmup_share: the share of the budget in which the rate rises.
    """
    if share < warmup_share:
        return peak * share / warmup_share
    return peak * max(0.0, 1 - share) / max(1 - warmup_share, 1e-9)
