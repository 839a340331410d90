"""`whole.c`, found; `model/whole.py` calls it."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_int, c_int64, c_void_p
from functools import cache

from bertsmith.model.native.files import AVX2, AVX512_VNNI, Functions, find_native

EDITION = 1  # of the function and what it is given, as C has it
BUILDS = (("whole_avx512", AVX512_VNNI), ("whole", AVX2))  # what is compiled, and for what; the best one first


class Matrix(Structure):
    """Rows of the left matrix, or columns of the right one: from one to the next, and along each."""

    _fields_ = (("values", c_void_p), ("step", c_int64), ("inner_step", c_int64))


class WholeProduct(Structure):
    """What `multiply_whole_matrices` is given."""

    _fields_ = (
        *(("left", Matrix), ("right", Matrix), ("m", c_int64), ("n", c_int64), ("k", c_int64)),
        *(("bias", c_void_p), ("made", c_void_p)),
    )


LAYOUT = [EDITION, ctypes.sizeof(WholeProduct)]
FUNCTIONS: Functions = {"multiply_whole_matrices": [POINTER(WholeProduct), c_int]}


@cache
def whole() -> ctypes.CDLL | None:
    """The better of what was compiled; None where nothing was, or the processor has no AVX2."""
    for name, needs in BUILDS:
        if code := find_native(name, needs=needs, layout=LAYOUT, functions=FUNCTIONS):
            return code
    return None
