"""The whole journey in about three minutes, with no file and no network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from bertsmith.config import PretrainConfig, TokenizerConfig
from bertsmith.demo_corpus import write_corpus
from bertsmith.demo_parts import count_labels, read_examples, write_examples
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import FinetuneConfig
from bertsmith.inference.predictor import load
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_model_config, write_model_folder
from bertsmith.progress import Reporter
from bertsmith.tasks.fill_mask import Fill
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.finetune import FinetuneResult, finetune
from bertsmith.training.pretrain import pretrain

# Many small steps: in two minutes the number of steps decides how far below the word frequencies the loss gets, and
# a twice as large share of masks makes each teach more. Next-sentence prediction is not learned in that time, and what
# is left of the attempt makes a worse encoder.
PRETRAINING = PretrainConfig(
    size="tiny", objective="mlm", mask_share=0.3, batch_size=8, learning_rate=1e-3, evaluation_rows=64
)
VOCABULARY = TokenizerConfig(vocab_size=4096)
# A rate and length at which the encoder that was never pretrained does well too: slower or shorter training would make
# the gain look larger than it is. The last weights are kept, so that nothing is chosen by what it is measured on.
FINETUNING = FinetuneConfig(steps=320, batch_size=16, learning_rate=1e-3, keep="last", precision="float32")
SENTENCES = (
    "The function returns a [MASK] of strings.",
    "Raises ValueError if the [MASK] is not found.",
    "If the argument is omitted, the [MASK] value is used.",
)


@dataclass(frozen=True)
class Comparison:
    """The same classifier on two encoders: same examples, recipe, seed, and initial head.

    Attributes:
        pretrained, never_pretrained: the classifiers.
        guessing: accuracy of always saying the commonest part.
        train, dev: examples that they learned from, and were measured on.
    """

    pretrained: FinetuneResult
    never_pretrained: FinetuneResult
    guessing: float
    train: int
    dev: int

    @property
    def gain(self) -> float:
        """How much higher the pretrained encoder's accuracy is."""
        return self.pretrained.metrics["accuracy"] - self.never_pretrained.metrics["accuracy"]

    @property
    def noise(self) -> float:
        """Two standard errors of `gain` that come of the finite number of development examples alone."""
        shares = [result.metrics["accuracy"] for result in (self.pretrained, self.never_pretrained)]
        return 2 * math.sqrt(sum(share * (1 - share) for share in shares) / self.dev)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        corpus: folder of the text.
        model: the run folder.
        metrics: of the last evaluation, on documents that training did not see.
        fills: for each sentence, for each mask, the answers.
        parts: which part of Python's library a docstring belongs to, with and without pretraining.
    """

    corpus: Path
    model: Path
    metrics: dict[str, float]
    fills: Mapping[str, list[list[Fill]]]
    parts: Comparison


def run_demo(out: Path, *, minutes: float, reporter: Reporter) -> DemoResult:
    """Make a BERT of the documentation of the Python that runs this, let it fill masks, make a classifier of it.

    Args:
        out: gets `corpus/`, `train.csv`, `dev.csv`, `bert/`, `classifier/`, `never-pretrained/` and
            `never-pretrained-classifier/`. What is finished there is not done again.
        minutes: of pretraining.
        reporter: told of progress.

    Raises:
        CorpusError: this Python came without documentation and source.
        BertsmithError: as `training.pretrain.pretrain` and `training.finetune.finetune`.
    """
    corpus, model = out / "corpus", out / "bert"
    _texts(out, corpus, reporter)
    with _one_thread():
        result = pretrain(
            [str(corpus)],
            model,
            config=PRETRAINING.but(minutes=minutes),
            tokenizer_config=VOCABULARY,
            reporter=reporter,
        )
        predictor = load(model)
        fills = {sentence: predictor.fill_each(sentence) for sentence in SENTENCES}
        return DemoResult(corpus, model, result.metrics, fills, _compare(out, model, reporter))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: for so small a model more gain little, and wait for each other where a core is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _texts(out: Path, folder: Path, reporter: Reporter) -> None:
    """The labelled examples and the corpus, which has no text of the development examples.

    The corpus is written beside and renamed, last of all: where it is, everything is there and whole.
    """
    train, dev = out / "train.csv", out / "dev.csv"
    if folder.exists() and train.exists() and dev.exists():
        reporter.say(f"{folder}: the text is there already")
        return
    out.mkdir(parents=True, exist_ok=True)
    examples = read_examples()
    write_examples(examples.train, train)
    write_examples(examples.dev, dev)
    if folder.exists():
        return
    beside = folder.with_name("corpus.unfinished")
    if beside.exists():
        for old in beside.glob("*.txt"):
            old.unlink()
    written = write_corpus(beside, reporter, without=examples.dev_paragraphs)
    if written < 100_000:
        raise CorpusError(
            f"this Python came with {written} bytes of documentation only, which is too little for a demo. "
            "Take your own text: bertsmith pretrain notes/ --out my-bert"
        )
    beside.rename(folder)
    reporter.say(f"{folder}: {written / 1e6:.1f} MB of documentation, read from the source of this Python's library")


def _compare(out: Path, model: Path, reporter: Reporter) -> Comparison:
    """Fine-tune twice; only the encoder to begin with differs."""
    untrained = out / "never-pretrained"
    _write_never_pretrained(model, untrained)
    results = []
    for source, name in ((model, "classifier"), (untrained, "never-pretrained-classifier")):
        reporter.say(f"which part of Python's library is a docstring of? A classifier on {source}")
        results.append(
            finetune(
                "classify",
                str(out / "train.csv"),
                out / name,
                model=source,
                dev=str(out / "dev.csv"),
                config=FINETUNING,
                reporter=reporter,
            )
        )
    counts = count_labels(out / "dev.csv")
    return Comparison(
        results[0],
        results[1],
        guessing=max(counts.values()) / counts.total(),
        train=count_labels(out / "train.csv").total(),
        dev=counts.total(),
    )


def _write_never_pretrained(model: Path, folder: Path) -> None:
    """A model folder with the very weights that pretraining began from, and the same tokenizer."""
    if (folder / "model.safetensors").exists():  # written last
        return
    folder.mkdir(parents=True, exist_ok=True)
    WordPiece.load(model).save(folder)
    generator = torch.Generator().manual_seed(PRETRAINING.seed)
    write_model_folder(Bert(read_model_config(model), (), generator=generator), folder)
