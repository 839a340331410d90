"""What a pretraining run reads of its corpus: the rows it trains on, phase after phase, and those it is judged by."""

from __future__ import annotations

from collections.abc import Callable

from bertsmith.config import PretrainConfig
from bertsmith.data.batch import Masking, PretrainingBatch
from bertsmith.data.feed import Phase
from bertsmith.data.masking import Vocabulary
from bertsmith.data.sampler import RowSampler, Sampling
from bertsmith.data.shards import PreparedCorpus, Split
from bertsmith.data.windows import MICRO_BATCH_TOKENS

EVALUATION_SEED = 0
EARLY_MASK_SHARE = 0.3
# Fewer than these, and the reader is told that the figures are rough.
FEW_DOCUMENTS, FEW_MASKED = 10, 300


class Rows:
    """See the module.

    Args:
        corpus: what is read.
        config: lengths, shares and seed.
        vocabulary: of its tokenizer.
        next_sentence: pairs for next-sentence prediction, or single segments.

    Attributes:
        judged_by: the documents of the evaluation: held out, or training text where none are.
    """

    def __init__(
        self, corpus: PreparedCorpus, config: PretrainConfig, vocabulary: Vocabulary, *, next_sentence: bool
    ) -> None:
        self.corpus, self.config, self.vocabulary, self.next_sentence = corpus, config, vocabulary, next_sentence
        self.judged_by: Split = "held-out" if corpus.of("held-out") else "train"

    def phases(self) -> list[Phase]:
        """Short rows, in which more is hidden; the usual ones; long ones."""
        config, phases = self.config, []
        if config.early_share:
            length = config.early_length_tokens or max(8, config.max_length_tokens // 2)
            hidden = config.early_mask_share or max(EARLY_MASK_SHARE, config.mask_share)
            reach = config.max_length_tokens  # else the later positions would not be taught until the next phase
            rows = self._sampler("train", length, config.seed, mask_share=hidden, reach=reach)
            phases.append(Phase(rows, config.early_share * (1 - config.long_share)))
        phases.append(Phase(self._sampler("train", config.max_length_tokens, config.seed), 1 - config.long_share))
        if config.long_share:
            phases.append(Phase(self._sampler("train", config.long_length_tokens, config.seed)))
        return phases

    def of_evaluation(self, warn: Callable[[str], None]) -> list[PretrainingBatch]:
        """The same rows with the same masks, whatever the run's seed.

        Args:
            warn: told what makes the figures doubtful.
        """
        if self.judged_by == "train":
            warn("no document is held out, so the evaluation reads training text")
        sampler = self._sampler(self.judged_by, self.config.max_length_tokens, EVALUATION_SEED)
        batch = sampler.first(self.config.evaluation_rows)
        documents, hidden = self.corpus.documents(self.judged_by), len(batch.masked_labels)
        if self.judged_by == "held-out" and (documents < FEW_DOCUMENTS or hidden < FEW_MASKED):
            warn(
                f"the evaluation rests on {documents} held-out document(s) and {hidden} masked "
                "tokens: its figures are rough. A higher --held-out-share, or more text, makes them firmer."
            )
        size = self.config.micro_batch_size or max(1, MICRO_BATCH_TOKENS // self.config.max_length_tokens)
        return [batch.slice(row, min(row + size, batch.rows)) for row in range(0, batch.rows, size)]

    def _sampler(
        self, split: Split, row_length: int, seed: int, *, mask_share: float | None = None, reach: int = 0
    ) -> RowSampler:
        config = self.config
        masking = Masking(self.vocabulary, mask_share or config.mask_share, config.whole_word)
        sampling = Sampling(seed, row_length, self.next_sentence, config.short_sequence_share, masking, reach)
        return RowSampler(self.corpus, split, sampling)
