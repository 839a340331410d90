"""A search for learning rate, batch size and epochs; what was tried before a stop is not tried again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bertsmith.errors import ConfigError, DivergedError
from bertsmith.finetune_config import FinetuneConfig
from bertsmith.progress import Reporter
from bertsmith.training.summary import Summary

# Times the rate given: Devlin et al. 2019 (A.3) tried 2e-5 … 5e-5, and small models learn best at up to 3e-4
# (Turc et al. 2019).
LOWEST, HIGHEST = 0.2, 10.0
BATCH_SIZES = (8, 16, 32, 64)
EPOCHS = (2.0, 3.0, 4.0, 6.0)


@dataclass(frozen=True)
class Trial:
    """One set of options, and what it came to."""

    name: str
    config: FinetuneConfig
    summary: Summary

    @property
    def score(self) -> float:
        """The headline figure; more is better."""
        return self.summary.metrics.get(self.summary.headline, -math.inf)

    def shown(self) -> dict[str, Any]:
        """The options tried, and the score."""
        names = ("learning_rate", "batch_size", "epochs")
        return {**{name: getattr(self.config, name) for name in names}, self.summary.headline: self.score}


def search(config: FinetuneConfig, run: Callable[[FinetuneConfig, str], Summary], *, reporter: Reporter) -> list[Trial]:
    """Try `config.search` sets of options, each chosen by how those before it did.

    Args:
        config: tried first, and searched around; its seed is also that of the choices, so that the same call tries
            the same.
        run: trains with a config under a name, or gives what was trained under that name before.
        reporter: told of each trial.

    Raises:
        DivergedError: every trial diverged.
        ConfigError: optuna is not installed, or a budget other than epochs is given.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError("--search needs optuna: pip install 'bertsmith[search]'") from None
    if config.steps or config.minutes:
        raise ConfigError("--search tries numbers of epochs: leave --steps and --minutes out")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=config.seed))
    rate, batch_sizes, epochs = config.learning_rate, {*BATCH_SIZES, config.batch_size}, {*EPOCHS, config.epochs or 3.0}
    given = {"learning_rate": rate, "batch_size": config.batch_size, "epochs": config.epochs or 3.0}
    study.enqueue_trial(given)
    trials: list[Trial] = []
    for number in range(config.search or 0):
        asked = study.ask()
        options = {
            "learning_rate": asked.suggest_float("learning_rate", LOWEST * rate, HIGHEST * rate, log=True),
            "batch_size": asked.suggest_categorical("batch_size", sorted(batch_sizes)),
            "epochs": asked.suggest_categorical("epochs", sorted(epochs)),
        }
        tried = config.but(**options, search=None)
        name = f"trial-{number:03d}"
        try:
            trial = Trial(name, tried, run(tried.but(seeds=1), name))
        except DivergedError as error:
            reporter.warn(f"trial {number + 1} of {config.search} failed: {error}")
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
            continue
        study.tell(asked, trial.score)
        trials.append(trial)
        shown = ", ".join(f"{key} {value:.3g}" for key, value in trial.shown().items())
        reporter.say(f"trial {number + 1} of {config.search}: {shown}")
    if not trials:
        raise DivergedError("every trial of the search diverged. Begin with a lower --learning-rate.")
    return trials
