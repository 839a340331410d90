"""C that was compiled when bertsmith was installed: where there was a C compiler with OpenMP, for x86.

Its threads are those that torch computes with: torch is loaded first, and its packages for Linux bring the libgomp that
this wants. Beside another OpenMP numbers are the same, but threads of two kinds are in each other's way.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Mapping, Sequence
from ctypes import c_int64
from importlib.util import find_spec
from typing import Any

import torch

AVX2 = ("avx2", "fma3", "f16c")  # of a processor, by torch's names
AVX512 = (*AVX2, "avx512_f", "avx512_bw", "avx512_dq", "avx512_vl")
AVX512_VNNI = (*AVX512, "avx512_vnni")  # which adds the products of two pairs in one go
AVX512_BF16 = (*AVX512, "avx512_bf16")  # which rounds to bfloat16 in one go

TYPES = {torch.float32: 0, torch.bfloat16: 1}  # as `functions.h` numbers them
Functions = Mapping[str, Sequence[Any]]  # by name, the types of what each is given


def find_native(name: str, *, needs: tuple[str, ...], layout: list[int], functions: Functions) -> ctypes.CDLL | None:
    """What was compiled of `name`.c.

    Args:
        name: of the module that the file seems to be, without "_".
        needs: what it was compiled for.
        layout: as for `open_native`.
        functions: likewise.

    Returns:
        None where it was not compiled, or the processor lacks what it was compiled for; likewise, with a warning, where
        it was compiled from other sources than these.
    """
    processor = torch.cpu.get_capabilities()
    found = find_spec(f"bertsmith.model.native._{name}")
    if found is None or found.origin is None or not all(processor.get(each) for each in needs):
        return None
    code = open_native(found.origin, layout=layout, functions=functions)
    if code is None:
        warnings.warn(
            f"{found.origin} is of another version of bertsmith, or of another system, so torch computes in its place, "
            "more slowly. Install bertsmith again to have it compiled.",
            stacklevel=2,
        )
    return code


def open_native(path: str, *, layout: list[int], functions: Functions) -> ctypes.CDLL | None:
    """The library at a path; None if it is for another system, or of another edition.

    Args:
        path: a file.
        layout: what its own `layout` must say: its edition, and sizes that both sides take for granted.
        functions: what will be called. They answer with an int, or with nothing.
    """
    try:
        code = ctypes.CDLL(path)
        theirs = list((c_int64 * len(layout)).in_dll(code, "layout"))
        for name, given in functions.items():
            getattr(code, name).argtypes = given
    except (OSError, ValueError, AttributeError):
        return None
    return code if theirs == layout else None


def dense_one_way(values: torch.Tensor) -> torch.Tensor:
    """A matrix whose rows or columns are dense: a copy, where neither are."""
    return values if 1 in values.stride() else values.contiguous()


def float32_room(*shape: int) -> torch.Tensor:
    """Room that C writes to, whatever torch's defaults are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")
