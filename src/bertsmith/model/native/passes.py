"""`passes.c`, found; `model/fused_passes.py` calls it."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_double, c_int, c_int64, c_void_p
from functools import cache
from typing import Any

from bertsmith.model.native.files import AVX2, AVX512_BF16, Functions, find_native

EDITION = 1  # of the functions and what they are given, as C has it
BUILDS = (("passes_avx512", AVX512_BF16), ("passes", AVX2))  # what is compiled, and for what; the best one first
BLOCKS = 64  # in which sums over rows are made


def _pointers(*names: str) -> list[tuple[str, Any]]:
    return [(name, c_void_p) for name in names]


_SHAPE: list[tuple[str, Any]] = [("rows", c_int64), ("width", c_int64), ("type", c_int64)]


class AddNorm(Structure):
    """What `add_norm` is given."""

    _fields_ = (
        *_pointers("values", "residual", "weight", "bias", "hidden", "normal", "scales", "rounded"),
        *_SHAPE,
        ("eps", c_double),
    )


class AddNormBackward(Structure):
    """What `add_norm_backward` is given."""

    _fields_ = (
        *_pointers("of_hidden", "of_rounded", "normal", "scales", "weight", "of_residual", "of_values", "sums"),
        *_SHAPE,
    )


@cache
def passes() -> ctypes.CDLL | None:
    """The better of what was compiled; None where nothing was, or the processor has no AVX2."""
    layout = [EDITION, BLOCKS, ctypes.sizeof(AddNorm), ctypes.sizeof(AddNormBackward)]
    functions: Functions = {
        "activate_rows": [c_void_p, c_void_p, *[c_int64] * 4, c_void_p, c_int],
        "activate_rows_backward": [c_void_p, c_void_p, *[c_int64] * 3, c_void_p, c_void_p, c_int],
        "add_norm": [POINTER(AddNorm), c_int],
        "add_norm_backward": [POINTER(AddNormBackward), c_int],
        "softmax_rows": [c_void_p, c_void_p, *[c_int64] * 6, c_void_p, c_int],
    }
    for name, needs in BUILDS:
        if code := find_native(name, needs=needs, layout=layout, functions=functions):
            return code
    return None
