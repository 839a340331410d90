"""Rows are a function of corpus, seed and position: any position is reached alone, an epoch sees each row once."""

import tracemalloc
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data.batch import Masking, PretrainingBatch, concatenate
from bertsmith.data.feed import Phase, PretrainingFeed
from bertsmith.data.prepare import prepare_corpus
from bertsmith.data.sampler import Position, RowSampler, Sampling
from bertsmith.data.shards import PreparedCorpus, ShardIndex
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Silent
from bertsmith.text.wordpiece import WordPiece
from data.corpora import raw_text, vocabulary


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    folder: Path = tmp_path_factory.mktemp("sampler")
    (folder / "text.txt").write_text(raw_text(0, documents=400))
    tokenizer = WordPiece.train([raw_text(0, documents=100)], TokenizerConfig(vocab_size=300))
    return prepare_corpus(
        [str(folder / "text.txt")],
        folder / "corpus",
        tokenizer=tokenizer,
        config=CorpusConfig(workers=1),
        seed=0,
        making=PrepareConfig(shard_tokens=5000),
        reporter=Silent(),
    )


def sampler(corpus: PreparedCorpus, *, seed: int = 0, row_length: int = 64) -> RowSampler:
    masking = Masking(vocabulary(), 0.15, False)
    return RowSampler(corpus, "train", Sampling(seed, row_length, True, 0.1, masking))


def same(one: PretrainingBatch, other: PretrainingBatch) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def rows_of_epoch(rows: RowSampler, epoch: int, step: int) -> list[bytes]:
    found, position = [], Position(epoch)
    while position.epoch == epoch:
        batch, position = rows.take(position, step)
        found += [row.tobytes() for row in batch.input_ids]
    return found


def test_a_seek_gives_what_the_straight_run_gives(corpus: PreparedCorpus) -> None:
    straight, position = [], Position()
    positions = [position]
    rows = sampler(corpus)
    for _ in range(70):
        batch, position = rows.take(position, 7)
        straight.append(batch)
        positions.append(position)
    assert positions[-1].epoch >= 1  # the run crossed shards and an epoch
    for index in (0, 5, 17, 69):
        again, after = sampler(corpus).take(positions[index], 7)
        assert same(again, straight[index])
        assert after == positions[index + 1]


def test_a_corpus_of_ten_terabytes_takes_hardly_more_memory_than_a_small_one(corpus: PreparedCorpus) -> None:
    entries = list(corpus.of("train"))
    many = replace(corpus, shards=ShardIndex.of(list(islice(cycle(entries), 600_000))))
    peaks = []
    for each in (corpus, many):
        tracemalloc.start()
        rows = sampler(each)
        batch, _ = rows.take(Position(3, len(rows.entries) // 2), 8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(batch.input_ids) == 8
    small, large = peaks
    assert large - small < 48 * 600_000  # an epoch's order and its sums, whole numbers of 8 bytes


def test_rows_do_not_depend_on_the_batch_size(corpus: PreparedCorpus) -> None:
    one, other = rows_of_epoch(sampler(corpus), 0, 1), rows_of_epoch(sampler(corpus), 0, 5)
    assert other[: len(one)] == one


def test_epochs_differ_in_order_pairs_and_masks_and_seeds_too(corpus: PreparedCorpus) -> None:
    first, second = set(rows_of_epoch(sampler(corpus), 0, 1)), set(rows_of_epoch(sampler(corpus), 1, 1))
    other = set(rows_of_epoch(sampler(corpus, seed=1), 0, 1))
    assert len(first & second) < 0.02 * len(first)
    assert len(first & other) < 0.02 * len(first)


def test_epochs_done_grows_evenly_to_one(corpus: PreparedCorpus) -> None:
    rows, position, done = sampler(corpus), Position(), [0.0]
    while position.epoch == 0:
        _, position = rows.take(position, 3)
        done.append(rows.epochs_done(position))
    steps = np.diff(done)
    assert done[-1] == pytest.approx(1.0, abs=0.05)
    assert steps.min() > 0.5 * steps.mean()
    assert steps.max() < 1.5 * steps.mean()


def test_the_second_phase_goes_on_at_the_same_share_of_the_corpus(corpus: PreparedCorpus) -> None:
    feed = PretrainingFeed(
        [Phase(sampler(corpus), 0.5), Phase(sampler(corpus, row_length=256))],
        batch_size=4,
        micro_batch_size=3,
    )
    state, lengths, done = feed.start(), [], [0.0]
    while done[-1] < 1:
        step = feed.step(state, lambda epochs: epochs)  # a budget of one epoch
        state = step.state
        lengths.append(step.batches[0].input_ids.shape[1])
        done.append(step.epochs_after)
        assert [batch.rows for batch in step.batches] == [3, 1]
    assert sorted(set(lengths)) == [64, 256]
    assert lengths == sorted(lengths)
    assert done == sorted(done)
    switch = done[lengths.index(256)]
    assert switch == pytest.approx(0.5, abs=0.08)


def test_a_phase_without_room_is_passed_over(corpus: PreparedCorpus) -> None:
    phases = [Phase(sampler(corpus, row_length=length), until) for length, until in ((16, 0.5), (64, 0.5), (256, 1.0))]
    feed = PretrainingFeed(phases, batch_size=4, micro_batch_size=None)

    def length_at(share: float) -> int:
        return feed.step(feed.start(), lambda epochs: share).batches[0].input_ids.shape[1]

    assert [length_at(share) for share in (0.0, 0.49, 0.5, 1.0)] == [16, 16, 256, 256]


def test_the_first_rows_are_as_many_as_there_are(corpus: PreparedCorpus) -> None:
    rows = sampler(corpus)
    assert rows.first(10).rows == 10
    assert rows.first(10**6).rows == len(rows_of_epoch(rows, 0, 1))


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_rows_of_all_ranks_are_those_of_one(corpus: PreparedCorpus, ranks: int) -> None:
    rows, state = sampler(corpus), PretrainingFeed.start()
    whole = PretrainingFeed([Phase(rows)], batch_size=7, micro_batch_size=None)
    feeds = [
        PretrainingFeed([Phase(rows)], batch_size=7, micro_batch_size=2, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    for _ in range(70):  # through several shards and epochs
        (batch,) = whole.step(state, lambda epochs: 0.0).batches
        steps = [feed.step(state, lambda epochs: 0.0) for feed in feeds]
        assert same(concatenate([part for step in steps for part in step.batches]), batch)
        assert sum(step.tokens for step in steps) == batch.tokens
        assert all(step.state == steps[0].state for step in steps)
        state = steps[0].state
    assert state["epoch"] > 0
