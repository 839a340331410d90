"""Documents -> segment pairs A/B with the next-sentence label, as BERT draws them.

Reference:
    Devlin et al. 2019, section 3.1 and appendix A.2; the sampling follows google-research/bert,
    create_pretraining_data.py: sentences of a document are gathered up to a target length, A is a random number of
    them, B the rest (is next) or, half the time, sentences from another document (then the rest is used again).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.shards import Shard

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class SegmentPairs:
    """S sequences, each a run of tokens A and a run of tokens B of one shard.

    Attributes:
        a_start, a_length: (S,) where A lies in the shard's tokens.
        b_start, b_length: (S,) where B lies; length 0 where there is no B (objective mlm).
        is_next: (S,) whether B follows A in the text.
    """

    a_start: Int64s
    a_length: Int64s
    b_start: Int64s
    b_length: Int64s
    is_next: NDArray[np.bool_]

    @property
    def lengths(self) -> Int64s:
        """(S,) tokens of each sequence, with [CLS] and each segment's [SEP]."""
        return 2 + self.a_length + self.b_length + (self.b_length > 0)


def draw_pairs(
    shard: Shard, *, row_length: int, next_sentence: bool, short_share: float, rng: np.random.Generator
) -> SegmentPairs:
    """Cut every document of a shard into sequences that fit a row.

    Args:
        shard: the documents.
        row_length: tokens of a row; the sequences with their special tokens fit in it.
        next_sentence: draw pairs for next-sentence prediction; else one segment a sequence.
        short_share: share of the sequences with a random shorter target (BERT: 0.1), so that the model sees
            other lengths too.
        rng: where the draws come from.
    """
    room = row_length - (3 if next_sentence else 2)
    starts, documents = _cut_long_sentences(shard, room)
    draw = _draws(rng)
    found: list[tuple[int, int, int, int, bool]] = []
    for document in range(len(documents) - 1):
        if next_sentence:
            found.extend(_pairs_of(document, starts, documents, room, short_share, draw))
        else:
            found.extend(_segments_of(document, starts, documents, room, short_share, draw))
    columns = np.array(found, dtype=np.int64).reshape(-1, 5).T
    return _truncate(columns, room, rng)


def _pairs_of(
    document: int,
    starts: list[int],
    documents: list[int],
    room: int,
    short_share: float,
    draw: Iterator[float],
) -> Iterator[tuple[int, int, int, int, bool]]:
    """(A start, A end, B start, B end, is next) for each sequence of one document."""
    here, end = documents[document], documents[document + 1]
    while here < end:
        target = _target(room, short_share, draw)
        stop = _gather(starts, here, end, target)
        gathered = stop - here
        a_stop = here + 1 + int(next(draw) * (gathered - 1))
        is_next = next(draw) >= 0.5 and gathered > 1
        if is_next:
            b_first, b_stop = a_stop, stop
        else:
            # The sentences after A were not used: they begin the next sequence.
            wanted = target - (starts[a_stop] - starts[here])
            b_first, b_stop = _elsewhere(document, wanted, starts, documents, draw)
        yield starts[here], starts[a_stop], starts[b_first], starts[b_stop], is_next
        here = b_stop if is_next else a_stop


def _elsewhere(
    document: int, wanted: int, starts: list[int], documents: list[int], draw: Iterator[float]
) -> tuple[int, int]:
    """First and last sentence of a run of about `wanted` tokens, from a random place in another document."""
    others = len(documents) - 2
    other = int(next(draw) * others)
    other += other >= document
    if others == 0:  # a shard of one document: elsewhere in the same one is the best there is
        other = document
    first, end = documents[other], documents[other + 1]
    first += int(next(draw) * (end - first))
    return first, _gather(starts, first, end, wanted)


def _segments_of(
    document: int,
    starts: list[int],
    documents: list[int],
    room: int,
    short_share: float,
    draw: Iterator[float],
) -> Iterator[tuple[int, int, int, int, bool]]:
    """Runs of whole sentences of one document, without B."""
    here, end = documents[document], documents[document + 1]
    while here < end:
        stop = _gather(starts, here, end, _target(room, short_share, draw))
        yield starts[here], starts[stop], starts[stop], starts[stop], False
        here = stop


def _gather(starts: list[int], first: int, end: int, wanted: int) -> int:
    """Past the last of the sentences from `first` that hold `wanted` tokens together, or `end`; one at least."""
    return min(bisect_left(starts, starts[first] + wanted, first + 1, end), end)


def _target(room: int, short_share: float, draw: Iterator[float]) -> int:
    if next(draw) < short_share:
        return 2 + int(next(draw) * (room - 1))
    return room


def _cut_long_sentences(shard: Shard, room: int) -> tuple[list[int], list[int]]:
    """Sentence starts and document starts, where a sentence too long for a row counts as several.

    Truncation would lose nearly all of a very long sentence (text without full stops, log lines); BERT's own does.
    """
    lengths = np.diff(shard.sentence_starts)
    pieces = np.maximum(1, -(-lengths // room))
    first_piece = np.concatenate(([0], np.cumsum(pieces)))
    within = np.arange(first_piece[-1]) - np.repeat(first_piece[:-1], pieces)
    starts = np.repeat(shard.sentence_starts[:-1], pieces) + within * room
    return [*starts.tolist(), int(shard.sentence_starts[-1])], first_piece[shard.document_starts].tolist()


def _truncate(columns: Int64s, room: int, rng: np.random.Generator) -> SegmentPairs:
    """Take tokens from the longer segment, each from a random end, until the pair fits.

    BERT takes them one by one; here their number is worked out, and a binomial draw says how many leave the front.
    """
    a_start, a_end, b_start, b_end, is_next = columns
    a_length, b_length = a_end - a_start, b_end - b_start
    over = np.maximum(a_length + b_length - room, 0)
    # Popping from the longer of the two (B when equal) ends here:
    a_kept = np.where(over > 0, np.minimum(a_length, np.maximum(-(-room // 2), room - b_length)), a_length)
    b_kept = np.where(over > 0, room - a_kept, b_length)
    a_front = rng.binomial(a_length - a_kept, 0.5)
    b_front = rng.binomial(b_length - b_kept, 0.5)
    return SegmentPairs(a_start + a_front, a_kept, b_start + b_front, b_kept, is_next.astype(bool))


def _draws(rng: np.random.Generator) -> Iterator[float]:
    """Numbers in [0, 1), drawn a block at a time because one by one is slow."""
    while True:
        yield from rng.random(4096).tolist()
