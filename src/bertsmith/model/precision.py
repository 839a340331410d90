"""Which number format this machine multiplies fast: bfloat16 is measured, not guessed from a list of processors."""

from __future__ import annotations

import math
import time

import torch

from bertsmith.config import Precision, PredictionPrecision
from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert
from bertsmith.model.encoder import BertEncoder
from bertsmith.model.half import can_halve
from bertsmith.model.linear import product
from bertsmith.model.native_encoder import can_be_native
from bertsmith.model.packed import avx2_alone
from bertsmith.model.whole import can_multiply_whole

_NOT_COMPILED = (
    "int16 wants an x86 processor with AVX2, and what is compiled at installation where there is a C compiler; one of "
    "both is not to be had here: take auto or float32"
)
# Fewer than this many times faster, and the casts eat the gain.
WORTHWHILE = 1.5


def choose_precision(asked: Precision, device: torch.device) -> Precision:
    """The format of the products: as asked, or for "auto" bfloat16 where it is clearly faster than float32; else int16
    where a processor has AVX2 alone.

    Of a CUDA device it is known. A processor is measured, which takes about a tenth of a second.

    Raises:
        ConfigError: int16 where there is no product for it.
    """
    if asked == "int16" and not can_multiply_whole(device):
        if device.type != "cpu":
            raise ConfigError("int16 is for processors, and this is computed on a GPU: take auto, float32 or bfloat16")
        raise ConfigError(_NOT_COMPILED)
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if not bfloat16_is_emulated():
        float32, bfloat16 = _product_seconds(torch.float32, torch.bfloat16)
        if bfloat16 * WORTHWHILE < float32:
            return "bfloat16"
    return "int16" if avx2_alone() and can_multiply_whole(device) else "float32"


def choose_prediction_precision(asked: PredictionPrecision, bert: Bert) -> PredictionPrecision:
    """As `choose_precision`; with float16 in int16's place for ModernBERT, and in float32's where nothing was compiled
    and a processor has AVX2 alone: there a short text takes seven to eight tenths of the time with half the weights to
    read. With AVX512 half weights cost many texts 5 to 8%, and short ones have int16 in any case beside bfloat16
    (`encoder_by_length.py`).

    Raises:
        ConfigError: float16 or int16 where there is no product for it.
    """
    halves = bert.device.type == "cpu" and can_halve()
    if asked == "float16":
        if not halves:
            raise ConfigError("float16 is for x86 processors, and not to be had here: take auto, float32 or bfloat16")
        return asked
    if asked == "int16":
        if not isinstance(bert.encoder, BertEncoder):
            raise ConfigError("int16 predicts BERT alone, and this is ModernBERT: take auto, float16 or float32")
        return asked if can_be_native(bert) else choose_precision(asked, bert.device)
    chosen = choose_precision(asked, bert.device)
    if asked != "auto" or chosen == "bfloat16" or not avx2_alone():
        return chosen
    if chosen == "int16" and can_be_native(bert):
        return chosen
    return "float16" if halves else "float32"


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
