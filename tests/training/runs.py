"""A run small enough to be repeated: a corpus of made-up words, the smallest sensible model, a few steps."""

from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from bertsmith.config import CorpusConfig, PretrainConfig, TokenizerConfig
from bertsmith.data.prepare import prepare_corpus
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Silent
from bertsmith.training.pretrain import PretrainResult, pretrain
from data.corpora import raw_text

SMALL: dict[str, Any] = {
    "size": "tiny",
    "steps": 20,
    "batch_size": 8,
    "max_length_tokens": 32,
    "evaluation_rows": 8,
    "checkpoint_every_steps": 5,
    "dropout": 0.1,
    "precision": "float32",
}


def write_corpus(folder: Path, *, documents: int = 150) -> Path:
    """Raw text to pretrain on."""
    path = folder / "text.txt"
    path.write_text(raw_text(0, documents=documents))
    return path


# As `run` prepares raw text.
CORPUS, VOCABULARY = CorpusConfig(workers=1, held_out_share=0.1), TokenizerConfig(vocab_size=200)


def prepare(corpus: Path, out: Path, *, workers: int = 1, **making: Any) -> Path:
    """What `run` makes of raw text before it trains."""
    prepare_corpus(
        [str(corpus)],
        out,
        tokenizer=VOCABULARY,
        config=CORPUS.but(workers=workers),
        seed=0,
        making=PrepareConfig(**making),
        reporter=Silent(),
    )
    return out


def run(corpus: Path, out: Path, **options: Any) -> PretrainResult:
    """Pretrain a small BERT, on raw text or on what `prepare` made of it."""
    return pretrain(
        [str(corpus)],
        out,
        config=PretrainConfig(**{**SMALL, **options}),
        corpus_config=CORPUS,
        tokenizer_config=VOCABULARY,
    )


def weights(out: Path) -> dict[str, bytes]:
    """Every tensor of a run folder, as bytes."""
    return {name: tensor.tobytes() for name, tensor in load_file(out / "model.safetensors").items()}
