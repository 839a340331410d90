"""What counting gives a new model, and the file that keeps it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.config import PretrainConfig
from bertsmith.data.shards import open_corpus
from bertsmith.errors import ModelFolderError
from bertsmith.model.bert import Bert
from bertsmith.tasks.pretraining import Pretraining
from bertsmith.training.journal import Journal
from bertsmith.training.new_model import new_model
from bertsmith.training.start import Start
from training.runs import run


def drawn(config: PretrainConfig, vocab_size: int) -> Bert:
    return new_model(config, Pretraining(config.objective), vocab_size=vocab_size, pad_token_id=0)


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_a_model_begins_with_what_was_counted(small_corpus: Path, architecture: str) -> None:
    corpus = open_corpus(small_corpus)
    start = Start.counted(corpus, 128, seed=0)
    counts = torch.from_numpy(corpus.token_counts())
    config = PretrainConfig(size="tiny", architecture=architecture)
    plain, bert = drawn(config, len(counts)), drawn(config, len(counts))
    start.give(bert)
    before, words = plain.encoder.embeddings.word.weight, bert.encoder.embeddings.word.weight
    torch.testing.assert_close(bert.masked_lm.bias.exp(), (counts + 1).float() / (counts + 1).sum())
    pointed = start.word_vectors.any(dim=1)
    assert pointed.sum() > 0.8 * (counts > 0).sum()
    assert torch.equal(words[~pointed], before[~pointed])
    lengths = words[pointed].norm(dim=1)
    assert lengths.std() < 1e-5
    assert lengths.mean().item() == pytest.approx(before[1:].norm(dim=1).mean().item(), rel=0.2)
    others = {"masked_lm.bias", "masked_lm.dense.weight", "encoder.embeddings.word.weight"}
    for (name, one), other in zip(plain.named_parameters(), bert.parameters(), strict=True):
        assert torch.equal(one, other) != (name in others), name


def test_a_start_is_kept_whole(small_corpus: Path, tmp_path: Path) -> None:
    start = Start.counted(open_corpus(small_corpus), 8, seed=0)
    start.write(tmp_path / "start.safetensors")
    again = Start.read(tmp_path / "start.safetensors")
    assert torch.equal(start.log_frequencies, again.log_frequencies)
    assert torch.equal(start.word_vectors, again.word_vectors)
    (tmp_path / "start.safetensors").write_bytes(b"12345")
    with pytest.raises(ModelFolderError, match=r"start\.safetensors: missing or damaged"):
        Start.read(tmp_path / "start.safetensors")


def test_a_run_at_random_counts_nothing(small_corpus: Path, tmp_path: Path) -> None:
    run(small_corpus, tmp_path / "run", steps=1, initial_weights="random", evaluate_every_steps=1)
    assert not (tmp_path / "run/training/start.safetensors").exists()
    (first, *_) = Journal(tmp_path / "run/training/metrics.jsonl").read()
    assert first["mlm_loss"] == pytest.approx(np.log(200), abs=0.3)  # knows nothing yet
