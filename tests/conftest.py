"""What tests of several rooms need."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from clinic_texts import TEXTS

# Models of a few thousand weights: a second thread only waits for the first.
os.environ["OMP_NUM_THREADS"] = "1"
# How long an example takes says something of the machine's other work only.
settings.register_profile("bertsmith", deadline=None)
settings.load_profile("bertsmith")
# Their files take longest, and are begun first: at the end, no worker waits long for another.
LONGEST = ("faults", "training", "bench", "benchmarks", "export", "server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the tests of a file stay in their order."""
    places = {room: place for place, room in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(LONGEST)))


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text of `training.runs`, prepared; nobody writes to it."""
    from training.runs import prepare, write_corpus

    folder = tmp_path_factory.mktemp("corpora")
    return prepare(write_corpus(folder), folder / "corpus")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of 32 positions with its tokenizer; its weights are large, so that answers differ."""
    import torch

    from bertsmith.config import ModelConfig, TokenizerConfig
    from bertsmith.model.bert import Bert
    from bertsmith.model.folder import write_model_folder
    from bertsmith.text.wordpiece import WordPiece

    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    tokenizer = WordPiece.train(TEXTS * 3, TokenizerConfig(vocab_size=120))
    tokenizer.model_max_length = 32
    tokenizer.save(folder)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    write_model_folder(Bert(config, generator=torch.Generator().manual_seed(7)), folder)
    return folder
