"""Linear layers for prediction on a processor, where no gradient is wanted.

oneDNN multiplies faster than what `F.linear` calls if it may lay the weight out as it likes, once and for all: with
AVX512 in float32 on AMD more than twice as fast. An activation or a residual costs next to nothing where it is computed
before the product leaves the cache. torch has both for its compiler; called by hand, they need no compiling.

In float32 with AVX2 alone that is so for few rows. Of many, `F.linear` is an eighth faster, and an activation by itself
takes a fifth of what it adds to the product.

Letters: N tokens, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.model.activations import ACTIVATIONS

After = Literal["none", "relu", "gelu", "gelu_new"]

_TOKENS = 256  # for which the layout is chosen; measured to be as good for 5 and for 1,000
_FEW_ROWS = 64  # up to which the packed product is the faster one with AVX2 alone
# What follows the product: oneDNN's name, which of its ways, and the same without it.
_AFTER: Mapping[After, tuple[str, str, Callable[[Tensor], Tensor]]] = {
    "none": ("none", "", lambda values: values),
    "relu": ("relu", "", ACTIVATIONS["relu"]),
    "gelu": ("gelu", "none", ACTIVATIONS["gelu"]),
    "gelu_new": ("gelu", "tanh", ACTIVATIONS["gelu_new"]),
}


class PackedLinear(nn.Module):
    """`nn.Linear` for prediction; its weight is a copy in oneDNN's own layout, where that is the faster one.

    Args:
        weight: (O, I); it stays as it is.
        bias: (O,), or None.
        dtype: of the copies, and of what comes in and goes out.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.narrow = mkl_is_faster(dtype)
        # Neither parameters nor buffers: nothing is to train, move or save them.
        plain = weight.detach().to(dtype)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.packed = _pack(plain) if can_pack(dtype) else None
        self.plain = plain if self.narrow or self.packed is None else None

    def forward(self, rows: Tensor, after: After = "none") -> Tensor:
        """(…, I) -> (…, O), the product and an activation."""
        if (plain := self._plain_for(rows)) is not None:
            return activate(F.linear(rows, plain, self.bias), after)
        if self.narrow:
            return activate(_product(rows, self.packed, self.bias, "none", [], ""), after)
        name, way, _ = _AFTER[after]
        return _product(rows, self.packed, self.bias, name, [], way)

    def plus(self, rows: Tensor, residual: Tensor) -> Tensor:
        """(…, I), (…, O) -> (…, O), the product and a residual."""
        if (plain := self._plain_for(rows)) is not None:
            return F.linear(rows, plain, self.bias).add_(residual)
        total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, residual, self.packed, self.bias, "add")
        return total

    def _plain_for(self, rows: Tensor) -> Tensor | None:
        """The weight as it was, where `F.linear` is to take it."""
        few = self.packed is not None and rows.shape[:-1].numel() <= _FEW_ROWS
        return None if few else self.plain


def activate(values: Tensor, after: After) -> Tensor:
    """What follows a product, by itself."""
    return _AFTER[after][2](values)


def mkl_is_faster(dtype: torch.dtype) -> bool:
    """Whether MKL's product, which `F.linear` calls, is faster than oneDNN's for many rows: float32, with AVX2 alone.

    By the processor and not by a measurement, so that a model answers alike whenever it is opened.
    """
    mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return dtype == torch.float32 and mkl and avx2_alone()


def avx2_alone() -> bool:
    """Whether the processor's widest products are of eight numbers."""
    processor = torch.cpu.get_capabilities()
    return bool(processor.get("avx2") and not processor.get("avx512_f"))


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether torch has these products for a format on this machine: tried, since they are no public part of it."""
    rows = torch.ones(16, 16, dtype=dtype, device="cpu")
    try:
        with torch.no_grad():
            weight = _pack(rows)
            _product(rows, weight, rows[0], "gelu", [], "none")
            torch.ops.mkldnn._linear_pointwise.binary(rows, rows, weight, rows[0], "add")
    except (AttributeError, RuntimeError):  # a torch without oneDNN, or a processor without the format
        return False
    return True


def _pack(weight: Tensor) -> Tensor:
    """(O, I) in oneDNN's own layout."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TOKENS)
    return packed


def _product(rows: Tensor, packed: Tensor | None, bias: Tensor | None, *after: str | list[float]) -> Tensor:
    """(…, I) -> (…, O), and what oneDNN computes after it."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, bias, *after)
    return product
