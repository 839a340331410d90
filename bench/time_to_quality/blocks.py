"""The documents of a prepared corpus as rows of one length, and rows with fixed masks.

Letters: n rows, T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.masking import Vocabulary, mask_tokens
from bertsmith.data.random_bits import generator, stream_key
from bertsmith.data.shards import PreparedCorpus, Split

Ids = NDArray[np.int64]
IGNORED = -100


def documents(corpus: PreparedCorpus, split: Split) -> Iterator[NDArray[Any]]:
    """The tokens of each document, without special ones."""
    for entry in corpus.of(split):
        shard = corpus.open(entry)
        starts = shard.sentence_starts[shard.document_starts]
        for first, last in pairwise(starts):
            yield shard.tokens[first:last]


def chunked(texts: Iterable[NDArray[Any]], length: int, vocabulary: Vocabulary) -> Ids:
    """[CLS] text [SEP] [CLS] text [SEP] … cut every T tokens, as `run_mlm.py` of transformers does; (n, T)."""
    cls, sep = np.array([vocabulary.cls_id]), np.array([vocabulary.sep_id])
    stream = np.concatenate([part for text in texts for part in (cls, text.astype(np.int64), sep)])
    return stream[: len(stream) // length * length].reshape(-1, length)


def framed(texts: Iterable[NDArray[Any]], length: int, vocabulary: Vocabulary) -> Ids:
    """[CLS], T - 2 tokens of one text, [SEP]; texts and ends of texts that are shorter are left out; (n, T)."""
    room = length - 2
    inside = [text[: len(text) // room * room].reshape(-1, room).astype(np.int64) for text in texts]
    rows = np.concatenate(inside)
    return np.pad(rows, ((0, 0), (1, 1)), constant_values=((0, 0), (vocabulary.cls_id, vocabulary.sep_id)))


@dataclass(frozen=True)
class MaskedRows:
    """Rows to judge on.

    Attributes:
        input_ids: (n, T), 15% of the ordinary tokens hidden as BERT hides them.
        labels: (n, T), the hidden tokens, IGNORED elsewhere.
    """

    input_ids: Ids
    labels: Ids


def masked(rows: Ids, count: int, vocabulary: Vocabulary, *, mask_share: float = 0.15) -> MaskedRows:
    """At most `count` of some rows, chosen and hidden by a fixed seed, so that every model sees the same."""
    chosen = rows[generator("judge").permutation(len(rows))[:count]]
    specials = np.array([vocabulary.cls_id, vocabulary.sep_id])
    row, place = np.nonzero(~np.isin(chosen, specials))
    ordinary = np.bincount(row, minlength=len(chosen))
    hidden = mask_tokens(
        chosen[row, place],
        sequences=row,
        wanted=np.maximum(1, np.round(mask_share * ordinary)).astype(np.int64),
        rows=row,
        key=stream_key("judge"),
        vocabulary=vocabulary,
        whole_word=False,
    )
    input_ids, labels = chosen.copy(), np.full_like(chosen, IGNORED)
    where = row[hidden.places], place[hidden.places]
    input_ids[where], labels[where] = hidden.replacements, hidden.labels
    return MaskedRows(input_ids, labels)
