"""The typed batch of pretraining, and how rows of a shard become one.

Letters: B rows, T tokens of a row, M masked places, S sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.masking import Vocabulary, mask_tokens
from bertsmith.data.packing import PackedRows
from bertsmith.data.pairs import SegmentPairs
from bertsmith.data.shards import Shard

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class PretrainingBatch:
    """B rows of packed sequences: what the model reads, and what it is to guess.

    Attributes:
        input_ids: (B, T) tokens, some of them hidden.
        token_type_ids: (B, T) 0 in segment A, 1 in segment B.
        position_ids: (B, T) place in its own sequence; from 0, but in short rows that are to teach later positions too.
        sequence_ids: (B, T) 0 is padding, k the k-th sequence of the row; tokens see their own sequence only.
        masked_places: (M,) where tokens are hidden, as indices into the B * T places.
        masked_labels: (M,) the hidden tokens.
        cls_places: (S,) where the sequences' [CLS] stand, as indices into the B * T places.
        next_sentence_labels: (S,) 0 where B follows A, 1 where it does not (Hugging Face's order).
    """

    input_ids: Int64s
    token_type_ids: Int64s
    position_ids: Int64s
    sequence_ids: Int64s
    masked_places: Int64s
    masked_labels: Int64s
    cls_places: Int64s
    next_sentence_labels: Int64s

    @property
    def rows(self) -> int:
        """B."""
        return len(self.input_ids)

    @property
    def tokens(self) -> int:
        """Places that hold no padding."""
        return int(np.count_nonzero(self.sequence_ids))

    def slice(self, first: int, last: int) -> PretrainingBatch:
        """Rows first … last - 1 as a batch of their own."""
        length = self.input_ids.shape[1]
        masked = _between(self.masked_places, first * length, last * length)
        cls = _between(self.cls_places, first * length, last * length)
        return PretrainingBatch(
            input_ids=self.input_ids[first:last],
            token_type_ids=self.token_type_ids[first:last],
            position_ids=self.position_ids[first:last],
            sequence_ids=self.sequence_ids[first:last],
            masked_places=self.masked_places[masked] - first * length,
            masked_labels=self.masked_labels[masked],
            cls_places=self.cls_places[cls] - first * length,
            next_sentence_labels=self.next_sentence_labels[cls],
        )


def concatenate(batches: Sequence[PretrainingBatch]) -> PretrainingBatch:
    """The rows of several batches, of one length, as one batch."""
    if len(batches) == 1:
        return batches[0]
    length = batches[0].input_ids.shape[1]
    shifts = np.cumsum([0, *(batch.rows for batch in batches)]) * length
    return PretrainingBatch(
        input_ids=np.concatenate([batch.input_ids for batch in batches]),
        token_type_ids=np.concatenate([batch.token_type_ids for batch in batches]),
        position_ids=np.concatenate([batch.position_ids for batch in batches]),
        sequence_ids=np.concatenate([batch.sequence_ids for batch in batches]),
        masked_places=np.concatenate([b.masked_places + s for b, s in zip(batches, shifts, strict=False)]),
        masked_labels=np.concatenate([batch.masked_labels for batch in batches]),
        cls_places=np.concatenate([b.cls_places + s for b, s in zip(batches, shifts, strict=False)]),
        next_sentence_labels=np.concatenate([batch.next_sentence_labels for batch in batches]),
    )


@dataclass(frozen=True)
class Masking:
    """How a batch's tokens are hidden.

    Attributes:
        vocabulary: special tokens and word boundaries.
        mask_share: each sequence hides `round(mask_share * its tokens, [CLS] and [SEP] counted)`, at least one.
        whole_word: hide all WordPieces of a word together.
    """

    vocabulary: Vocabulary
    mask_share: float
    whole_word: bool


def build_batch(
    shard: Shard,
    pairs: SegmentPairs,
    packed: PackedRows,
    *,
    rows: tuple[int, int],
    row_length: int,
    masking: Masking,
    key: np.uint64,
    reach: int = 0,
) -> PretrainingBatch:
    """Write the sequences of some rows out as tokens, and hide some of them.

    Args:
        shard: where the tokens lie.
        pairs: the shard's sequences.
        packed: the shard's rows.
        rows: first and past-the-last row.
        row_length: T.
        masking: what to hide.
        key: the stream of the masks' draws; a row's masks depend on it and the row's number only.
        reach: how many positions rows are to reach together, if more than T: they begin in turn where they do, so that
            short rows teach later positions too. Else all begin at 0.
    """
    layout = _lay_out(pairs, packed, rows, row_length, reach)
    tokens = shard.tokens[layout.sources].astype(np.int64)
    sequences = np.repeat(np.arange(len(layout.begins)), layout.lengths - layout.specials)
    hidden = mask_tokens(
        tokens,
        sequences=sequences,
        wanted=np.maximum(1, np.round(layout.lengths * masking.mask_share)).astype(np.int64),
        rows=layout.begins[sequences] // row_length + rows[0],
        key=key,
        vocabulary=masking.vocabulary,
        whole_word=masking.whole_word,
    )
    tokens[hidden.places] = hidden.replacements
    input_ids, token_type_ids, position_ids, sequence_ids = _write(layout, tokens, masking.vocabulary)
    return PretrainingBatch(
        input_ids=input_ids,
        token_type_ids=token_type_ids,
        position_ids=position_ids,
        sequence_ids=sequence_ids,
        masked_places=layout.places[hidden.places],
        masked_labels=hidden.labels,
        cls_places=layout.begins,
        next_sentence_labels=1 - pairs.is_next[layout.chosen].astype(np.int64),
    )


@dataclass(frozen=True)
class _Layout:
    """Where the S sequences of some rows stand; places count through all rows.

    Attributes:
        shape: (B, T).
        chosen: (S,) which of the shard's pairs.
        number: (S,) of the sequence in its row, from 1.
        begins: (S,) the place of its [CLS].
        first_positions: (S,) the position of its [CLS].
        lengths: (S,) its tokens.
        a_length: (S,) those of segment A.
        specials: (S,) special tokens.
        sources: (n,) where each ordinary token lies in the shard.
        places: (n,) where it goes.
    """

    shape: tuple[int, int]
    chosen: Int64s
    number: Int64s
    begins: Int64s
    first_positions: Int64s
    lengths: Int64s
    a_length: Int64s
    specials: Int64s
    sources: Int64s
    places: Int64s


def _lay_out(pairs: SegmentPairs, packed: PackedRows, rows: tuple[int, int], row_length: int, reach: int) -> _Layout:
    first, last = rows
    turns = np.linspace(0, max(0, reach - row_length), max(1, -(-reach // row_length))).astype(np.int64)
    counts = np.diff(packed.row_starts[first : last + 1])  # sequences of each row
    chosen = packed.sequences[packed.row_starts[first] : packed.row_starts[last]]
    lengths, a_length, b_length = pairs.lengths[chosen], pairs.a_length[chosen], pairs.b_length[chosen]
    row_begins = np.cumsum(counts) - counts
    before = np.cumsum(lengths) - lengths
    row_of = np.repeat(np.arange(last - first), counts)
    begins = row_of * row_length + before - np.repeat(before[row_begins], counts)
    runs = np.stack((a_length, b_length), 1).ravel()  # A, B, A, B, … of all sequences
    return _Layout(
        shape=(last - first, row_length),
        chosen=chosen,
        number=np.arange(len(chosen)) - np.repeat(row_begins, counts) + 1,
        begins=begins,
        first_positions=turns[(first + row_of) % len(turns)],
        lengths=lengths,
        a_length=a_length,
        specials=lengths - a_length - b_length,
        sources=_ragged(np.stack((pairs.a_start[chosen], pairs.b_start[chosen]), 1).ravel(), runs),
        places=_ragged(np.stack((begins + 1, begins + 2 + a_length), 1).ravel(), runs),
    )


def _write(layout: _Layout, tokens: Int64s, vocabulary: Vocabulary) -> list[Int64s]:
    """Tokens, segments, places in the sequence, numbers of the sequence: (B, T) each."""
    begins, lengths = layout.begins, layout.lengths
    input_ids = np.full(layout.shape[0] * layout.shape[1], vocabulary.pad_id, np.int64)
    input_ids[layout.places] = tokens
    input_ids[begins] = vocabulary.cls_id
    input_ids[begins + 1 + layout.a_length] = vocabulary.sep_id
    input_ids[begins + lengths - 1] = vocabulary.sep_id
    token_type_ids, position_ids, sequence_ids = (np.zeros_like(input_ids) for _ in range(3))
    token_type_ids[_ragged(begins + 2 + layout.a_length, lengths - 2 - layout.a_length)] = 1
    everywhere = _ragged(begins, lengths)
    position_ids[everywhere] = everywhere - np.repeat(begins - layout.first_positions, lengths)
    sequence_ids[everywhere] = np.repeat(layout.number, lengths)
    return [ids.reshape(layout.shape) for ids in (input_ids, token_type_ids, position_ids, sequence_ids)]


def _ragged(starts: Int64s, lengths: Int64s) -> Int64s:
    """starts[0], starts[0] + 1, … lengths[0] of them, then from starts[1], and so on."""
    shifts = np.cumsum(lengths) - lengths
    return np.repeat(starts - shifts, lengths) + np.arange(lengths.sum())


def _between(places: Int64s, first: int, last: int) -> NDArray[np.bool_]:
    return (places >= first) & (places < last)
