"""AdamW as BERT uses it: no decay on biases and LayerNorm; its state as named tensors, without a pickle."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bertsmith.errors import CheckpointError

_MOMENTS = ("exp_avg", "exp_avg_sq")


def build_optimizer(model: nn.Module, *, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over all parameters; matrices and embeddings decay, vectors do not.

    Reference:
        Loshchilov and Hutter 2019; betas and epsilon of Devlin et al. 2019 (0.9, 0.999, 1e-6).
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), eps=1e-6, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter this rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Both moments and the step count of each parameter, as `moment.parameter`; empty before the first step."""
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    return tensors


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave.

    Raises:
        CheckpointError: tensors are missing or left over.
    """
    left = dict(tensors)
    try:
        for name, parameter in model.named_parameters():
            state = {key: left.pop(f"{key}.{name}") for key in ("step", *_MOMENTS)}
            optimizer.state[parameter] = state
    except KeyError as missing:
        raise CheckpointError(f"the optimizer's state has no tensor {missing}") from None
    if left:
        raise CheckpointError(f"the optimizer's state has tensors of another model: {', '.join(left)}")
