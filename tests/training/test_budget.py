"""The schedule follows the budget, whichever it is."""

import pytest

from bertsmith.training.budget import Budget, learning_rate


def test_share_of_each_kind_of_budget() -> None:
    spent = {"steps": 50, "epochs": 1.5, "seconds": 90.0}
    assert Budget(200, "steps").share(**spent) == 0.25
    assert Budget(3, "epochs").share(**spent) == 0.5
    assert Budget(2, "minutes").share(**spent) == 0.75


def test_learning_rate_rises_over_the_warm_up_and_falls_to_nothing() -> None:
    rates = [learning_rate(1e-3, share, warmup_share=0.1) for share in (0.0, 0.05, 0.1, 0.55, 1.0, 1.2)]
    assert rates == pytest.approx([0.0, 5e-4, 1e-3, 5e-4, 0.0, 0.0])
    assert learning_rate(1e-3, 0.0, warmup_share=0.0) == 1e-3
