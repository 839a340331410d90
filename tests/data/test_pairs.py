"""Segment pairs are BERT's: inside one document, half of them random, short ones now and then, truncated fairly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.data.pairs import SegmentPairs, draw_pairs
from bertsmith.data.random_bits import generator
from bertsmith.data.shards import Shard
from data.corpora import random_shard, shard_of


def drawn(shard: Shard, row_length: int = 64, *, seed: int = 0, short: float = 0.1, nsp: bool = True) -> SegmentPairs:
    return draw_pairs(shard, row_length=row_length, next_sentence=nsp, short_share=short, rng=generator("test", seed))


def document_of(shard: Shard, token: int) -> int:
    sentence = np.searchsorted(shard.sentence_starts, token, side="right") - 1
    return int(np.searchsorted(shard.document_starts, sentence, side="right") - 1)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([8, 16, 64, 128]))
def test_pairs_fit_the_row_and_stay_in_one_document_each(seed: int, row_length: int) -> None:
    shard = random_shard(seed)
    pairs = drawn(shard, row_length, seed=seed)
    assert pairs.lengths.max() <= row_length
    assert pairs.a_length.min() >= 1
    assert pairs.b_length.min() >= 1
    for index in range(len(pairs.a_start)):
        a = document_of(shard, pairs.a_start[index])
        b = document_of(shard, pairs.b_start[index])
        assert document_of(shard, pairs.a_start[index] + pairs.a_length[index] - 1) == a
        assert document_of(shard, pairs.b_start[index] + pairs.b_length[index] - 1) == b
        assert (a == b) == pairs.is_next[index]


def test_b_follows_a_where_it_is_said_to() -> None:
    """Without truncation the segments touch: B begins where A ends."""
    shard = random_shard(1, longest=5)
    pairs = drawn(shard, 512)
    follows = pairs.is_next
    assert follows.sum() > 10
    assert (pairs.b_start[follows] == (pairs.a_start + pairs.a_length)[follows]).all()


def test_half_of_the_pairs_are_random() -> None:
    """But for a document's last sentence when it is left alone: nothing follows it."""
    shard = shard_of([[[5] * 8] * 2000, [[6] * 8] * 2000])
    assert drawn(shard, 40).is_next.mean() == pytest.approx(0.5, abs=0.05)


def test_a_single_sentence_has_no_next_one() -> None:
    pairs = drawn(shard_of([[[7, 8, 9]], [[10, 11]], [[12]]]), 64)
    assert not pairs.is_next.any()


def test_no_sentence_is_lost() -> None:
    """Every token of the corpus is in some segment, or was truncated from one: with long rows and no next-sentence
    prediction every token is there exactly once."""
    shard = random_shard(3)
    pairs = drawn(shard, 2000, short=0.0, nsp=False)
    seen = np.concatenate([np.arange(a, a + n) for a, n in zip(pairs.a_start, pairs.a_length, strict=True)])
    assert sorted(seen.tolist()) == list(range(len(shard.tokens)))
    assert not pairs.b_length.any()


def test_a_very_long_sentence_is_cut_and_not_lost() -> None:
    shard = shard_of([[list(range(5, 900))]])
    pairs = drawn(shard, 32, short=0.0, nsp=False)
    assert pairs.a_length.sum() == 895


def test_truncation_takes_from_the_longer_segment_at_both_ends() -> None:
    rng = np.random.default_rng(0)
    documents = [[[int(t) for t in rng.integers(5, 900, 61)] for _ in range(2)] for _ in range(400)]
    shard = shard_of(documents)
    pairs = drawn(shard, 64, short=0.0)
    assert (pairs.a_length == 31).all()  # 61 tokens of room: A keeps the odd one, as popping one by one does
    assert (pairs.b_length == 30).all()
    front = pairs.a_start - shard.sentence_starts[np.searchsorted(shard.sentence_starts, pairs.a_start, "right") - 1]
    assert front.mean() == pytest.approx(15, abs=0.5)  # 30 tokens gone, half of them from the front
    assert front.std() == pytest.approx(np.sqrt(30) / 2, abs=0.4)


def test_a_short_segment_keeps_all_its_tokens() -> None:
    shard = shard_of([[[5] * 4, [6] * 100], [[7] * 4, [8] * 100]])
    pairs = drawn(shard, 32, short=0.0)
    full = pairs.lengths == 32
    assert (pairs.a_length[full & pairs.is_next] == 4).all()


def test_short_targets_come_as_often_as_asked() -> None:
    shard = shard_of([[[5]] * 50_000])  # sentences of one token reach any target exactly
    lengths = drawn(shard, 64, short=0.1, nsp=False).lengths
    short = lengths < 64
    assert short.mean() == pytest.approx(0.1, abs=0.03)
    assert np.histogram(lengths[short], 3, (4, 64))[0].min() > 0.2 * short.sum()  # of all lengths


def test_the_same_key_draws_the_same_pairs() -> None:
    shard = random_shard(5)
    first, again, other = drawn(shard, seed=1), drawn(shard, seed=1), drawn(shard, seed=2)
    assert (first.a_start == again.a_start).all()
    assert (first.b_start == again.b_start).all()
    assert len(first.a_start) != len(other.a_start) or (first.b_start != other.b_start).any()


def test_a_corpus_of_one_document_still_gives_pairs() -> None:
    pairs = drawn(shard_of([[[5, 6], [7, 8], [9, 10], [11, 12]]]), 10)
    assert len(pairs.a_start) > 0
