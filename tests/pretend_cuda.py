"""A CUDA device that is none: tensors that say "cuda", compute on the processor, and refuse to meet its own.

`pretend_cuda()` makes torch believe in one while the block runs. A tensor there holds its values in a tensor of the
processor. Every operation is looked at: those of tensors of both kinds raise, as on a GPU, but for copies between them
and single numbers. So whole runs can be made on a device of another name, and their figures compared. What it cannot
show: kernels, streams, autocast, and how fast anything is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

CUDA = torch.device("cuda", 0)
_aten = torch.ops.aten
_BENEATH = torch.device("lazy", 0)  # nobody else uses it; autograd runs it on the processor
_ACROSS = {_aten._to_copy.default, _aten.copy_.default}


class OnCuda(Tensor):
    """A tensor on the device that is none; C++ sees one on "lazy", whose rules are the fewest."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "OnCuda":
        made = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=_BENEATH,
        )
        made.values = values
        return made

    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = is_meta = property(lambda self: False)  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self) -> str:
        return f"OnCuda({self.values})"

    def __deepcopy__(self, memo: Any) -> Any:
        copied = OnCuda(self.values.detach().clone())
        made = torch.nn.Parameter(copied, self.requires_grad) if isinstance(self, torch.nn.Parameter) else copied
        return memo.setdefault(id(self), made)


class PretendCuda(TorchDispatchMode):
    """Looks at every operation.

    Attributes:
        moved: how many tensors were copied to the device.
        pinned: how many of them from pinned memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moved = self.pinned = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _aten.is_pinned.default:
            return False
        if func is _aten._pin_memory.default:
            self.pinned += 1
            return args[0]
        if func._can_decompose():  # in inference mode operations come whole
            with self:
                return func.decompose(*args, **(kwargs or {}))
        made = _computed(func, args, kwargs or {})
        self.moved += func is _aten._to_copy.default and not isinstance(args[0], OnCuda) and isinstance(made, OnCuda)
        return made


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    there = [each for each in given if isinstance(each, OnCuda)]
    target = kwargs.get("device")
    if func not in _ACROSS and there:
        for each in given:
            assert isinstance(each, OnCuda) or each.dim() == 0, f"{func}: a tensor of the processor meets one of CUDA"
    if target is not None:
        kwargs = {name: value for name, value in kwargs.items() if name != "non_blocking"}
        kwargs["device"] = torch.device("cpu")
    inner_args, inner_kwargs = tree_map_only(OnCuda, lambda each: each.values, (args, kwargs))
    out = func(*inner_args, **inner_kwargs)
    to_cuda = torch.device(target).type in ("cuda", "lazy") if target is not None else bool(there)
    if func is _aten.copy_.default:
        to_cuda = isinstance(args[0], OnCuda)
    if not to_cuda:
        return out
    wrapped = tree_map_only(Tensor, OnCuda, out)
    if not there or func in _ACROSS:
        return args[0] if func is _aten.copy_.default else wrapped
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


@contextmanager
def pretend_cuda() -> Iterator[PretendCuda]:
    """While the block runs there is a CUDA device, called "cuda:0"."""
    with pytest.MonkeyPatch.context() as patch, PretendCuda() as mode:
        always: Callable[..., bool] = lambda *_, **__: True  # noqa: E731
        patch.setattr(torch.cuda, "is_available", always)
        patch.setattr(torch.cuda, "is_bf16_supported", always)
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        yield mode
