"""In feature mode the encoder is frozen: what the head reads of an example is the same in every epoch, and is kept.

Letters: p places that the task reads of a window, F last layers that the head reads, D hidden width.

Reference:
    Devlin et al. 2019, section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from bertsmith.data.windows import Encoded
from bertsmith.model.bert import Bert
from bertsmith.tasks.finetuning import BLOCK, each_window
from bertsmith.tasks.torch_reader import TorchReader

_BYTES = 4  # of a float32: as the finished model reads, whatever the precision of training


def feature_bytes(model: Bert, encoded: Sequence[Encoded]) -> int:
    """How much memory the features of examples take."""
    return sum(len(window.places) for each in encoded for window in each.windows) * _width(model) * _BYTES


def with_features(model: Bert, encoded: Sequence[Encoded], done: Callable[[int], None]) -> list[Encoded]:
    """The examples with what the head reads of them, (p, F * D) a window.

    Args:
        model: in evaluation mode, its encoder frozen.
        encoded: the examples' windows.
        done: told how many examples were read.
    """
    read: list[Encoded] = []
    reader = TorchReader(model)
    for first in range(0, len(encoded), BLOCK):
        block = encoded[first : first + BLOCK]
        windows = [window for each in block for window in each.windows]
        features = each_window(reader, reader.head_inputs, windows, width=_width(model))
        known = (replace(window, features=values) for window, values in zip(windows, features, strict=True))
        read += [replace(each, windows=tuple(islice(known, len(each.windows)))) for each in block]
        done(len(read))
    return read


def _width(model: Bert) -> int:
    layers = model.head.feature_layers if model.head else 0
    return model.config.hidden_size * max(1, layers)
