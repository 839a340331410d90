"""`tiles.c`, found; `model/tiles.py` calls it."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_int, c_int64, c_void_p
from functools import cache

from bertsmith.model.native.files import AVX512_BF16, Functions, find_native

EDITION = 3  # of the functions and what they are given, as C has it
BLOCK = 32  # rows whose sums are made apart
AS_IT_IS, ACTIVATED, SLOPED, POWERS = range(4)  # how a product ends
AMX = (*AVX512_BF16, "amx_tile", "amx_bf16")


class Matrix(Structure):
    """Values in rows that lie `stride` apart; turned: its rows are the matrix's columns."""

    _fields_ = (("values", c_void_p), ("type", c_int64), ("stride", c_int64), ("turned", c_int64))


class TileProduct(Structure):
    """What `multiply_in_tiles` is given."""

    _fields_ = (
        *(("left", Matrix), ("right", Matrix), ("m", c_int64), ("n", c_int64), ("k", c_int64)),
        *(("made", c_void_p), ("type", c_int64), ("stride", c_int64), ("turned", c_int64)),
        *(("ending", c_int64), ("activation", c_int64)),
        *(("bias", c_void_p), ("slopes", c_void_p), ("totals", c_void_p)),
    )


@cache
def tiles() -> ctypes.CDLL | None:
    """What was compiled; None where nothing was, the processor has no AMX, or the system does not permit its use."""
    layout = [EDITION, BLOCK, ctypes.sizeof(Matrix), ctypes.sizeof(TileProduct)]
    functions: Functions = {"permit_tiles": [], "multiply_in_tiles": [POINTER(TileProduct), c_int]}
    code = find_native("tiles", needs=AMX, layout=layout, functions=functions)
    return code if code is not None and code.permit_tiles() == 0 else None
