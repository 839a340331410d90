"""Where a model computes: on the processor, or on a CUDA device if there is one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bertsmith.config import Device
from bertsmith.errors import ConfigError

if TYPE_CHECKING:  # what answers without torch imports this too
    import torch
    from torch import Tensor


def choose_device(asked: Device = "auto") -> torch.device:
    """The device as asked; for "auto" CUDA if there is one, else the processor. Asked before anything is computed.

    Raises:
        ConfigError: CUDA is asked for, and torch finds none.
    """
    import torch

    from bertsmith.model.cores import mind_forks

    mind_forks()
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise ConfigError(
            f"--device cuda: torch {torch.__version__} finds no CUDA device here. Leave --device out to compute on the "
            "processor; or see that `nvidia-smi` lists a GPU, and install a torch that is built for CUDA."
        )
    place = int(os.environ.get("LOCAL_RANK", "0"))  # torchrun starts a process for each device of a machine
    return torch.device("cuda", place) if there and asked != "cpu" else torch.device("cpu")


def on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array of a batch as a tensor there: the only way that batches take.

    On the processor it is the same memory. To a GPU it is copied while the processor goes on.
    """
    import torch

    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
