"""The layers through torch's compiler, on a GPU."""

from __future__ import annotations

from copy import deepcopy
from importlib.util import find_spec
from typing import TypeVar

import torch
from torch import nn

from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert

Module = TypeVar("Module", bound=nn.Module)


def check_compiler(device: torch.device) -> None:
    """
    Raises:
        ConfigError: the device is a processor, where nothing is gained; or triton, which makes the code, is not there.
    """
    if device.type != "cuda":
        raise ConfigError(
            "--compile: the run is on the processor, where compiling takes a minute and a step then 2 to 3% less time. "
            "Leave it out."
        )
    if find_spec("triton") is None:
        raise ConfigError("--compile needs triton: pip install triton, or leave it out.")


def compile_layers(bert: Bert) -> None:
    """Have each layer of the encoder compiled when it is first called. Names and weights stay what they are.

    Layer by layer, since all of a kind are alike: the code of one serves the others.
    """
    for layer in bert.encoder.layers:
        layer.compile()


def copy_of(model: Module) -> Module:
    """A copy, in which is compiled what is compiled in the model: `deepcopy` leaves that behind."""
    copied = deepcopy(model)
    for part, its in zip(model.modules(), copied.modules(), strict=True):
        if part._compiled_call_impl is not None:
            its.compile()
    return copied
