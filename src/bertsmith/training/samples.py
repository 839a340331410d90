"""A few held-out sentences with fixed masks, and the model's guesses there at each evaluation: `samples.jsonl`.

Letters: B rows, T tokens of a row, M masked places, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertsmith.data.batch import PretrainingBatch, concatenate
from bertsmith.model.bert import Bert
from bertsmith.tasks.pretraining import Pretraining
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.journal import Journal

SENTENCES, GUESSES = 4, 3
SHORT_TOKENS, MOST_TOKENS = 8, 64  # of a sequence; of longer ones the beginning is shown


@dataclass(frozen=True)
class _Sentence:
    """A sequence of the batch: its row, and its first and past-the-last place among the B * T places."""

    row: int
    start: int
    end: int

    @property
    def readable(self) -> bool:
        """Whether it is shown whole, and is more than a scrap."""
        return SHORT_TOKENS <= self.end - self.start <= MOST_TOKENS


class Samples:
    """The sentences, and the journal of guesses.

    Args:
        path: of the journal; None keeps it in memory.
        batches: rows that are evaluated on.
        tokenizer: what made them.
    """

    def __init__(self, path: Path | None, batches: Sequence[PretrainingBatch], tokenizer: WordPiece) -> None:
        self.journal, self._tokenizer = Journal(path), tokenizer
        whole = concatenate(batches)
        chosen = _choose(whole, tokenizer.mask_id)
        rows = sorted({sentence.row for sentence in chosen})
        self._batch = concatenate([whole.slice(row, row + 1) for row in rows]) if rows else None
        length = whole.input_ids.shape[1]
        self._sentences = [
            (sentence.start + shift, min(sentence.end, sentence.start + MOST_TOKENS) + shift)
            for sentence in chosen
            for shift in [length * (rows.index(sentence.row) - sentence.row)]
        ]

    def write(self, step: int, task: Pretraining, bert: Bert) -> None:
        """Add a line: the sentences, what was hidden in them, and what the model, in evaluation mode, guesses."""
        if self._batch is not None:
            self.journal.write({"kind": "evaluation", "step": step, "sentences": self._guessed(task, bert)})

    @torch.inference_mode()
    def _guessed(self, task: Pretraining, bert: Bert) -> list[dict[str, Any]]:
        batch = self._batch
        assert batch is not None
        logits = task.guess(bert, batch).masked_lm  # (M, V)
        best = torch.softmax(logits.float().cpu(), dim=-1).topk(min(GUESSES, logits.shape[1]))
        shares = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        named = [[[self._token(i), round(share, 5)] for i, share in zip(*pair, strict=True)] for pair in shares]
        return [self._shown(batch, start, end, named) for start, end in self._sentences]

    def _shown(self, batch: PretrainingBatch, start: int, end: int, guesses: list[list[Any]]) -> dict[str, Any]:
        masks = [
            {
                "place": int(batch.masked_places[index]) - start,
                "hidden": self._token(batch.masked_labels[index]),
                "guesses": guesses[index],
            }
            for index in _asked(batch, start, end, self._tokenizer.mask_id)
        ]
        return {"tokens": [self._token(token_id) for token_id in batch.input_ids.ravel()[start:end]], "masks": masks}

    def _token(self, token_id: int) -> str:
        return self._tokenizer.tokens[token_id]


def _choose(batch: PretrainingBatch, mask_id: int) -> list[_Sentence]:
    """The first sequences with a [MASK] where it would be shown, readable ones before others."""
    length = batch.input_ids.shape[1]
    filled = np.count_nonzero(batch.sequence_ids, axis=1)
    begins = batch.cls_places.tolist()
    found = []
    for begin, next_one in zip(begins, [*begins[1:], batch.input_ids.size], strict=True):
        row = begin // length
        end = min(next_one, row * length + int(filled[row]))
        if len(_asked(batch, begin, min(end, begin + MOST_TOKENS), mask_id)):
            found.append(_Sentence(row, begin, end))
    return sorted(found, key=lambda sentence: not sentence.readable)[:SENTENCES]


def _asked(batch: PretrainingBatch, start: int, end: int, mask_id: int) -> list[int]:
    """Which of the masked places are [MASK] between two places; others hold a random or their own token."""
    places = batch.masked_places
    shown = batch.input_ids.ravel()[places]
    chosen: list[int] = np.flatnonzero((places >= start) & (places < end) & (shown == mask_id)).tolist()
    return chosen
