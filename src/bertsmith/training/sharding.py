"""A model whose weights, gradients and moments are divided among the ranks, by torch's FSDP2.

Beside it each rank keeps the whole model without gradients or moments, which is what evaluations and the run folder
see. The moments are never whole on a rank: each writes its own part, and any number of ranks open these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file
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


def write_divided(tensors: Mapping[str, Tensor], folder: Path, group: dist.ProcessGroup) -> list[Path]:
    """Write tensors of which each rank has a part, each its own, as torch.distributed.checkpoint does in safetensors.

    All ranks call it together, with copies on the processor; it returns once all have written.

    Returns:
        The files, in the order of the ranks.

    Raises:
        OSError: a rank could not write; on all ranks.
    """
    # Half a second to read, which runs that divide nothing are spared.
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    try:
        writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
        save(dict(tensors), storage_writer=writer, process_group=group)
    except CheckpointException as error:  # which is no Exception
        ((cause, _), *_) = error.failures.values()
        raise cause from None
    return [folder / f"shard-{rank + 1:05d}-model-00001-of-00001.safetensors" for rank in range(group.size())]


class Joined(Mapping[str, Tensor]):
    """Tensors that lie in one file, or in parts in several: each is whole when it is asked for, one at a time.

    Args:
        files: in the order of the parts; mapped.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._parts = [load_file(file) for file in files]
        self._names = sorted({name for parts in self._parts for name in parts})

    def __getitem__(self, name: str) -> Tensor:
        parts = [parts[name] for parts in self._parts if name in parts]
        if not parts:
            raise KeyError(name)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
