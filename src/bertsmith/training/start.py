"""What counting the training text tells of the weights that a run begins with.

A file of the run folder keeps it, so that whoever compares with the run's start can draw that again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.data.shards import PreparedCorpus
from bertsmith.data.word_vectors import word_vectors
from bertsmith.errors import ModelFolderError
from bertsmith.files import atomic_path
from bertsmith.model.bert import Bert
from bertsmith.progress import Reporter, Silent
from bertsmith.tasks.pretraining import log_frequencies


@dataclass(frozen=True)
class Start:
    """Letters: V vocabulary, D hidden width.

    Attributes:
        log_frequencies: (V,) logarithms of the tokens' shares of the text.
        word_vectors: (V, D), of `data.word_vectors`.
    """

    log_frequencies: Tensor
    word_vectors: Tensor

    @classmethod
    def counted(cls, corpus: PreparedCorpus, width: int, *, seed: int, reporter: Reporter = Silent()) -> Start:
        """Count a corpus; the same text, width and seed give the same start."""
        frequencies = torch.from_numpy(log_frequencies(corpus.token_counts())).float()
        return cls(frequencies, torch.from_numpy(word_vectors(corpus, width, seed=seed, reporter=reporter)))

    @torch.no_grad()
    def give(self, bert: Bert) -> None:
        """Let a newly drawn model begin so: masked LM guesses by word frequency, and each word embedding, as long as it
        was drawn, points where its vector does. Words without a vector keep what was drawn."""
        bert.begin_guessing(self.log_frequencies)
        words = bert.encoder.embeddings.word.weight
        seen = self.word_vectors.any(dim=1).to(words.device)
        length = bert.config.initializer_range * math.sqrt(bert.config.hidden_size)
        words[seen] = length * self.word_vectors.to(words.device)[seen]

    def write(self, path: Path) -> None:
        """Write it as safetensors, atomically."""
        with atomic_path(path) as beside:
            save_file({"log_frequencies": self.log_frequencies, "word_vectors": self.word_vectors}, beside)

    @classmethod
    def read(cls, path: Path) -> Start:
        """What `write` has written.

        Raises:
            ModelFolderError: the file is damaged.
        """
        try:
            return cls(**load_file(path))
        except (OSError, SafetensorError, TypeError) as error:
            raise ModelFolderError(
                f"{path}: missing or damaged ({error}), so the start of the run cannot be drawn again."
            ) from None
