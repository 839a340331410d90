"""A corpus of random tokens in memory, whose documents and sentences are about as long as those of an encyclopedia."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bertsmith.data.masking import Vocabulary
from bertsmith.data.shards import PreparedCorpus, Shard, ShardEntry, ShardIndex

SENTENCES = 48_000  # about 1.2 million tokens: 10,000 rows of 128
# Wikipedia's sentences have 25 WordPieces, most of them 10 to 50; its articles about 16 sentences.
SENTENCE_MEDIAN, SENTENCE_SPREAD, DOCUMENT_SENTENCES = 21, 0.6, 16
FIRST_ORDINARY = 5  # after [PAD] [UNK] [CLS] [SEP] [MASK]


class RandomCorpus(PreparedCorpus):
    """One training shard that lies on no disk."""

    def __init__(self, vocab_size: int, *, seed: int = 0) -> None:
        shard = _random_shard(vocab_size, np.random.default_rng(seed))
        documents, sentences = len(shard.document_starts) - 1, len(shard.sentence_starts) - 1
        entry = ShardEntry(shard.name, "train", documents, sentences, len(shard.tokens), crc32=0)
        super().__init__(folder=Path(), manifest={}, shards=ShardIndex.of([entry]))
        object.__setattr__(self, "_shard", shard)  # the class is frozen

    def open(self, entry: ShardEntry) -> Shard:
        """The shard."""
        shard: Shard = self.__dict__["_shard"]
        return shard


def random_vocabulary(vocab_size: int) -> Vocabulary:
    """A vocabulary of which no WordPiece continues a word."""
    return Vocabulary(
        pad_id=0,
        cls_id=2,
        sep_id=3,
        mask_id=4,
        ordinary_ids=np.arange(FIRST_ORDINARY, vocab_size),
        continues_word=np.zeros(vocab_size, np.bool_),
    )


def _random_shard(vocab_size: int, rng: np.random.Generator) -> Shard:
    lengths = np.maximum(2, rng.lognormal(np.log(SENTENCE_MEDIAN), SENTENCE_SPREAD, SENTENCES)).astype(np.int64)
    counts = rng.geometric(1 / DOCUMENT_SENTENCES, SENTENCES)
    ends = np.cumsum(counts)
    ends = np.append(ends[ends < SENTENCES], SENTENCES)
    # Zipf's law: the share of the k-th commonest token is proportional to 1 / k.
    ranks = (np.exp(rng.random(lengths.sum()) * np.log(vocab_size - FIRST_ORDINARY)) - 1).astype(np.int64)
    return Shard(
        name="random",
        tokens=(FIRST_ORDINARY + ranks).astype(np.uint32),
        sentence_starts=np.concatenate(([0], np.cumsum(lengths))),
        document_starts=np.concatenate(([0], ends)),
    )
