"""A model beside another of its shape, on the same tokens: what it was fine-tuned from, or itself at another step.

Letters: L layers, N heads, T tokens, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from bertsmith.errors import InputError
from bertsmith.explain.drift import WeightDrift, attention_moved, cka_of_layers, weight_drift
from bertsmith.explain.explaining import record_beside
from bertsmith.explain.explanation import Explanation
from bertsmith.explain.heads import Floats, array
from bertsmith.explain.reading import Reader
from bertsmith.explain.recording import Recording, run
from bertsmith.inference.predictor import Predictor
from bertsmith.model.bert import Bert

SAMPLE_TOKENS = 2048  # read of a sample at most
_SHAPE = ("architecture", "num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size", "vocab_size")


@dataclass(frozen=True)
class Comparison:
    """What moved between another model and the one that is explained.

    Attributes:
        other: the other's pass of the same tokens, and what it says.
        shown: the pass that it is beside.
        weights: of the embeddings, each layer, and the heads that both have.
        cka: (L + 1,) how alike the representations are after the embeddings and each layer, see `linear_cka`.
        sample_tokens: how many tokens that was computed over.
        from_sample: whether they are of a sample of texts, and not of the sentence alone.
    """

    other: Explanation
    shown: Recording
    weights: tuple[WeightDrift, ...]
    cka: Floats
    sample_tokens: int
    from_sample: bool

    @cached_property
    def attention(self) -> Floats:
        """(L, N) the share of each head's attention that went to other tokens, see `attention_moved`."""
        return attention_moved(self.shown.attention, self.other.recording.attention)


def compare(
    explanation: Explanation,
    model: Predictor,
    other: Predictor,
    sample: Sequence[str] = (),
    *,
    weights: tuple[WeightDrift, ...] | None = None,
) -> Comparison:
    """Lay another model beside the one that was explained.

    Args:
        explanation: of the model.
        model: the model.
        other: of the same shape and vocabulary.
        sample: texts over whose tokens representations are compared, the first `SAMPLE_TOKENS`; none: the sentence's.
        weights: what `weight_drift` says of the two, where it is known: no sentence changes it.

    Raises:
        InputError: another shape or vocabulary, or a sample without a word.
    """
    check_alike(model, other)
    shown = explanation.recording
    task = other.task if other.bert.head else None
    beside = record_beside(other.bert, other.tokenizer, task, shown, model=other.name)
    if sample:
        states, were = (_sample_states(each.bert, Reader(model.tokenizer), sample) for each in (model, other))
    else:
        states, were = _states(shown), _states(beside.recording)
    drift = weight_drift(model.bert, other.bert) if weights is None else weights
    return Comparison(beside, shown, drift, cka_of_layers(states, were), len(states[0]), bool(sample))


def check_alike(model: Predictor, other: Predictor) -> None:
    """Raises InputError where two models cannot be compared: another shape or vocabulary."""
    one, two = model.bert.config, other.bert.config
    differ = [f"{name} {getattr(two, name)} and {getattr(one, name)}" for name in _SHAPE]
    differ = [text for name, text in zip(_SHAPE, differ, strict=True) if getattr(one, name) != getattr(two, name)]
    if differ:
        raise InputError(
            f"{other.name} has another shape than {model.name} ({'; '.join(differ)}): models of one shape are "
            "compared, such as a model and what it was fine-tuned from"
        )
    if model.tokenizer.tokens != other.tokenizer.tokens:
        raise InputError(
            f"{other.name} has another vocabulary than {model.name}, so the two do not read the same tokens: compare "
            "models with one tokenizer"
        )


def _states(recording: Recording) -> list[Floats]:
    """L + 1 times (T, D)."""
    layers = [layer.output for layer in recording.layers[:-1]]
    return [recording.embeddings.normed, *layers, recording.output]


@torch.no_grad()
def _sample_states(bert: Bert, reader: Reader, texts: Sequence[str]) -> list[Floats]:
    """L + 1 times (n, D) of the first tokens of texts, each read alone and cut to the model's length."""
    found: list[list[Floats]] = []
    room, longest = SAMPLE_TOKENS, bert.config.max_position_embeddings
    for text in texts:
        tokens = reader.text(text, None)[: min(room, longest)]
        if len(tokens) > 2:  # more than [CLS] and [SEP]
            found.append([array(state[0]) for state in run(bert, tokens).states])
            room -= len(tokens)
        if room <= 0:
            break
    if not found:
        raise InputError("the sample has no word: give texts, a line each")
    return [np.concatenate(states) for states in zip(*found, strict=True)]
