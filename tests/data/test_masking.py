"""15% hidden, 80/10/10, never a special token, whole words on request; the same whatever else is in the batch."""

import numpy as np
import pytest

from bertsmith.data.batch import Masking, PretrainingBatch, build_batch
from bertsmith.data.packing import pack
from bertsmith.data.pairs import draw_pairs
from bertsmith.data.random_bits import generator, stream_key, uniform
from data.corpora import CLS, FIRST_ORDINARY, MASK, PAD, SEP, VOCAB_SIZE, random_shard, vocabulary

ROW = 64


def batch_of(
    rows: tuple[int, int] | None = None, *, seed: int = 0, documents: int = 60, whole_word: bool = False
) -> PretrainingBatch:
    shard = random_shard(seed, documents=documents)
    pairs = draw_pairs(shard, row_length=ROW, next_sentence=True, short_share=0.1, rng=generator("pairs", seed))
    packed = pack(pairs.lengths, ROW)
    masking = Masking(vocabulary(), 0.15, whole_word)
    chosen = rows or (0, len(packed))
    return build_batch(
        shard, pairs, packed, rows=chosen, row_length=ROW, masking=masking, key=stream_key("masks", seed)
    )


def test_eighty_ten_ten_over_a_hundred_thousand_tokens() -> None:
    batch = batch_of(documents=16_000)
    assert batch.tokens > 1_000_000
    labels = batch.masked_labels
    there = batch.input_ids.ravel()[batch.masked_places]
    assert len(labels) > 100_000
    assert (there == MASK).mean() == pytest.approx(0.8, abs=0.005)
    kept = (there == labels).mean()
    assert kept == pytest.approx(0.1 + 0.1 / (VOCAB_SIZE - FIRST_ORDINARY), abs=0.004)
    other = there[(there != MASK) & (there != labels)]
    assert np.unique(other).size == VOCAB_SIZE - FIRST_ORDINARY  # random over the whole vocabulary …
    assert other.min() >= FIRST_ORDINARY  # … but for special tokens


def test_every_sequence_hides_its_share_and_at_least_one() -> None:
    batch = batch_of()
    cls = np.flatnonzero(batch.input_ids.ravel() == CLS)
    assert (cls == batch.cls_places).all()
    ids = batch.sequence_ids + np.arange(batch.rows)[:, None] * 1000
    ids[batch.sequence_ids == 0] = -1
    sequence_of_place = ids.ravel()
    for sequence in np.unique(sequence_of_place[sequence_of_place >= 0]):
        length = int((sequence_of_place == sequence).sum())
        hidden = int((sequence_of_place[batch.masked_places] == sequence).sum())
        assert hidden == max(1, round(length * 0.15))


@pytest.mark.parametrize("whole_word", [False, True])
def test_special_tokens_and_padding_are_never_hidden(whole_word: bool) -> None:
    batch = batch_of(seed=3, whole_word=whole_word)
    assert batch.masked_labels.min() >= FIRST_ORDINARY
    assert (batch.sequence_ids.ravel()[batch.masked_places] > 0).all()
    assert ((batch.input_ids == PAD) == (batch.sequence_ids == 0)).all()


def test_whole_words_are_hidden_whole() -> None:
    batch = batch_of(seed=4, whole_word=True)
    original = batch.input_ids.ravel().copy()
    original[batch.masked_places] = batch.masked_labels
    hidden = np.zeros(original.size, bool)
    hidden[batch.masked_places] = True
    continues = vocabulary().continues_word[original]
    before_special = np.isin(np.roll(original, 1), (CLS, SEP, PAD))
    inside_word = continues & ~before_special
    assert inside_word.sum() > 100
    assert (hidden[inside_word] == np.roll(hidden, 1)[inside_word]).all()
    single = batch_of(seed=4)
    assert len(batch.masked_places) == pytest.approx(len(single.masked_places), rel=0.01)  # BERT passes over long words


def test_a_rows_masks_do_not_depend_on_its_company() -> None:
    whole = batch_of(seed=5)
    for first, last in [(0, 1), (3, 7), (2, whole.rows)]:
        part, expected = batch_of((first, last), seed=5), whole.slice(first, last)
        for name in vars(expected):
            assert (getattr(part, name) == getattr(expected, name)).all(), name


def test_another_key_masks_other_places() -> None:
    assert (batch_of(seed=6).masked_places[:20] != batch_of(seed=7).masked_places[:20]).any()


def test_uniform_is_uniform_and_depends_on_every_argument() -> None:
    rows, places = np.divmod(np.arange(200_000), 128)
    draws = uniform(stream_key("a"), rows, places)
    assert np.histogram(draws, 20, (0, 1))[0] == pytest.approx(10_000, rel=0.05)
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.01
    assert abs(np.corrcoef(draws, uniform(stream_key("b"), rows, places))[0, 1]) < 0.01
    assert np.unique(draws).size == draws.size
