"""Comparisons as JSON: what the view Compare is fed with.

Letters: T tokens, L layers, N heads, K guesses, k heads whose weights are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bertsmith.explain.packing import Packer, plain
from bertsmith.explain.recording import Recording

if TYPE_CHECKING:
    from bertsmith.explain.comparing import Comparison
    from bertsmith.explain.explanation import Explanation

BESIDE_BYTES = 500_000  # of the arrays of all comparisons of a page


def beside_data(packer: Packer, explanation: Explanation, *, whole: bool = False) -> list[dict[str, Any]]:
    """One object a comparison; their arrays are packed as `beside.0.…`, `beside.1.…`.

    Args:
        packer: takes the arrays.
        explanation: with its comparisons.
        whole: the weights of every head; else of those that moved most, as many as there is room for.
    """
    room = BESIDE_BYTES // max(1, len(explanation.beside))
    return [
        _one(packer, f"beside.{index}", comparison, None if whole else room)
        for index, comparison in enumerate(explanation.beside)
    ]


def _one(packer: Packer, name: str, comparison: Comparison, room: int | None) -> dict[str, Any]:
    other = comparison.other.recording
    heads = _heads_given(comparison, room)
    packer.add(f"{name}.weights", np.stack([other.attention[layer, head] for layer, head in heads]))  # (k, T, T)
    if other.masked_lm is not None:
        for part in ("ids", "probabilities"):
            packer.add(f"{name}.masked_lm.{part}", getattr(other.masked_lm, part))  # (T, K)
    return {
        "model": other.model,
        "weights": plain(comparison.weights),
        "cka": plain(comparison.cka),
        "sample_tokens": comparison.sample_tokens,
        "from_sample": comparison.from_sample,
        "attention": plain(comparison.attention),
        "heads": heads,
        "task": task_data(other),
    }


def _heads_given(comparison: Comparison, room: int | None) -> list[tuple[int, int]]:
    """(layer, head) of the heads whose weights are given, those that moved most first."""
    moved, tokens = comparison.attention, len(comparison.shown.tokens)
    order = [divmod(int(index), moved.shape[1]) for index in np.argsort(-moved, axis=None, kind="stable")]
    return order if room is None else order[: max(1, room // (4 * tokens * tokens))]


def task_data(recording: Recording) -> dict[str, Any] | None:
    task = recording.task
    if task is None:
        return None
    names = {"name": task.name, "labels": task.labels, "choice": task.choice, "places": task.places.tolist()}
    return {**names, "answer": plain(task.answer)}
