"""The heads on top of the encoder, step by step, and the guess read off after every layer.

Letters: T tokens, D hidden width, V vocabulary, K guesses kept, P places, O outputs of a task, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bertsmith.config import TaskName
from bertsmith.explain.steps import final
from bertsmith.model.bert import Bert
from bertsmith.model.heads import MaskedLMHead, ModernPooler, NextSentenceHead, Pooler

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

TOP_K = 10
_LENS_BYTES = 64 << 20  # of logits at once


@dataclass(frozen=True)
class MaskedLMSteps:
    """From O_t to the guess W'_t, at every place.

    Attributes:
        dense, activated, normed: (T, D) the classification layer: a matrix, GELU, LayerNorm.
        ids: (T, K) the likeliest WordPieces by falling probability.
        rows, biases: (T, K, D) and (T, K) what the decoder has for them: their word embeddings again, and a bias.
        logits: (T, K) rows · normed + biases.
        probabilities: (T, K) exp(logit - log_sum), the softmax over all V.
        log_sum: (T,) the logarithm of the sum of exp(logit) over the whole vocabulary.
    """

    dense: Floats
    activated: Floats
    normed: Floats
    ids: Ints
    rows: Floats
    biases: Floats
    logits: Floats
    probabilities: Floats
    log_sum: Floats


@dataclass(frozen=True)
class NextSentenceSteps:
    """From O_[CLS] to whether the second text follows the first.

    Attributes:
        dense, pooled: (D,) the pooler: a matrix, tanh.
        logits: (2,) for "follows", and for "is from elsewhere".
        probabilities: (2,) their softmax.
    """

    dense: Floats
    pooled: Floats
    logits: Floats
    probabilities: Floats


@dataclass(frozen=True)
class TaskSteps:
    """From O to what a fine-tuned model says.

    Attributes:
        name: of the task.
        labels: of the outputs, where they have names.
        places: (P,) the tokens that the task reads, such as 0 for [CLS].
        read: (P, D) what its last matrix reads there: O, or what the pooler makes of it.
        logits: (P, O).
        answer: what `predict` gives: a Classification, a float, a Tagging, an AnswerSpan or a Choice.
        example: what was asked.
        choice: of `choose`, which continuation this is.
    """

    name: TaskName
    labels: tuple[str, ...]
    places: Ints
    read: Floats
    logits: Floats
    answer: Any
    example: Any = None
    choice: int = 0


@dataclass(frozen=True)
class Lens:
    """What the masked LM head would guess if the encoder ended earlier ("logit lens").

    Attributes:
        places: (P,) the tokens at which it is read.
        ids, probabilities: (L + 1, P, K) after the embeddings, and after each layer.
    """

    places: Ints
    ids: Ints
    probabilities: Floats


def masked_lm_steps(bert: Bert, output: Tensor, *, top_k: int, vocab_size: int) -> MaskedLMSteps:
    """What the masked LM head makes of (T, D); guesses are among the first `vocab_size` ids."""
    head = cast(MaskedLMHead, bert.masked_lm)
    dense = head.dense(output)
    activated = head.activation(dense)
    normed = head.norm(activated)
    table = bert.encoder.embeddings.word.weight
    logits = F.linear(normed, table, head.bias)  # (T, V)
    best = logits[:, :vocab_size].topk(min(top_k, vocab_size))
    log_sum = torch.logsumexp(logits, dim=-1)
    return MaskedLMSteps(
        array(dense),
        array(activated),
        array(normed),
        best.indices.cpu().numpy(),
        array(table[best.indices]),
        array(head.bias[best.indices]),
        array(best.values),
        array(torch.exp(best.values - log_sum[:, None])),
        array(log_sum),
    )


def next_sentence_steps(bert: Bert, output: Tensor) -> NextSentenceSteps:
    """What pooler and next-sentence head make of (T, D)."""
    dense = cast(Pooler, bert.pooler).dense(output[0])
    pooled = torch.tanh(dense)
    logits = cast(NextSentenceHead, bert.next_sentence)(pooled)
    return NextSentenceSteps(array(dense), array(pooled), array(logits), array(torch.softmax(logits, -1)))


def read_by_head(bert: Bert, states: Sequence[Tensor]) -> Tensor:
    """What a fine-tuned head reads, of L + 1 hidden states (…, T, D): the last, or in feature mode several."""
    layers = bert.head.feature_layers if bert.head else 0
    return torch.cat(list(states[-layers:]), dim=-1) if layers else states[-1]


def before_outputs(bert: Bert, read: Tensor) -> Tensor:
    """What the last matrix of a fine-tuned model reads, (P, D) -> (P, D)."""
    pools = bert.qa_outputs is None and bert.pooler is not None
    assert not pools or isinstance(bert.pooler, Pooler | ModernPooler)
    return bert.pooled(read) if pools else read


def read_lens(bert: Bert, outputs: Sequence[Tensor], places: Ints, *, top_k: int, vocab_size: int) -> Lens:
    """The guesses after the embeddings and after each layer.

    Args:
        bert: with the masked LM head.
        outputs: L + 1 times (T, D), the embeddings and what each layer gives on.
        places: (P,) where to read.
        top_k: K.
        vocab_size: guesses are among so many first ids.
    """
    states = torch.stack([final(bert, state[torch.from_numpy(places).to(state.device)]) for state in outputs])
    step = max(1, _LENS_BYTES // (4 * bert.config.vocab_size))
    ids, probabilities = [], []
    for part in torch.split(states.flatten(0, 1), step):  # (L + 1, P, D) -> parts of ((L + 1) * P, D)
        best = torch.softmax(bert.masked_lm_logits(part), dim=-1)[:, :vocab_size].topk(min(top_k, vocab_size))
        ids.append(best.indices.cpu().numpy())
        probabilities.append(array(best.values))
    shape = (len(outputs), len(places), -1)
    return Lens(places, np.concatenate(ids).reshape(shape), np.concatenate(probabilities).reshape(shape))


def array(tensor: Tensor) -> Floats:
    """Numbers of a tensor, for keeping."""
    return tensor.detach().float().cpu().numpy()
