"""A finished fine-tuning as the report and the card are told of it, with labels and texts that try to break out."""

from typing import Any

import numpy as np

from bertsmith.finetune_config import FinetuneConfig
from bertsmith.tasks.findings import Findings, Mistake, Table
from bertsmith.training.journal import Record
from bertsmith.training.summary import Summary

EVIL = "</td><script>alert('x')</script> & \"quotes\" \x00\ud800 | `code`"
FIGURES = {"accuracy": 0.8, "f1_macro": 0.75, "f1_weighted": 0.79, "mcc": 0.612}
LONG = "A film that goes on. " * 200


def findings() -> Findings:
    """Of 100 examples of two classes."""
    return Findings(
        (
            Table(
                "classes",
                ("label", "precision", "recall", "F1", "examples"),
                (("good", 0.9, 2 / 3, 0.766, 60), (EVIL, 1.0, 0.0, 0.0, 40)),
            ),
        ),
        (("good", EVIL), np.array([[50, 10], [4, 36]])),
        (
            Mistake("dev.csv, line 7", LONG, "good", f"{EVIL} 0.99", 0.99),
            Mistake("dev.csv, line 2", EVIL, EVIL, "", 0.5),
        ),
    )


def summary(**changes: Any) -> Summary:
    """Of one run with one seed, unless something else is asked for."""
    recipe = {**FinetuneConfig().model_dump(exclude={"seeds", "search"}), "precision": "float32"}
    values: dict[str, Any] = {
        "task": "classify",
        "source": "models/<my>-bert",
        "headline": "accuracy",
        "metrics": FIGURES,
        "data": "fingerprint",
        "counts": {"train": 900, "dev": 100, "train_tokens": 12_345, "windowed": 0},
        "recipe": {**recipe, **changes.pop("recipe", {})},
        "findings": findings(),
        "steps": 87,
        "tokens": 37_035,
        "seconds": 65.4,
        "seeds": {0: changes.get("metrics", FIGURES)},
    }
    return Summary(**{**values, **changes})


def five_seeds(spread: float, **changes: Any) -> Summary:
    """Five seeds whose every figure lies evenly within ± 2 `spread`; seed 2 was kept."""
    figures = changes.pop("metrics", FIGURES)
    seeds = {seed: {name: value + (seed - 2) * spread for name, value in figures.items()} for seed in range(5)}
    return summary(metrics=seeds[2], seeds=seeds, recipe={"seed": 2}, **changes)


def records(figures: dict[str, float] = FIGURES, evaluations: int = 3) -> list[Record]:
    """Of 60 steps; the second evaluation is the best."""
    made: list[Record] = []
    for step in range(1, 61):
        stand = {"step": step, "epochs": step / 20, "tokens": 100 * step, "seconds": float(step), "tokens_per_s": 100.0}
        loss = {"loss": 1 / step, "task_loss": 1 / step, "learning_rate": 1e-5 * step, "gradient_norm": 1.0}
        made.append({"kind": "train", **stand, **loss})
        if step % (60 // evaluations) == 0:
            worse = 0.0 if step == 2 * (60 // evaluations) else 0.01
            made.append({"kind": "evaluation", **stand, **{name: value - worse for name, value in figures.items()}})
    return made
