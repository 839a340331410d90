"""An ONNX graph -> the same with weights of eight bits."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bertsmith.text.wordpiece import WordPiece

_PRODUCTS = ["MatMul", "Gemm"]


def quantise_dynamic(source: Path, target: Path, **extra: Any) -> None:
    """Weights in eight bits, a scale a channel; what flows between them is scaled as it comes.

    Args:
        source, target: the graph and what is made of it.
        extra: options of ONNX Runtime's quantiser.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8, extra_options=extra)


def quantise_static(
    source: Path, target: Path, tokenizer: WordPiece, texts: Sequence[str], inputs: Sequence[str], *, masked: bool
) -> None:
    """As `quantise_dynamic`, but what flows between products is scaled once for all, as some texts have it.

    Args:
        source, target: the graph and what is made of it.
        tokenizer: the model's.
        texts: what it will read.
        inputs: of the graph.
        masked: whether it will read [MASK] too; what a classifier never reads would only widen its scales.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Texts(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds = _feeds(tokenizer, texts, inputs, masked)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._feeds, None)

    with _quiet():
        quantize_static(
            source,
            target,
            Texts(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_PRODUCTS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


def _feeds(tokenizer: WordPiece, texts: Sequence[str], inputs: Sequence[str], masked: bool) -> Iterator[dict[str, Any]]:
    """A text a run: nothing that is learned of them is of padding."""
    flat, lengths = tokenizer.encode_sentences(list(texts))
    for ids in np.split(flat, np.cumsum(lengths)[:-1]):
        body = ids[: tokenizer.model_max_length - 2]
        row = np.concatenate(([tokenizer.cls_id], body, [tokenizer.sep_id])).astype(np.int64)[None]
        if masked:
            row[0, len(row[0]) // 2] = tokenizer.mask_id
        given = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
        yield {name: given[name] for name in inputs}


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises steps that change nothing here, on the root logger."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
