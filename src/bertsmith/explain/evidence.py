"""Which words made a prediction: gradient × input, and integrated gradients.

What is explained is one output of the model, F. Its baseline is the same sentence with every word hidden, which is what
a BERT knows how to read; so the shares of the words say what knowing them changed.

Letters: B rows, T tokens, D hidden width, S points on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from bertsmith.explain.heads import Floats, array
from bertsmith.explain.passes import next_pass
from bertsmith.explain.recording import Pass
from bertsmith.explain.steps import hidden_states, with_words
from bertsmith.model.bert import Bert

# L + 1 hidden states (B, T, D) -> the output that is explained, (B,).
Output = Callable[[Sequence[Tensor]], Tensor]

POINTS = (16, 32, 64, 128, 256)  # tried one after the other, until the shares add up
CLOSE = 0.01  # how near they must come to the difference of the outputs, as a share of it
_PASS_TOKENS = 256  # computed at once: with a model of size base in about a second


@dataclass(frozen=True)
class Evidence:
    """What each token did for one output.

    Attributes:
        target: the output, in words.
        place: the token whose output it is.
        value: F of the sentence.
        baseline: F where every word is hidden.
        gradient_input: (T,) the gradient at the word's vector, times the vector.
        integrated: (T,) integrated gradients from the baseline; they sum to `value - baseline`.
        points: on the way from the baseline to the sentence.
    """

    target: str
    place: int
    value: float
    baseline: float
    gradient_input: Floats
    integrated: Floats
    points: int

    @property
    def error(self) -> float:
        """By how much the shares miss the difference of the outputs."""
        return float(self.integrated.sum(dtype=np.float64)) - (self.value - self.baseline)


def find_evidence(bert: Bert, made: Pass, output: Output, *, target: str, place: int, mask_id: int) -> Evidence:
    """Share one output among the tokens.

    Args:
        bert: in evaluation mode.
        made: the pass of the sentence.
        output: what is explained.
        target: what to call it.
        place: the token whose output it is.
        mask_id: the id that words are hidden by.

    Reference:
        Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks"; the integral is by Gauss and Legendre.
    """
    word = made.embeddings.word.detach()
    hidden = _all_hidden(bert, made, mask_id)
    way = _Way(bert, made, output, hidden, word)
    (baseline, value), gradients = way.at(np.array([0.0, 1.0]))
    gradient_input = array((gradients[1] * word[0]).sum(-1))
    shares, points = np.zeros(word.shape[1]), 0
    for points in POINTS:
        shares = way.integral(points)
        if abs(shares.sum() - (value - baseline)) <= CLOSE * max(abs(value - baseline), 0.1):
            break
    return Evidence(target, place, value, baseline, gradient_input, shares.astype(np.float32), points)


def _all_hidden(bert: Bert, made: Pass, mask_id: int) -> Tensor:
    """The words' vectors, (1, T, D), where all but [CLS] and [SEP] are [MASK]."""
    ids = made.input_ids.clone()
    special = made.input_ids == made.input_ids[0, 0]
    special |= made.input_ids == made.input_ids[0, -1]
    ids[~special] = mask_id
    words: Tensor = bert.encoder.embeddings.word(ids)
    return words.detach()


@dataclass(frozen=True)
class _Way:
    """The straight line from the hidden sentence to the sentence, in the space of the words' vectors."""

    bert: Bert
    made: Pass
    output: Output
    start: Tensor  # (1, T, D)
    end: Tensor

    def at(self, shares: Floats | np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[list[float], Tensor]:
        """F at points of the line, S values, and its gradients there, (S, T, D)."""
        values, gradients = [], []
        step = max(1, _PASS_TOKENS // self.start.shape[1])
        for part in torch.split(torch.from_numpy(shares).to(self.start), step):
            next_pass()
            word = (self.start + part[:, None, None] * (self.end - self.start)).requires_grad_()
            with torch.enable_grad():
                found = self._output(word)
                (gradient,) = torch.autograd.grad(found.sum(), word)
            values += found.detach().double().tolist()
            gradients.append(gradient)
        return values, torch.cat(gradients)

    def _output(self, word: Tensor) -> Tensor:
        rows = len(word)
        embedded = with_words(self.bert, self.made.embeddings, word).normed
        position_ids = self.made.position_ids.expand(rows, -1)
        return self.output(hidden_states(self.bert, embedded, position_ids))

    def integral(self, points: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """(T,) the mean gradient on the line, times its direction."""
        nodes, weights = leggauss(points)  # on [-1, 1]
        _, gradients = self.at((nodes + 1) / 2)
        mean = (torch.from_numpy(weights / 2).to(gradients)[:, None, None] * gradients).sum(0)
        shares = (mean * (self.end - self.start)[0]).sum(-1)
        return shares.double().cpu().numpy()
