"""The recipes of pretraining: what they decide, and that what is said wins."""

import pytest

from bertsmith.config import PretrainConfig
from bertsmith.errors import ConfigError


def test_fast_is_what_is_there_if_nothing_is_said() -> None:
    config = PretrainConfig()
    assert (config.recipe, config.optimizer, config.initial_weights) == ("fast", "muon", "counted")
    assert PretrainConfig(recipe="fast") == config


def test_classic_is_berts_own() -> None:
    config = PretrainConfig(recipe="classic")
    assert (config.optimizer, config.initial_weights, config.dropout) == ("adamw", "random", 0.1)
    assert (config.learning_rate, config.warmup_share, config.batch_size) == (1e-4, 0.01, 256)
    assert (config.mask_share, config.weight_decay, config.objective) == (0.15, 0.01, "mlm+nsp")


def test_what_is_said_wins_over_the_recipe() -> None:
    config = PretrainConfig(recipe="classic", learning_rate=1e-3, dropout=0.0)
    assert (config.learning_rate, config.dropout, config.optimizer) == (1e-3, 0.0, "adamw")
    assert PretrainConfig(optimizer="adamw").initial_weights == "counted"


def test_a_dump_read_again_is_the_same_run() -> None:
    for config in (PretrainConfig(recipe="classic", batch_size=8), PretrainConfig(architecture="modernbert")):
        assert PretrainConfig(**config.model_dump()) == config


def test_modernbert_has_the_recipes_too() -> None:
    modern = PretrainConfig(architecture="modernbert")
    assert (modern.optimizer, modern.initial_weights, modern.early_share) == ("muon", "counted", 0.0)
    classic = PretrainConfig(architecture="modernbert", recipe="classic")
    assert (classic.optimizer, classic.initial_weights, classic.objective) == ("adamw", "random", "mlm")


def test_an_unknown_recipe_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r'option "recipe": .*got .clasic.'):
        PretrainConfig(recipe="clasic")
