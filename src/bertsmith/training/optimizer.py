"""AdamW as BERT uses it: no decay on biases and LayerNorm; its state as named tensors, without a pickle."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bertsmith.errors import CheckpointError

_MOMENTS = ("exp_avg", "exp_avg_sq")
_ABOVE = -1  # the depth of what stands above all layers


def build_optimizer(
    model: nn.Module, *, weight_decay: float, layer_decay: float = 1.0, epsilon: float = 1e-6
) -> torch.optim.AdamW:
    """AdamW over all parameters that are trained; matrices and embeddings decay, vectors do not.

    Args:
        model: its parameters `encoder.layers.N.…` are layers, `encoder.embeddings.…` lie below them, others above.
        weight_decay: share of a weight that is taken off, times the learning rate.
        layer_decay: what a layer's learning rate is to that of the layer above it.
        epsilon: added to the root of the second moment; a large one slows what has small gradients.

    Reference:
        Loshchilov and Hutter 2019; betas and epsilon of Devlin et al. 2019 (0.9, 0.999, 1e-6); layer-wise decay of
        Howard and Ruder 2018.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    depths = {name: _depth(name) for name, _ in model.named_parameters()}
    top = max(depths.values()) + 1
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth = top if depths[name] == _ABOVE else depths[name]
            groups[weight_decay if parameter.ndim > 1 else 0.0, layer_decay ** (top - depth)].append(parameter)
    options = [
        {"params": parameters, "weight_decay": decay, "rate_share": share}
        for (decay, share), parameters in groups.items()
    ]
    return torch.optim.AdamW(options, lr=0.0, betas=(0.9, 0.999), eps=epsilon, fused=True)


def _depth(name: str) -> int:
    """0 for the embeddings, N + 1 for the layer N, _ABOVE for what stands above all layers."""
    layer = re.match(r"encoder\.layers\.(\d+)\.", name)
    if layer:
        return int(layer[1]) + 1
    return 0 if name.startswith("encoder.embeddings.") else _ABOVE


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter this rate, or its layer's share of it, from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_share"]


def clip_gradients(model: nn.Module, clip_norm: float) -> float:
    """Scale the gradients down to a global norm; the norm they had. Small ones are not touched, to save a pass."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients).item()
    if norm > clip_norm:
        torch._foreach_mul_(gradients, clip_norm / (norm + 1e-6))
    return norm


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
        trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        for name, parameter in trained:
            state = {key: left.pop(f"{key}.{name}") for key in ("step", *_MOMENTS)}
            optimizer.state[parameter] = state
    except KeyError as missing:
        raise CheckpointError(f"the optimizer's state has no tensor {missing}") from None
    if left:
        raise CheckpointError(f"the optimizer's state has tensors of another model: {', '.join(left)}")
