"""Small corpora for the tests: shards from lists of sentences, and raw text of made-up words."""

import numpy as np

from bertsmith.data.masking import Vocabulary
from bertsmith.data.shards import Shard

VOCAB_SIZE = 1000
PAD, UNK, CLS, SEP, MASK = range(5)
FIRST_ORDINARY = 5


def shard_of(documents: list[list[list[int]]]) -> Shard:
    """A shard in memory from documents of sentences of token ids."""
    sentences = [sentence for document in documents for sentence in document]
    return Shard(
        name="test",
        tokens=np.array([token for sentence in sentences for token in sentence], np.uint16),
        sentence_starts=np.cumsum([0, *map(len, sentences)]),
        document_starts=np.cumsum([0, *map(len, documents)]),
    )


def random_shard(seed: int, *, documents: int = 40, longest: int = 30) -> Shard:
    """Documents of 1 … 12 sentences of 1 … `longest` tokens; every token of the shard is its own place's number
    modulo the vocabulary, so that neighbours can be told."""
    rng = np.random.default_rng(seed)
    lengths = [[int(n) for n in rng.integers(1, longest + 1, rng.integers(1, 13))] for _ in range(documents)]
    count = iter(range(10**9))
    ordinary = VOCAB_SIZE - FIRST_ORDINARY
    return shard_of([[[FIRST_ORDINARY + next(count) % ordinary for _ in range(n)] for n in doc] for doc in lengths])


def vocabulary(continues: float = 0.3) -> Vocabulary:
    """A vocabulary of which a share of the ordinary pieces continue words."""
    ids = np.arange(VOCAB_SIZE)
    return Vocabulary(
        pad_id=PAD,
        cls_id=CLS,
        sep_id=SEP,
        mask_id=MASK,
        ordinary_ids=ids[FIRST_ORDINARY:],
        continues_word=(ids >= FIRST_ORDINARY) & (ids % 10 < 10 * continues),
    )


def raw_text(seed: int, *, documents: int, sentences: int = 6) -> str:
    """Documents separated by blank lines, of made-up words, each about one of four topics: the words around a hidden
    one tell of which it is."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefghij"), rng.integers(2, 7))) for _ in range(200)]
    texts = []
    for _ in range(documents):
        lines = []
        topic = 50 * int(rng.integers(0, 4))
        for _ in range(int(rng.integers(1, sentences + 1))):
            chosen = topic + rng.zipf(1.5, rng.integers(3, 15)) % 50
            lines.append(" ".join(words[index] for index in chosen).capitalize() + ".")
        texts.append(" ".join(lines))
    return "\n\n".join(texts) + "\n"
