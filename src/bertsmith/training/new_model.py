"""The model that a pretraining run begins with."""

from __future__ import annotations

import torch

from bertsmith.config import ModelConfig, PretrainConfig
from bertsmith.model.bert import Bert
from bertsmith.model.neighbour_heads import hand_on_neighbours, look_at_neighbours
from bertsmith.tasks.pretraining import Pretraining


def new_model(
    config: PretrainConfig, task: Pretraining, *, vocab_size: int, pad_token_id: int, values: bool = True
) -> Bert:
    """The model that a run begins with, its weights drawn from the run's seed; what was counted is `Start`'s to give.

    Args:
        config: architecture, size, lengths, dropout and seed.
        task: decides on the heads.
        vocab_size, pad_token_id: of the tokenizer.
        values: whether the weights have any; without, the model lies on the meta device and takes no memory.
    """
    longest = max(512, config.max_length_tokens, config.long_length_tokens if config.long_share else 0)
    shape = ModelConfig.preset(
        config.size,
        architecture=config.architecture,
        vocab_size=vocab_size,
        max_position_embeddings=longest,
        pad_token_id=pad_token_id,
    )
    generator = torch.Generator().manual_seed(config.seed) if values else None
    bert = Bert(shape, task.parts, generator=generator)
    if generator and config.initial_weights == "counted" and config.architecture == "bert":
        look_at_neighbours(bert, generator)
        hand_on_neighbours(bert)
    bert.set_dropout(config.dropout)  # of this run; config.json keeps the architecture's own, for fine-tuning
    return bert
