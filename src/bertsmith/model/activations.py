"""The activations that config.json can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor
from torch.nn import functional as F

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # with erf, as in the paper's code
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}
NUMBERS: Mapping[str, int] = {"gelu": 1, "gelu_new": 2, "relu": 3}  # as `native/functions.h` has them
