"""What the loop is told: how to train, what else to do, and where a run stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bertsmith.config import Precision, TrainingConfig
from bertsmith.model.whole import can_multiply_whole
from bertsmith.training.budget import Budget
from bertsmith.training.checkpoints import Checkpoint
from bertsmith.training.optimizer import MuonOptions
from bertsmith.training.ranks import Ranks


def precision_for_all(chosen: Precision, device: torch.device, ranks: Ranks, warn: Callable[[str], None]) -> Precision:
    """The format of a run's products on all ranks: as it was chosen, here or where the run was begun.

    Where a rank has no products of whole numbers all go on in float32, so that their weights stay the same.
    """
    if chosen == "int16" and ranks.most(int(not can_multiply_whole(device))):
        warn("this run's products are int16, which is not to be had here: they are float32 from here on")
        return "float32"
    return chosen


@dataclass(frozen=True)
class Recipe:
    """What the loop needs to know of a run's config.

    Attributes:
        budget: how long.
        peak_learning_rate, warmup_share: the schedule; see `budget.learning_rate`.
        weight_decay, clip_norm: of AdamW, and of the gradients.
        seed: of dropout.
        precision: of the products, chosen already: "float32", "bfloat16" or "int16".
        evaluate_every_steps: None for `evaluations` of them, evenly over the run.
        checkpoint_every_steps: None for one every two minutes.
        evaluations: how many a run, the last at its end.
        layer_decay: what a layer's rate is to that of the layer above it.
        epsilon: of AdamW.
        muon: for the matrices of the layers; None for AdamW there too.
        patience: evaluations without a better figure after which a run ends; None to go to its end.
        shard: divide weights, gradients and moments among the ranks.
    """

    budget: Budget
    peak_learning_rate: float
    warmup_share: float
    weight_decay: float
    clip_norm: float
    seed: int
    precision: Precision
    evaluate_every_steps: int | None
    checkpoint_every_steps: int | None
    evaluations: int = 20
    layer_decay: float = 1.0
    epsilon: float = 1e-6
    muon: MuonOptions | None = None
    patience: int | None = None
    shard: bool = False

    @classmethod
    def of(cls, config: TrainingConfig, budget: Budget, precision: Precision, **more: Any) -> Recipe:
        """The recipe of a config; `more` are fields that not every config has."""
        return cls(
            budget=budget,
            peak_learning_rate=config.learning_rate,
            warmup_share=config.warmup_share,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
            seed=config.seed,
            precision=precision,
            evaluate_every_steps=config.evaluate_every_steps,
            checkpoint_every_steps=config.checkpoint_every_steps,
            shard=config.shard,
            **more,
        )


@dataclass(frozen=True)
class Hooks:
    """What a run does besides training.

    Attributes:
        evaluate: share of the budget spent -> figures on held-out data; the model is in evaluation mode.
        weights: the model's tensors as a checkpoint holds them.
        save: keeps a checkpoint; None for a run that keeps none, and that Ctrl-C simply interrupts.
        headline: the figure by which evaluations are compared, more is better; None where they are not.
        keep_best: called after each evaluation that is the best so far.
    """

    evaluate: Callable[[float], dict[str, float]]
    weights: Callable[[], dict[str, Tensor]]
    save: Callable[[Checkpoint], None] | None
    headline: str | None = None
    keep_best: Callable[[], None] | None = None


@dataclass
class Progress:
    """Where a run stands; plain JSON values, saved with each checkpoint.

    Attributes:
        feed: where the next step starts.
        step: optimizer steps done.
        tokens: real tokens (no padding) seen.
        seconds: on the clock of the run, over all its sittings.
        epochs: passes over the data.
        metrics: of the last evaluation.
        evaluation_due: whether the run was stopped before the evaluation of its last step.
        scores: the headline of each evaluation, where there is one.
        ended_early: whether evaluations stopped becoming better.
        run: what the run must still be when it goes on, besides its settings: the corpus, the precision.
    """

    feed: dict[str, Any]
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    epochs: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    evaluation_due: bool = False
    scores: list[float] = field(default_factory=list)
    ended_early: bool = False
    run: dict[str, str] = field(default_factory=dict)
