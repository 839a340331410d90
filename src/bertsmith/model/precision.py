"""Which number format this machine multiplies fast: bfloat16 is measured, not guessed from a list of processors."""

from __future__ import annotations

import math
import time

import torch

from bertsmith.config import Precision, PredictionPrecision
from bertsmith.errors import ConfigError
from bertsmith.model.half import can_halve
from bertsmith.model.linear import product
from bertsmith.model.packed import avx2_alone

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
    float32, bfloat16 = _product_seconds(torch.float32, torch.bfloat16)
    return "bfloat16" if bfloat16 * WORTHWHILE < float32 else "float32"


def choose_prediction_precision(asked: PredictionPrecision, device: torch.device) -> PredictionPrecision:
    """As `choose_precision`, and for "auto" float16 in float32's place where a processor has AVX2 alone: there a short
    text takes seven to eight tenths of the time with half the weights to read. With AVX512 half weights cost many texts
    5 to 8%, and short ones have them in any case beside bfloat16 (`encoder_by_length.py`).

    Raises:
        ConfigError: float16 where there is no product for it.
    """
    if asked == "float16":
        if device.type != "cpu" or not can_halve():
            raise ConfigError("float16 is for x86 processors, and not to be had here: take auto, float32 or bfloat16")
        return asked
    chosen = choose_precision(asked, device)
    halved = asked == "auto" and device.type == "cpu" and avx2_alone() and can_halve()
    return "float16" if halved and chosen == "float32" else chosen


def bfloat16_is_emulated() -> bool:
    """Whether torch's matrix library has no bfloat16 of its own for this processor: one product would take seconds."""
    try:
        return not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except (AttributeError, RuntimeError):  # a torch without that library, which only a measurement can tell about
        return False


def _product_seconds(*formats: torch.dtype) -> list[float]:
    """How long a product of the size that a small BERT has takes in each format: the best of seven, in turn.

    What else the machine does only lengthens some of them, and would have the last word in a mean or a median.
    """
    best = [math.inf] * len(formats)
    factors = [
        (torch.ones(1024, 512, dtype=each, device="cpu"), torch.ones(512, 2048, dtype=each, device="cpu"))
        for each in formats
    ]
    for left, right in factors:
        product(left, right)  # the first one builds the kernel
    for _ in range(7):
        for index, (left, right) in enumerate(factors):
            started = time.perf_counter()
            product(left, right)
            best[index] = min(best[index], time.perf_counter() - started)
    return best
