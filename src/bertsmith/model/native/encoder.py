"""`encoder.c`, found and called."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_double, c_int, c_int64, c_void_p
from functools import cache
from typing import NamedTuple

import torch

from bertsmith.model.native.files import AVX2, AVX512_VNNI, Functions, find_native

NO_MEMORY, UNKNOWN_ID = 1, 2  # what `run_encoder` answers
GROUP, LARGEST = 256, 2895  # of whole numbers, as in `product.h`
Pointers, Counts = c_void_p * 3, c_int64 * 3  # of words, segments, positions


class Product(Structure):
    """A linear layer; see `product.h`."""

    _fields_ = (
        ("panels", c_void_p),
        ("scales", c_void_p),
        ("bias", c_void_p),
        ("inputs", c_int64),
        ("outputs", c_int64),
    )


class Layer(Structure):
    """A layer of `encoder.c`."""

    _fields_ = (
        ("query", Product),
        ("key_value", Product),
        ("output", Product),
        ("widen", Product),
        ("narrow", Product),
        ("norm_weight", c_void_p * 2),
        ("norm_bias", c_void_p * 2),
    )


class Embeddings(Structure):
    """Word, segment and position, and the LayerNorm over their sum."""

    _fields_ = (
        ("table", Pointers),
        ("rows", Counts),
        ("norm_weight", c_void_p),
        ("norm_bias", c_void_p),
    )


class Encoder(Structure):
    """An encoder of `encoder.c`."""

    _fields_ = (
        ("embeddings", Embeddings),
        ("layer", POINTER(Layer)),
        ("layers", c_int64),
        ("width", c_int64),
        ("heads", c_int64),
        ("inner", c_int64),
        ("activation", c_int64),
        ("eps", c_double),
    )


class Batch(Structure):
    """What it is given; see `encoder.c`."""

    _fields_ = (
        ("ids", Pointers),
        ("hidden", c_void_p),
        ("starts", c_void_p),
        ("sequences", c_int64),
        ("asking", c_void_p),
        ("asking_starts", c_void_p),
        ("asked", c_void_p),
    )


class Build(NamedTuple):
    """One of the two that are compiled of the same sources.

    Attributes:
        name: of its file.
        panel: outputs that lie together in a weight's layout.
        needs: of the processor.
    """

    name: str
    panel: int
    needs: tuple[str, ...]


EDITION = 2  # of the function and what it is given, as C has it
FUNCTIONS: Functions = {"run_encoder": [POINTER(Encoder), POINTER(Batch), c_int]}
BUILDS = (Build("encoder_avx512", 32, AVX512_VNNI), Build("encoder", 16, AVX2))  # the best one first


class Library(NamedTuple):
    """What was compiled.

    Attributes:
        code: where `run_encoder` is.
        panel: outputs that lie together in a weight's layout.
    """

    code: ctypes.CDLL
    panel: int


@cache
def library() -> Library | None:
    """The best of what was compiled; None where nothing was, or the processor lacks what it was compiled for."""
    for name, panel, needs in BUILDS:
        if code := find_native(name, needs=needs, layout=layout(panel), functions=FUNCTIONS):
            return Library(code, panel)
    return None


def layout(panel: int) -> list[int]:
    """What `encoder.c` says of itself, with so many outputs a panel."""
    sizes = (ctypes.sizeof(each) for each in (Product, Layer, Embeddings, Encoder, Batch))
    return [EDITION, panel, GROUP, LARGEST, *sizes]


def run(encoder: Encoder, batch: Batch) -> None:
    """Through all layers, on as many cores as torch would take.

    Raises:
        MemoryError: there is not enough.
        IndexError: an id that its table does not have.
    """
    made = library()
    assert made is not None
    failed = made.code.run_encoder(encoder, batch, torch.get_num_threads())
    if failed == NO_MEMORY:
        raise MemoryError("no memory for the hidden states of a batch: give fewer tokens at once")
    if failed == UNKNOWN_ID:
        raise IndexError("a token, a segment or a position that the model does not have")
