"""AdamW as BERT uses it, no decay on biases and LayerNorm, with Muon for the layers' matrices where a recipe wants it;
its state as named tensors, without a pickle."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.adamw import adamw

from bertsmith.errors import CheckpointError
from bertsmith.training.muon import MOMENTUM, step_matrices, turns_of
from bertsmith.training.sharding import divided_like, gathered

_MOMENTS = ("exp_avg", "exp_avg_sq")
_TOUCHED = "touched"  # (V,) bool, the rows of a table that ever had a sparse gradient
_ABOVE = -1  # the depth of what stands above all layers


# The matrices of a layer that Muon steps. Some hold several under one another: `attention.qkv` query, key and value,
# ModernBERT's `widen` what is gated and its gate. How high a part is, is told by the width of the layer that reads it.
_MATRIX = re.compile(r"(encoder\.layers\.\d+\.)(attention\.qkv|attention\.output|widen|narrow)\.weight")
_READ_BY = {"attention.qkv": "attention.output", "widen": "narrow"}


@dataclass(frozen=True)
class MuonOptions:
    """Muon instead of AdamW for the matrices of the layers.

    Attributes:
        rate_share: its learning rate as a multiple of AdamW's.
        step_tokens: how many tokens a step of the usual rows has; with few of them layers take turns.
        product_dtype: of its own matrix products; bfloat16 or int16 where the machine is fast in it.
    """

    rate_share: float
    step_tokens: int
    product_dtype: torch.dtype


class AdamW(torch.optim.AdamW):
    """torch's fused AdamW, which for a table with a sparse gradient steps the rows that ever had one, and no others,
    and leaves groups with "stacked" to Muon.

    Those rows move as under the dense gradient; the others keep their values, where a dense step would only let them
    decay. A batch of short texts has some hundred words of a vocabulary of thirty thousand.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; the sparse gradients are coalesced, as `clip_gradients` leaves them."""
        for group in self.param_groups:
            if "stacked" in group:
                step_matrices(group, self.state)
                for matrix in group["params"]:
                    matrix.grad = None
                continue
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    _step_rows(table, self.state[table], group)
                    table.grad = None
        super().step()


def _step_rows(table: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    gradient = table.grad
    assert gradient is not None
    if not state:
        state |= {"step": torch.tensor(0.0)} | {moment: torch.zeros_like(table) for moment in _MOMENTS}
    if _TOUCHED not in state:  # nor is it after steps on a GPU, which are dense
        state[_TOUCHED] = state["exp_avg_sq"].any(1)
    state[_TOUCHED][gradient.indices()[0]] = True
    rows = state[_TOUCHED].nonzero()[:, 0]
    wholes = (table, state["exp_avg"], state["exp_avg_sq"])
    values, first, second = parts = [whole.index_select(0, rows) for whole in wholes]
    dense = torch.zeros_like(values).index_copy_(0, torch.searchsorted(rows, gradient.indices()[0]), gradient.values())
    beta1, beta2 = group["betas"]
    adamw(
        [values],
        [dense],
        [first],
        [second],
        [],
        [state["step"]],
        fused=True,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )
    for whole, part in zip(wholes, parts, strict=True):
        whole.index_copy_(0, rows, part)


def build_optimizer(
    model: nn.Module,
    *,
    weight_decay: float,
    layer_decay: float = 1.0,
    epsilon: float = 1e-6,
    muon: MuonOptions | None = None,
) -> AdamW:
    """AdamW over all parameters that are trained; matrices and embeddings decay, vectors do not.

    Args:
        model: its parameters `encoder.layers.N.…` are layers, `encoder.embeddings.…` lie below them, others above.
        weight_decay: share of a weight that is taken off, times the learning rate.
        layer_decay: what a layer's learning rate is to that of the layer above it.
        epsilon: added to the root of the second moment; a large one slows what has small gradients.
        muon: for the matrices of the layers; AdamW for these too if None.

    Reference:
        Loshchilov and Hutter 2019; betas and epsilon of Devlin et al. 2019 (0.9, 0.999, 1e-6); layer-wise decay of
        Howard and Ruder 2018.
    """
    groups: dict[tuple[float, float, bool], list[tuple[str, nn.Parameter]]] = defaultdict(list)
    depths = {name: _depth(name) for name, _ in model.named_parameters()}
    top = max(depths.values()) + 1
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth = top if depths[name] == _ABOVE else depths[name]
            decay = weight_decay if parameter.ndim > 1 else 0.0
            matrix = muon is not None and _MATRIX.fullmatch(name) is not None
            groups[decay, layer_decay ** (top - depth), matrix].append((name, parameter))
    options: list[dict[str, Any]] = []
    for (decay, share, matrix), named in groups.items():
        group = {"params": [parameter for _, parameter in named], "weight_decay": decay, "rate_share": share}
        if muon and matrix:
            group["rate_share"] = share * muon.rate_share
            group["stacked"] = [_stacked(model, name) for name, _ in named]
            group["layers"] = [depths[name] for name, _ in named]
            group["turns"] = turns_of(min(named[0][1].shape), muon.step_tokens)
            group["product_dtype"] = muon.product_dtype
        options.append(group)
    return AdamW(options, lr=0.0, betas=(0.9, 0.999), eps=epsilon, fused=True)


def _stacked(model: nn.Module, name: str) -> int:
    """How many matrices lie under one another in a layer's parameter: query, key, value; what is gated and its gate."""
    found = _MATRIX.fullmatch(name)
    assert found
    layer, part = found.groups()
    if part not in _READ_BY:
        return 1
    return len(model.get_parameter(name)) // model.get_parameter(f"{layer}{_READ_BY[part]}.weight").shape[1]


def _depth(name: str) -> int:
    """0 for the embeddings, N + 1 for the layer N, _ABOVE for what stands above all layers."""
    layer = re.match(r"encoder\.layers\.(\d+)\.", name)
    if layer:
        return int(layer[1]) + 1
    return 0 if name.startswith("encoder.embeddings.") else _ABOVE


def begin_step(optimizer: torch.optim.Optimizer, step: int, *, rate: float) -> None:
    """Give every parameter this rate, or its layer's share of it; `step` is the number of steps taken before."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_share"]
        group["step"] = step


def clip_gradients(model: nn.Module, clip_norm: float) -> float:
    """Scale the gradients down to a global norm; the norm they had. Small ones are not touched, to save a pass."""
    gradients = []
    for parameter in model.parameters():
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # rows that came more than once are added up
            gradients.append(parameter.grad.values())
        elif parameter.grad is not None:
            gradients.append(parameter.grad)
    norm = gathered(nn.utils.get_total_norm(gradients)).item()
    if norm > clip_norm:
        torch._foreach_mul_(gradients, clip_norm / (norm + 1e-6))
    return norm


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """What the optimizer keeps of each parameter, as `moment.parameter`, divided as that is; empty before any step."""
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value
    return tensors


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave, on the device of each parameter, whichever it was saved on.

    Raises:
        CheckpointError: tensors are missing or left over.
    """
    left = set(tensors)
    try:
        trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        for name, parameter in trained:
            state = {}
            for key in _kept_of(name, tensors):
                # A copy: what is read of a file is mapped, and the file is removed while the run goes on.
                whole = tensors[f"{key}.{name}"].to(parameter.device, copy=True)
                state[key] = divided_like(whole, parameter) if whole.shape == parameter.shape else whole
                left.remove(f"{key}.{name}")
            # Where every row is stepped it would not stay true.
            if parameter.device.type != "cpu" or isinstance(parameter, DTensor):
                state.pop(_TOUCHED, None)
            optimizer.state[parameter] = state
    except KeyError as missing:
        raise CheckpointError(f"the optimizer's state has no tensor {missing}") from None
    if left:
        raise CheckpointError(f"the optimizer's state has tensors of another model: {', '.join(left)}")


def _kept_of(parameter: str, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """What is kept of a parameter: by Muon its momentum, by AdamW the step and two moments."""
    if f"{MOMENTUM}.{parameter}" in tensors:
        return (MOMENTUM,)
    return ("step", *_MOMENTS, *([_TOUCHED] if f"{_TOUCHED}.{parameter}" in tensors else []))
