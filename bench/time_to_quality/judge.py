"""The one judge of both sides: the masked LM loss on held-out documents, by transformers in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
import transformers
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM

from bertsmith.data.masking import vocabulary_of
from bertsmith.data.shards import PreparedCorpus
from bertsmith.tasks.pretraining import frequency_loss
from bertsmith.text.wordpiece import WordPiece
from time_to_quality.blocks import IGNORED, MaskedRows, chunked, documents, framed, masked

BATCH_ROWS = 32


class Judge:
    """Held-out rows with fixed masks.

    Args:
        corpus: its held-out documents are read.
        length: tokens of a row.
        rows: of each cut: "chunked", as the peer's training rows are, and "framed", [CLS] … [SEP] within one document.
    """

    def __init__(self, corpus: PreparedCorpus, *, length: int, rows: int) -> None:
        vocabulary = vocabulary_of(WordPiece.load(corpus.tokenizer_folder))
        texts = list(documents(corpus, "held-out"))
        self.rows: Mapping[str, MaskedRows] = {
            name: masked(cut(texts, length, vocabulary), rows, vocabulary)
            for name, cut in (("chunked", chunked), ("framed", framed))
        }
        labels = self.rows["chunked"].labels
        self.frequency_loss = frequency_loss(corpus.token_counts(), labels[labels != IGNORED])

    def losses(self, config: Path, weights: Path) -> dict[str, float]:
        """Mean nats a hidden token of each cut.

        Args:
            config: `config.json` of the model.
            weights: its safetensors.
        """
        with tempfile.TemporaryDirectory() as folder:
            for path, name in ((config, "config.json"), (weights, "model.safetensors")):
                (Path(folder) / name).symlink_to(path.resolve())
            model = _load(folder)
        return {name: _loss(model, rows) for name, rows in self.rows.items()}


def _load(folder: str) -> torch.nn.Module:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, told = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    if absent := set(told["missing_keys"]) - tied:
        raise SystemExit(f"{folder}: transformers misses {', '.join(sorted(absent))}")
    return model.eval()


@torch.inference_mode()
def _loss(model: torch.nn.Module, rows: MaskedRows) -> float:
    total, count = 0.0, 0
    for first in range(0, len(rows.input_ids), BATCH_ROWS):
        ids, labels = (torch.from_numpy(part[first : first + BATCH_ROWS]) for part in (rows.input_ids, rows.labels))
        hidden = labels != IGNORED
        logits = model(input_ids=ids).logits[hidden]  # (B, T, V) -> (M, V)
        total += F.cross_entropy(logits, labels[hidden], reduction="sum").item()
        count += int(hidden.sum())
    return total / count
