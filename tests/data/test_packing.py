"""Packing loses nothing, overfills nothing, and wastes little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data.batch import Masking, build_batch, concatenate
from bertsmith.data.packing import pack
from bertsmith.data.pairs import draw_pairs
from bertsmith.data.random_bits import generator, stream_key
from data.corpora import CLS, SEP, random_shard, vocabulary


@given(st.lists(st.integers(3, 64), min_size=1, max_size=200))
def test_every_sequence_is_in_one_row_and_no_row_is_overfull(lengths: list[int]) -> None:
    packed = pack(np.array(lengths), 64)
    assert sorted(packed.sequences.tolist()) == list(range(len(lengths)))
    sums = np.add.reduceat(np.array(lengths)[packed.sequences], packed.row_starts[:-1])
    assert sums.max() <= 64
    # No two rows could be one: best fit leaves at most one row half empty.
    assert (sums <= 32).sum() <= 1


def test_rows_are_nearly_full() -> None:
    lengths = np.random.default_rng(0).integers(3, 129, 20_000)
    assert lengths.sum() / (len(pack(lengths, 128)) * 128) > 0.99


def test_shuffling_keeps_the_rows() -> None:
    packed = pack(np.random.default_rng(1).integers(3, 40, 300), 64)
    shuffled = packed.shuffled(generator("shuffle"))
    rows = {tuple(packed.sequences[a:b]) for a, b in zip(packed.row_starts, packed.row_starts[1:], strict=False)}
    again = [tuple(shuffled.sequences[a:b]) for a, b in zip(shuffled.row_starts, shuffled.row_starts[1:], strict=False)]
    assert set(again) == rows
    assert len(again) == len(rows)
    assert (shuffled.sequences != packed.sequences).any()


def test_a_packed_row_spells_out_its_sequences() -> None:
    """The batch, taken apart sequence by sequence, is [CLS] A [SEP] B [SEP] with the right companions."""
    shard = random_shard(8)
    pairs = draw_pairs(shard, row_length=96, next_sentence=True, short_share=0.5, rng=generator("pairs"))
    packed = pack(pairs.lengths, 96)
    batch = build_batch(
        shard,
        pairs,
        packed,
        rows=(0, len(packed)),
        row_length=96,
        masking=Masking(vocabulary(), 0.15, False),
        key=stream_key("masks"),
    )
    tokens = batch.input_ids.ravel().copy()
    tokens[batch.masked_places] = batch.masked_labels
    tokens = tokens.reshape(batch.input_ids.shape)
    for row in range(batch.rows):
        chosen = packed.sequences[packed.row_starts[row] : packed.row_starts[row + 1]]
        for number, sequence in enumerate(chosen, 1):
            places = batch.sequence_ids[row] == number
            a = shard.tokens[pairs.a_start[sequence] :][: pairs.a_length[sequence]].tolist()
            b = shard.tokens[pairs.b_start[sequence] :][: pairs.b_length[sequence]].tolist()
            assert tokens[row, places].tolist() == [CLS, *a, SEP, *b, SEP]
            assert batch.token_type_ids[row, places].tolist() == [0] * (len(a) + 2) + [1] * (len(b) + 1)
            assert batch.position_ids[row, places].tolist() == list(range(len(a) + len(b) + 3))
    assert batch.next_sentence_labels.tolist() == (1 - pairs.is_next[packed.sequences]).tolist()


@pytest.mark.parametrize(("reach", "firsts"), [(32, [0]), (64, [0]), (128, [0, 64]), (160, [0, 48, 96]), (65, [0, 1])])
def test_short_rows_are_spread_over_all_positions(reach: int, firsts: list[int]) -> None:
    """In turn by the row's number, so that a rank or a part of a step that begins in the middle has the same ones."""
    shard = random_shard(9)
    pairs = draw_pairs(shard, row_length=64, next_sentence=True, short_share=0.1, rng=generator("pairs"))
    packed = pack(pairs.lengths, 64)
    masking = Masking(vocabulary(), 0.15, False)
    for rows in ((0, len(packed)), (2, 7)):
        usual, spread = (
            build_batch(
                shard, pairs, packed, rows=rows, row_length=64, masking=masking, key=stream_key("m"), reach=each
            )
            for each in (0, reach)
        )
        for row in range(usual.rows):
            real = usual.sequence_ids[row] > 0
            moved = spread.position_ids[row, real] - usual.position_ids[row, real]
            assert set(moved.tolist()) == {firsts[(rows[0] + row) % len(firsts)]}
        assert usual.position_ids.max() < 64
        assert min(64, reach - 1) <= spread.position_ids.max() < max(reach, 64)
        assert (spread.input_ids == usual.input_ids).all()


def test_concatenate_undoes_slice() -> None:
    shard = random_shard(9)
    pairs = draw_pairs(shard, row_length=64, next_sentence=True, short_share=0.1, rng=generator("pairs"))
    packed = pack(pairs.lengths, 64)
    masking = Masking(vocabulary(), 0.15, False)
    whole = build_batch(
        shard, pairs, packed, rows=(0, len(packed)), row_length=64, masking=masking, key=stream_key("m")
    )
    joined = concatenate([whole.slice(0, 3), whole.slice(3, 4), whole.slice(4, whole.rows)])
    for name in vars(whole):
        assert (getattr(joined, name) == getattr(whole, name)).all(), name
