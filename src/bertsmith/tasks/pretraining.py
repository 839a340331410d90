"""BERT's pretraining: masked LM and next-sentence prediction on packed rows.

Letters: B rows, T tokens, M masked places, S sequences, D hidden width, V vocabulary.

Reference:
    Devlin et al. 2019, section 3.1: the loss is the mean over the masked places plus the mean over the sequences.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bertsmith.config import Objective
from bertsmith.data.batch import PretrainingBatch
from bertsmith.model.bert import Bert, Part
from bertsmith.model.device import on_device
from bertsmith.tasks.linear_cross_entropy import IGNORED, linear_cross_entropy

FILL_MULTIPLE = 32  # to which the places that a batch reads are filled up
_UNLABELLED = np.full(FILL_MULTIPLE, IGNORED)


@dataclass(frozen=True)
class Guesses:
    """What the model says of a batch.

    Attributes:
        masked_lm: (M, V) logits at the masked places.
        next_sentence: (S, 2) logits of the sequences, or None without that objective.
    """

    masked_lm: Tensor
    next_sentence: Tensor | None


class Pretraining:
    """Masked LM, with or without next-sentence prediction."""

    def __init__(self, objective: Objective) -> None:
        self.next_sentence = objective == "mlm+nsp"

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the model needs beside its encoder."""
        return ("pooler", "masked_lm", "next_sentence") if self.next_sentence else ("masked_lm",)

    def guess(self, model: Bert, batch: PretrainingBatch) -> Guesses:
        """Run the model over a batch; logits are made where there is something to guess only."""
        masked, cls = self._read(model, batch)
        masked, cls = masked[: len(batch.masked_labels)], cls[: len(batch.next_sentence_labels)]
        return Guesses(model.masked_lm_logits(masked), model.next_sentence_logits(cls) if self.next_sentence else None)

    def _read(self, model: Bert, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """The hidden states at the masked places, (M', D), and at the sequences' [CLS], (S', D), none without NSP.

        Both are filled up with the first place of some rows: steps are of few sizes then, and memory that one frees
        fits the next.
        """
        rows, tokens = batch.input_ids.shape
        firsts = np.arange(FILL_MULTIPLE) % rows * tokens
        cls_places = batch.cls_places if self.next_sentence else batch.cls_places[:0]
        places = [_filled(each, firsts) for each in (batch.masked_places, cls_places)]
        hidden = model(
            on_device(batch.input_ids, model.device),
            token_type_ids=on_device(batch.token_type_ids, model.device),
            position_ids=on_device(batch.position_ids, model.device),
            sequence_ids=on_device(batch.sequence_ids, model.device),
            places=on_device(np.concatenate(places), model.device),
        )  # (B, T) -> (M' + S', D)
        masked, cls = hidden.tensor_split([len(places[0])])
        return masked, cls

    def loss_counts(self, batch: PretrainingBatch) -> dict[str, int]:
        """Masked places and sequences of a batch."""
        counts = {"mlm": len(batch.masked_labels)}
        return {**counts, "nsp": len(batch.next_sentence_labels)} if self.next_sentence else counts

    def loss_sums(self, model: Bert, batch: PretrainingBatch) -> dict[str, Tensor]:
        """Cross-entropy of the hidden tokens and of the sentence order, summed, in nats."""
        masked, cls = self._read(model, batch)
        hidden_tokens = on_device(_filled(batch.masked_labels, _UNLABELLED), model.device)
        sums = {"mlm": linear_cross_entropy(*model.masked_lm_product(masked), hidden_tokens)}
        if self.next_sentence:
            labels = on_device(_filled(batch.next_sentence_labels, _UNLABELLED), model.device)
            logits = model.next_sentence_logits(cls).float()
            sums["nsp"] = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
        return sums

    @torch.inference_mode()
    def evaluate(self, model: Bert, batches: Iterable[PretrainingBatch]) -> dict[str, float]:
        """How well the model guesses, over all batches.

        Returns:
            `mlm_loss` (nats a masked token), `mlm_perplexity`, `mlm_accuracy`; with next-sentence prediction also
            `nsp_loss` (nats), `nsp_accuracy`, and `nsp_baseline`, the accuracy of always giving the commoner answer.
        """
        batches = list(batches)
        sums: dict[str, NDArray[np.float64]] = {}
        for batch in batches:
            for name, (logits, labels) in self._guessed(model, batch).items():
                loss = F.cross_entropy(logits.float(), labels, reduction="sum").item()
                right = (logits.argmax(-1) == labels).sum().item()
                sums.setdefault(name, np.zeros(3))[:] += (loss, right, len(labels))
        metrics: dict[str, float] = {}
        for name, (loss, right, count) in sums.items():
            metrics[f"{name}_loss"] = float(loss / count)
            metrics[f"{name}_accuracy"] = float(right / count)
        if self.next_sentence:
            random_share = float(np.concatenate([batch.next_sentence_labels for batch in batches]).mean())
            metrics["nsp_baseline"] = max(random_share, 1 - random_share)
        metrics["mlm_perplexity"] = math.exp(min(metrics["mlm_loss"], 700.0))
        return metrics

    def _guessed(self, model: Bert, batch: PretrainingBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """For each objective the logits, (M, V) or (S, 2), and what is right, (M,) or (S,)."""
        guesses = self.guess(model, batch)
        guessed = {"mlm": (guesses.masked_lm, on_device(batch.masked_labels, model.device))}
        if guesses.next_sentence is not None:
            guessed["nsp"] = (guesses.next_sentence, on_device(batch.next_sentence_labels, model.device))
        return guessed


def _filled(values: NDArray[np.int64], fillers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,), (FILL_MULTIPLE,) -> (n',), n' a multiple of FILL_MULTIPLE, or of a quarter of it where that is much."""
    multiple = FILL_MULTIPLE if len(values) >= 8 * FILL_MULTIPLE else FILL_MULTIPLE // 4
    return np.concatenate([values, fillers[: -len(values) % multiple]])


def frequency_loss(token_counts: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The masked LM loss of always guessing by word frequency, in nats a token.

    Args:
        token_counts: (V,) how often each token occurs in training text; one is added to each.
        labels: (M,) the hidden tokens.
    """
    return float(-log_frequencies(token_counts)[labels].mean())


def log_frequencies(token_counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(V,) -> (V,), the logarithm of each token's share; one is added to each count, so that none is -inf."""
    shares: NDArray[np.float64] = (token_counts + 1) / (token_counts + 1).sum()
    return np.log(shares)
