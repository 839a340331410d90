"""A model whose weights, gradients and moments are divided among the ranks, by torch's FSDP2.

Beside it each rank keeps the whole model without gradients or moments, which is what evaluations, checkpoints and the
run folder see. So checkpoints are the same files, divided or not, and open on any number of ranks.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def divide(module: nn.Module) -> nn.Module:
    """Divide a module among all ranks, in place: each layer is gathered when it is computed, and let go of again.

    Args:
        module: whose forward pass is called; its submodules `….encoder.layers.N` are layers. The rest stays gathered
            while it computes.
    """
    mesh = init_device_mesh(next(module.parameters()).device.type, (dist.get_world_size(),))
    for name, part in module.named_modules():
        if name.endswith("encoder.layers") and isinstance(part, nn.ModuleList):
            for layer in part:
                fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return module


def hold_gradients(module: nn.Module, held: bool) -> None:
    """Whether gradients stay with this rank, to be added up with later ones."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(not held)


def gathered(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be divided; all ranks ask for it together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_like(whole: Tensor, like: Tensor) -> Tensor:
    """A tensor that every rank has, divided as another is; as it is where that is not divided."""
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Give a model the weights of another of the same shape; either may be divided."""
    for one, other in zip(source.parameters(), target.parameters(), strict=True):
        other.copy_(divided_like(gathered(one), other))
