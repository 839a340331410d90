"""Linear layers for prediction on a processor, where no gradient is wanted.

oneDNN multiplies faster than what `F.linear` calls (in float32 on AMD more than twice as fast) if it may lay the weight
out as it likes, once and for all; an activation or a residual costs next to nothing where it is computed before the
product leaves the cache. torch has both for its compiler; called by hand, they need no compiling.

Letters: N tokens, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

After = Literal["none", "relu", "gelu", "gelu_new"]

_TOKENS = 256  # for which the layout is chosen; measured to be as good for 5 and for 1,000
# What follows the product: oneDNN's name, which of its ways, and the same without it.
_AFTER: Mapping[After, tuple[str, str, Callable[[Tensor], Tensor]]] = {
    "none": ("none", "", lambda values: values),
    "relu": ("relu", "", F.relu),
    "gelu": ("gelu", "none", F.gelu),
    "gelu_new": ("gelu", "tanh", partial(F.gelu, approximate="tanh")),
}


class PackedLinear(nn.Module):
    """`nn.Linear` for prediction; its weight is a copy, in oneDNN's own layout where there is one.

    Args:
        weight: (O, I); it stays as it is.
        bias: (O,), or None.
        dtype: of the copies, and of what comes in and goes out.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.packed = can_pack(dtype)
        # Neither parameters nor buffers: nothing is to train, move or save them.
        self.weight = weight.detach().to(dtype)
        self.bias = None if bias is None else bias.detach().to(dtype)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), _TOKENS)

    @classmethod
    def of(cls, linear: nn.Linear, dtype: torch.dtype) -> PackedLinear:
        """A layer's."""
        return cls(linear.weight, linear.bias, dtype)

    def forward(self, rows: Tensor, after: After = "none") -> Tensor:
        """(…, I) -> (…, O), the product and an activation."""
        name, way, activation = _AFTER[after]
        if not self.packed:
            return activation(F.linear(rows, self.weight, self.bias))
        product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, name, [], way)
        return product

    def plus(self, rows: Tensor, residual: Tensor) -> Tensor:
        """(…, I), (…, O) -> (…, O), the product and a residual."""
        if not self.packed:
            return F.linear(rows, self.weight, self.bias) + residual
        total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, residual, self.weight, self.bias, "add")
        return total


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether torch has these products for a format on this machine: tried, since they are no public part of it."""
    rows = torch.ones(16, 16, dtype=dtype)
    try:
        with torch.no_grad():
            weight = torch.ops.mkldnn._reorder_linear_weight(rows, _TOKENS)
            torch.ops.mkldnn._linear_pointwise(rows, weight, rows[0], "gelu", [], "none")
            torch.ops.mkldnn._linear_pointwise.binary(rows, rows, weight, rows[0], "add")
    except (AttributeError, RuntimeError):  # a torch without oneDNN, or a processor without the format
        return False
    return True
