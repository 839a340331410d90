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

    Of a CUDA device it is known. A processor is measured, which takes about a tenth of a second.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if bfloat16_is_emulated():
        return "float32"
    float32, bfloat16 = (_product_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    return "bfloat16" if bfloat16 * WORTHWHILE < float32 else "float32"


def bfloat16_is_emulated() -> bool:
    """Whether torch's matrix library has no bfloat16 of its own for this processor: one product would take seconds."""
    try:
        return not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except (AttributeError, RuntimeError):  # a torch without that library, which only a measurement can tell about
        return False


def _product_seconds(dtype: torch.dtype) -> float:
    """The median time of five products of the size that a small BERT has."""
    left, right = torch.ones(1024, 512, dtype=dtype), torch.ones(512, 2048, dtype=dtype)
    product(left, right)  # the first one builds the kernel
    times = []
    for _ in range(5):
        started = time.perf_counter()
        product(left, right)
        times.append(time.perf_counter() - started)
    return median(times)
