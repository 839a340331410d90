"""Which number format this machine multiplies fast: measured, not guessed from a list of processors."""

from __future__ import annotations

import time
from statistics import median

import torch

from bertsmith.config import Precision
from bertsmith.model.linear import product

# Fewer than this many times faster, and the casts eat the gain.
WORTHWHILE = 1.5
# So many times slower, and the processor has no such format. (rows, in, out) of a product that shows it at once, and of
# one that a small BERT has, which then takes seconds.
EMULATED, GLANCE, USUAL = 4, (128, 128, 128), (1024, 512, 2048)


def choose_precision(asked: Precision, device: torch.device) -> Precision:
    """The format of the products: as asked, or for "auto" bfloat16 where it is clearly faster than float32.

    Of a CUDA device it is known. A processor is measured, which takes about a tenth of a second.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if bfloat16_is_emulated():
        return "float32"
    return "bfloat16" if _speed_up(USUAL) > WORTHWHILE else "float32"


def bfloat16_is_emulated() -> bool:
    """Whether a small product shows that this processor has no bfloat16: a large one is not to be tried."""
    return _speed_up(GLANCE) < 1 / EMULATED


def _speed_up(shape: tuple[int, int, int]) -> float:
    """How many times as fast a product is in bfloat16 as in float32."""
    return _product_seconds(torch.float32, shape) / _product_seconds(torch.bfloat16, shape)


def _product_seconds(dtype: torch.dtype, shape: tuple[int, int, int]) -> float:
    """The median time of five products."""
    rows, width, out = shape
    left, right = torch.ones(rows, width, dtype=dtype), torch.ones(width, out, dtype=dtype)
    product(left, right)  # the first one builds the kernel
    times = []
    for _ in range(5):
        started = time.perf_counter()
        product(left, right)
        times.append(time.perf_counter() - started)
    return median(times)
