"""The peer's pretraining step: BERT of transformers with torch's AdamW, `BertForPreTraining` or for masked LM alone
`BertForMaskedLM`.

The same rows with the same hidden tokens as ours. The batches lie ready, where ours are made while it trains, and
gradients are not clipped: both in the peer's favour. transformers knows no packed rows, so the tokens of a row see one
another, and a row has the next-sentence label of its first sequence.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from typing import Any

import numpy as np
import torch
import transformers
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining

from bertsmith.benchmarks.step_side import LEARNING_RATE, Settings, Side
from bertsmith.config import ModelConfig
from bertsmith.data.batch import PretrainingBatch
from bertsmith.data.sampler import Position
from bertsmith.model.device import choose_device
from bertsmith.model.precision import choose_precision
from bertsmith.tasks.linear_cross_entropy import IGNORED
from bertsmith.tasks.pretraining import Pretraining

BATCHES = 4  # that are taken in turn
UNCOMPILED = "not compiled, since there is no C++ compiler (g++ or clang++)"


class Peer(Side):
    """BERT of transformers.

    Args:
        settings: what is computed.
        best: at its best: bfloat16 where that is faster here, torch.compile, the fused AdamW, our dropout. Else as it
            comes: float32, dropout 0.1, the plain AdamW.
    """

    def __init__(self, settings: Settings, *, best: bool) -> None:
        warnings.simplefilter("ignore")
        transformers.logging.set_verbosity(logging.ERROR)
        torch.manual_seed(settings.config.seed)
        next_sentence = Pretraining(settings.config.objective).next_sentence
        dropout = settings.config.dropout if best else 0.1
        config = _config(settings, dropout)
        model: Any = BertForPreTraining(config) if next_sentence else BertForMaskedLM(config)
        self.device = choose_device(settings.config.device)
        model.to(self.device)
        fast = best and choose_precision("auto", self.device) == "bfloat16"
        self.precision = "bfloat16" if fast else "float32"
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True if best else None)
        self.note = UNCOMPILED if best and not _compiler() else ""
        self.model = torch.compile(model.train()) if best and _compiler() else model.train()
        self.batches, self.tokens, self._next = [], [], 0
        sampler, position = settings.sampler(), Position()
        for _ in range(BATCHES):
            batch, position = sampler.take(position, settings.config.batch_size)
            whole = peer_batch(batch, next_sentence=next_sentence)
            self.batches.append({name: tensor.to(self.device) for name, tensor in whole.items()})
            self.tokens.append(batch.tokens)

    def steps(self, count: int) -> int:
        """Take so many optimizer steps."""
        tokens = 0
        for _ in range(count):
            index = self._next % BATCHES
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
                loss = self.model(**self.batches[index]).loss
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            tokens += self.tokens[index]
            self._next += 1
        return tokens


def peer_batch(batch: PretrainingBatch, *, next_sentence: bool) -> dict[str, torch.Tensor]:
    """Our packed rows under the peer's names: (B, T) each, and (B,) of the next sentence."""
    rows, length = batch.input_ids.shape
    labels = np.full(rows * length, IGNORED)
    labels[batch.masked_places] = batch.masked_labels
    arrays = {
        "input_ids": batch.input_ids,
        "token_type_ids": batch.token_type_ids,
        "attention_mask": (batch.sequence_ids > 0).astype(np.int64),
        "labels": labels.reshape(rows, length),
    }
    if next_sentence:
        arrays["next_sentence_label"] = batch.next_sentence_labels[batch.cls_places % length == 0]
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _config(settings: Settings, dropout: float) -> BertConfig:
    shape = ModelConfig.preset(settings.config.size, vocab_size=settings.vocab_size)
    dropouts = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    longest = max(512, settings.config.max_length_tokens)
    return BertConfig(**{**shape.model_dump(), **dropouts, "max_position_embeddings": longest})


def _compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)
