"""What a measured step consists of: the rows, our loop, the peer's batch."""

import mmap

import numpy as np
import pytest
import torch

from bertsmith.benchmarks import limit
from bertsmith.benchmarks.machine import PeakOfAll, available_bytes, peak_memory_bytes
from bertsmith.benchmarks.random_corpus import FIRST_ORDINARY, RandomCorpus, random_vocabulary
from bertsmith.benchmarks.step_side import Ours, Settings
from bertsmith.config import PretrainConfig
from bertsmith.data.sampler import Position
from marks import needs_whole

SMALL = {"size": "tiny", "batch_size": 4, "max_length_tokens": 32, "precision": "float32"}


def settings(**options) -> Settings:
    return Settings(PretrainConfig(**{**SMALL, **options}), vocab_size=300)


def test_random_text_is_packed_and_masked_as_real_text_is():
    batch, _ = Settings(PretrainConfig(batch_size=320), 30_522).sampler().take(Position(), 320)
    assert batch.input_ids.shape == (320, 128)
    assert 0.97 < batch.tokens / batch.input_ids.size <= 1
    assert len(batch.masked_labels) / batch.tokens == pytest.approx(0.15, abs=0.003)
    assert set(batch.next_sentence_labels.tolist()) == {0, 1}
    assert 1 < len(batch.cls_places) / 320 < 1.5
    assert batch.masked_labels.min() >= FIRST_ORDINARY
    assert batch.masked_labels.max() < 30_522


def test_random_documents_are_whole_and_zipfian():
    corpus = RandomCorpus(1000)
    shard = corpus.open(corpus.of("train")[0])
    assert shard.document_starts[-1] == len(shard.sentence_starts) - 1
    assert shard.sentence_starts[-1] == len(shard.tokens) == corpus.tokens("train")
    assert 20 < np.diff(shard.sentence_starts).mean() < 30
    counts = np.bincount(shard.tokens, minlength=1000)[FIRST_ORDINARY:]
    assert counts[0] / counts[9] == pytest.approx(np.log(2) / np.log(1.1), rel=0.1)  # P(k) = log(1 + 1/k) / log n
    assert random_vocabulary(1000).ordinary_ids[0] == FIRST_ORDINARY


def test_our_steps_are_steps_of_the_real_loop():
    ours = Ours(settings())
    before = {name: value.clone() for name, value in ours.loop.model.named_parameters()}
    batch, after = settings().sampler().take(Position(), 4)
    assert ours.steps(1) == batch.tokens
    assert ours.steps(2) > 0
    assert ours.loop.progress.step == 3
    assert ours.loop.progress.feed["row"] == 3 * after.row
    moved = [name for name, value in ours.loop.model.named_parameters() if not torch.equal(value, before[name])]
    assert "encoder.layers.1.narrow.weight" in moved
    assert "next_sentence.dense.weight" in moved


def test_settings_come_back_from_the_command_line_of_a_side():
    given = settings(mask_share=0.3, objective="mlm")
    assert Settings.from_json(given.to_json()) == given
    assert given.counts().sequences == 0
    assert settings().counts().sequences >= 4


def test_the_peer_reads_the_same_tokens_and_guesses_the_same_places():
    pytest.importorskip("transformers")
    from bertsmith.benchmarks.step_peer import peer_batch
    from bertsmith.tasks.linear_cross_entropy import IGNORED

    batch, _ = settings().sampler().take(Position(), 4)
    theirs = peer_batch(batch, next_sentence=True)
    assert torch.equal(theirs["input_ids"], torch.from_numpy(batch.input_ids))
    assert theirs["attention_mask"].sum() == batch.tokens
    labels = theirs["labels"].flatten()
    assert torch.equal((labels != IGNORED).nonzero()[:, 0], torch.from_numpy(batch.masked_places))
    assert torch.equal(labels[batch.masked_places], torch.from_numpy(batch.masked_labels))
    assert theirs["next_sentence_label"].shape == (4,)
    assert theirs["next_sentence_label"][0] == batch.next_sentence_labels[0]
    assert "next_sentence_label" not in peer_batch(batch, next_sentence=False)


def test_the_peer_as_it_comes_learns_with_dropout_in_float32(monkeypatch):
    pytest.importorskip("transformers")
    from bertsmith.benchmarks.step_peer import UNCOMPILED, Peer

    usual = Peer(settings(), best=False)
    assert usual.precision == "float32"
    assert usual.model.config.hidden_dropout_prob == usual.model.config.attention_probs_dropout_prob == 0.1
    before = usual.model.bert.encoder.layer[0].output.dense.weight.clone()
    assert usual.steps(2) == sum(usual.tokens[:2])
    assert not torch.equal(usual.model.bert.encoder.layer[0].output.dense.weight, before)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("bertsmith.benchmarks.step_peer.choose_precision", lambda asked, device: "int16")  # ours alone
    best = Peer(settings(dropout=0.2, objective="mlm"), best=True)
    assert best.note == UNCOMPILED
    assert best.precision == "float32"
    assert best.model.config.hidden_dropout_prob == 0.2
    assert best.optimizer.defaults["fused"] is True
    assert type(best.model).__name__ == "BertForMaskedLM"


@pytest.mark.skipif(available_bytes(torch.device("cpu")) is None, reason="no /proc")
def test_memory_is_seen_while_it_is_held():
    with PeakOfAll() as before:
        pass
    with PeakOfAll() as during:
        # Not by malloc, which may give memory again that an earlier test has freed and the process has kept.
        held = mmap.mmap(-1, 80_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        held.write(b"x" * len(held))
        for _ in range(50):  # on a crowded machine the next sample is late
            if during.bytes - before.bytes > 60_000_000:
                break
            during._over.wait(0.1)
    assert during.bytes - before.bytes > 60_000_000
    assert peak_memory_bytes(torch.device("cpu")) >= during.bytes


@needs_whole
def test_the_limit_knows_products_of_whole_numbers(monkeypatch):
    monkeypatch.setattr(limit, "SHAPES", ((64, 64, 64),))
    found = limit.matmul_limits(torch.device("cpu"))
    assert list(found) == ["float32", "bfloat16", "int16"]
    assert all(speed > 0 for speed in found.values())
