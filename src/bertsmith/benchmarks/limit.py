"""The machine's own limit: the fastest large matrix product, which no training step can pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from bertsmith.model.linear import product
from bertsmith.model.precision import bfloat16_is_emulated
from bertsmith.model.whole import can_multiply_whole, multiply_whole

# (rows, in, out): the feed-forward of mini over 64 x 128 places and of base over 32 x 128, and a square.
SHAPES = ((8192, 256, 1024), (4096, 768, 3072), (2048, 2048, 2048))
SMALL = (128, 128, 128)
TRIES = 3
Multiply = Callable[[Tensor, Tensor], Tensor]
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def matmul_limits(device: torch.device) -> dict[str, float]:
    """FLOP/s of the best large product in each format: of each shape the median of three, ours and torch's, the best.

    Takes about two seconds on two cores. bfloat16 that a processor only emulates is measured on a small product.
    """
    small = device.type == "cpu" and bfloat16_is_emulated()
    shapes = {"float32": SHAPES, "bfloat16": (SMALL,) if small else SHAPES}
    ways = (product, torch.matmul) if device.type == "cpu" else (torch.matmul,)
    found = {name: max(_speed(shape, FORMATS[name], device, ways) for shape in shapes[name]) for name in FORMATS}
    if can_multiply_whole(device):
        found["int16"] = max(_speed(shape, torch.float32, device, (multiply_whole,)) for shape in SHAPES)
    return found


def _speed(shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device, ways: Sequence[Multiply]) -> float:
    """The median FLOP/s of the best way."""
    rows, width, out = shape
    left, right = (torch.ones(shape, dtype=dtype, device=device) for shape in ((rows, width), (width, out)))
    return max(_median_speed(multiply, left, right) for multiply in ways)


def _median_speed(multiply: Multiply, left: Tensor, right: Tensor) -> float:
    multiply(left, right)  # builds the kernel
    finish(left.device)
    speeds: list[float] = []
    for _ in range(TRIES):
        started = time.perf_counter()
        multiply(left, right)
        finish(left.device)
        speeds.append(2 * left.numel() * right.shape[1] / (time.perf_counter() - started))
    return median(speeds)


def finish(device: torch.device) -> None:
    """Wait for what a GPU was given to do; a processor has done it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
