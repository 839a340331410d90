"""The whole journey in about three minutes, with no file and no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bertsmith.config import PretrainConfig, TokenizerConfig
from bertsmith.demo_corpus import write_corpus
from bertsmith.errors import CorpusError
from bertsmith.inference.predictor import load
from bertsmith.progress import Reporter
from bertsmith.tasks.fill_mask import Fill
from bertsmith.training.pretrain import pretrain

# Many small steps: in two minutes the number of steps decides how far below the word frequencies the loss gets.
PRETRAINING = PretrainConfig(size="tiny", batch_size=8, learning_rate=1e-3, evaluation_rows=64)
VOCABULARY = TokenizerConfig(vocab_size=8192)
SENTENCES = (
    "The function returns a [MASK] of strings.",
    "Raises ValueError if the [MASK] is not found.",
    "If the argument is omitted, the [MASK] value is used.",
)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        corpus: folder of the text.
        model: the run folder.
        metrics: of the last evaluation, on documents that training did not see.
        fills: for each sentence, for each mask, the answers.
    """

    corpus: Path
    model: Path
    metrics: dict[str, float]
    fills: Mapping[str, list[list[Fill]]]


def run_demo(out: Path, *, minutes: float, reporter: Reporter) -> DemoResult:
    """Make a BERT of the documentation of the Python that runs this, and let it fill masks.

    Args:
        out: gets `corpus/` and `bert/`. What is finished there is not done again.
        minutes: of pretraining.
        reporter: told of progress.

    Raises:
        CorpusError: this Python came without documentation and source.
        BertsmithError: as `training.pretrain.pretrain`.
    """
    corpus, model = out / "corpus", out / "bert"
    _corpus(corpus, reporter)
    result = pretrain(
        [str(corpus)],
        model,
        config=PRETRAINING.but(minutes=minutes),
        tokenizer_config=VOCABULARY,
        reporter=reporter,
    )
    predictor = load(model)
    fills = {sentence: predictor.fill_each(sentence) for sentence in SENTENCES}
    return DemoResult(corpus, model, result.metrics, fills)


def _corpus(folder: Path, reporter: Reporter) -> None:
    """Write the text beside, then rename: a corpus that is there is whole."""
    if folder.exists():
        reporter.say(f"{folder}: the text is there already")
        return
    beside = folder.with_name("corpus.unfinished")
    if beside.exists():
        for old in beside.glob("*.txt"):
            old.unlink()
    written = write_corpus(beside, reporter)
    if written < 100_000:
        raise CorpusError(
            f"this Python came with {written} bytes of documentation only, which is too little for a demo. "
            "Take your own text: bertsmith pretrain notes/ --out my-bert"
        )
    beside.rename(folder)
    reporter.say(f"{folder}: {written / 1e6:.1f} MB of documentation, read from the source of this Python's packages")
