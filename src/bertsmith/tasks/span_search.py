"""The best spans of a text that was read in windows, in time linear in its length.

Letters: W windows, p places of a window, T tokens of the text, K spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bertsmith.data.windows import owners

Float64s = NDArray[np.float64]


@dataclass(frozen=True)
class Spans:
    """The best spans of a text.

    Attributes:
        first, last: (K,) the first and the last token of each, best span first.
        logits: (K,) start plus end logit of each.
        log_sum: the logarithm of the sum of exp(logit) over all spans, those that are not here too; -inf for none.
        null: the logit of no answer: start plus end at [CLS], in the window where it is least.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    logits: Float64s
    log_sum: float
    null: float


def best_spans(outputs: Sequence[NDArray[np.float32]], parts: Sequence[range], *, longest: int, count: int) -> Spans:
    """The best spans of at most `longest` tokens.

    A span counts in the window that sees most of what stands around its first token, and must end in that window.

    Args:
        outputs: W times (p, 2), start and end logits of [CLS] and then of the window's part of the text.
        parts: W ranges, the tokens of the text in each window.
        longest: tokens of a span.
        count: how many spans to return, if there are so many.

    Reference:
        google-research/bert, `run_squad.py`, `write_predictions`.
    """
    first, last, logits = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    log_sums, nulls = [-np.inf], []
    for output, part, owned in zip(outputs, parts, owners(parts), strict=True):
        nulls.append(float(output[0].sum(dtype=np.float64)))
        sums = _spans_from(output[1:].astype(np.float64), owned.start - part.start, owned.stop - part.start, longest)
        if not sums.size:
            continue
        peak = sums.max()
        log_sums.append(peak + np.log(np.exp(sums - peak).sum()))
        chosen = _largest(sums.ravel(), count)
        first = np.concatenate((first, owned.start + chosen // longest))
        last = np.concatenate((last, owned.start + chosen // longest + chosen % longest))
        logits = np.concatenate((logits, sums.ravel()[chosen]))
        kept = _largest(logits, count)
        first, last, logits = first[kept], last[kept], logits[kept]
    return Spans(first, last, logits, float(np.logaddexp.reduce(log_sums)), min(nulls))


def _spans_from(output: Float64s, start: int, stop: int, longest: int) -> Float64s:
    """(p, 2) -> (stop - start, longest): start logit of a token plus end logit of each token from there on."""
    ends = np.concatenate((output[:, 1], np.full(longest, -np.inf)))
    bands: Float64s = output[start:stop, :1] + sliding_window_view(ends, longest)[start:stop]
    return bands


def _largest(values: Float64s, count: int) -> NDArray[np.int64]:
    """Indices of the largest finite values, largest first; among equals the first."""
    if len(values) > count:
        edge = np.partition(values, len(values) - count)[len(values) - count]
        candidates = np.flatnonzero(values >= edge)
    else:
        candidates = np.arange(len(values))
    candidates = candidates[np.isfinite(values[candidates])]
    return candidates[np.argsort(-values[candidates], kind="stable")][:count]
