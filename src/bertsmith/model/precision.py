"""Which number format this machine multiplies fast: measured, not guessed from a list of processors."""

from __future__ import annotations

import time
from statistics import median

import torch

from bertsmith.config import Precision
from bertsmith.model.linear import product

# Fewer than this many times faster, and the casts eat the gain.
WORTHWHILE = 1.5


def choose_precision(asked: Precision, device: torch.device) -> Precision:
    """The format of the products: as asked, or for "auto" bfloat16 where it is clearly faster than float32.

    Of a CUDA device it is known. A processor is measured, which takes about a tenth of a second on a fast machine; slow
    bfloat16 (no hardware for it) is noticed after one product.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    float32 = _product_seconds(torch.float32, tries=5)
    first = _product_seconds(torch.bfloat16, tries=1)
    if first > 4 * float32:
        return "float32"
    return "bfloat16" if _product_seconds(torch.bfloat16, tries=5) * WORTHWHILE < float32 else "float32"


def _product_seconds(dtype: torch.dtype, *, tries: int) -> float:
    """The median time of one product of the size that a small BERT has."""
    left, right = torch.ones(1024, 512, dtype=dtype), torch.ones(512, 2048, dtype=dtype)
    product(left, right)  # the first one builds the kernel
    times = []
    for _ in range(tries):
        started = time.perf_counter()
        product(left, right)
        times.append(time.perf_counter() - started)
    return median(times)
