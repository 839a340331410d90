"""The weights that a model begins with."""

import math

import torch
from torch import nn

from bertsmith.config import ModelConfig

_WORDS = "encoder.embeddings.word.weight"
# ModernBERT's matrices that add to the residual stream, and what stands before an output layer.
_OUT = ("attention.output.weight", "narrow.weight", "masked_lm.dense.weight", "pooler.dense.weight")


@torch.no_grad()
def initialise(module: nn.Module, config: ModelConfig, generator: torch.Generator, *, name: str = "") -> None:
    """Draw every weight of a model, or of a part of one, anew, in the order of the parameters.

    Matrices come from a normal distribution (standard deviation `initializer_range`, of ModernBERT see `_std`) cut at
    two standard deviations, biases are zero and LayerNorm begins as the identity.

    Args:
        module: the model, or a part.
        config: the model's.
        generator: draws the weights.
        name: what the part is called in the model; empty for the model itself.

    Reference:
        google-research/bert, `modeling.py`, `create_initializer`: tf.truncated_normal_initializer(0.02).
        The zero vector of [PAD] is Hugging Face's.
    """
    for inner, weight in module.named_parameters(prefix=name):
        if weight.dim() == 2:
            std = _std(inner, config)
            nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        else:
            nn.init.constant_(weight, 1.0 if inner.endswith("norm.weight") else 0.0)
        if inner == _WORDS and config.pad_token_id is not None:
            weight[config.pad_token_id] = 0.0


def _std(parameter: str, config: ModelConfig) -> float:
    """The standard deviation of a matrix; ModernBERT's are smaller where they add to the residual stream.

    Reference:
        Hugging Face, `modeling_modernbert.py`, `_init_weights`; Shoeybi et al. 2019, "Megatron-LM", section 4.2.
    """
    if config.architecture == "modernbert" and parameter.startswith("classifier."):
        return float(config.hidden_size**-0.5)
    if config.architecture == "modernbert" and parameter.endswith(_OUT):
        return config.initializer_range / math.sqrt(2 * config.num_hidden_layers)
    return config.initializer_range
