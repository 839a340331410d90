"""What an export lost, measured before anyone gets it: its outputs and its score beside those of the model it is of.

Letters: W windows, D hidden width, O outputs of the task, V vocabulary.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.config import CorpusConfig
from bertsmith.data.windows import Window
from bertsmith.errors import BertsmithError, CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.inference.inputs import examples_of_texts
from bertsmith.inference.predictor import Predictor
from bertsmith.progress import Reporter
from bertsmith.tasks.reader import Float32s
from bertsmith.text.corpus import read_corpus
from bertsmith.text.sentences import split_sentences
from bertsmith.text.sources import list_sources
from bertsmith.text.wordpiece import WordPiece

Int32s = NDArray[np.int32]

SAME = 1e-4  # how far apart numbers of two engines in float32 may be, of 1 or of their own size
COMPARED = 64  # examples whose outputs are compared
AT_ONCE = 8  # of their windows
TEXTS = 500  # sentences that a model without a task is measured on
MASK_EVERY = 7  # tokens, as BERT's own 15 %
SENTENCES = (
    "All human beings are born free and equal in dignity and rights.",
    "The patient was given a medicine against the pain, and slept until the next morning.",
    "Why?",
    "Rates rose by 0.25 % in March 2021, the third time in a year; nobody had expected it.",
    "He said: “I'll be there at five,” but never came.",
    "Water boils at 100 °C, and at a lower temperature on a mountain.",
    "An error occurred while the file was being written: no space left on device (28).",
    "The court held that the contract was void, since the seller had known of the defect when it was signed, and told "
    "him to pay the costs of both instances.",
    "Wir haben gestern im Garten die ersten Äpfel geerntet.",
    "Le train de nuit pour Vienne part à vingt-deux heures du quai numéro trois.",
    "It is the best film that I have seen this year, and the worst title.",
    "Two plus two is four.",
    "She studied chemistry in Zürich, worked in Kyoto for eleven years and now teaches in a small town by the sea.",
    "El perro del vecino ladra toda la noche.",
    "Cells divide; before they do, each chromosome is copied once, so that both have the whole of it.",
    "Please send the invoice to the address below, not to me.",
)


@dataclass(frozen=True)
class Material:
    """What a model and its export are compared on.

    Attributes:
        texts: for vectors and masks.
        examples: of the model's task; empty without one.
        scored: whether the score is measured: the user gave data for it.
    """

    texts: tuple[str, ...]
    examples: tuple[Any, ...] = ()
    scored: bool = False


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        largest: the largest difference of an output, of 1 or of the output's size where that is more.
        compared: how many texts or examples that was.
        figure: what the loss is a loss of.
        before, after: that figure, of the model and of its export.
        scored_on: how many texts, examples or masks that figure rests on.
        metrics: all figures, before and after.
        scale: what the figure is at best: 1, or 100 where it is told in percent.
    """

    largest: float
    compared: int
    figure: str
    before: float
    after: float
    scored_on: int
    metrics: tuple[dict[str, float], dict[str, float]] = field(default=({}, {}))
    scale: float = 1.0

    @property
    def loss(self) -> float:
        """How much of the figure is gone, as a share of its best."""
        return (self.before - self.after) / self.scale

    def check(self, max_loss: float, *, exact: bool) -> None:
        """Refuse an export that is too far from its model.

        Raises:
            BertsmithError: with the numbers.
        """
        told = f"{self.figure} {self.before:.4f} before and {self.after:.4f} after, on {self.scored_on:,}"
        if not self.loss <= max_loss:  # NaN is refused too
            raise BertsmithError(
                f"the export loses {self.loss:.4f} of the {self.figure} ({told}), and --max-loss is {max_loss:g}. "
                "Nothing was written. Take onnx, or another --calibration; or allow it."
            )
        if exact and not self.largest <= SAME:
            raise BertsmithError(
                f"the export's numbers differ by up to {self.largest:.2g} on {self.compared} texts; rounding explains "
                f"{SAME:g} ({told}). Nothing was written; please report this model's config.json."
            )


def material_for(predictor: Predictor, dev: Sequence[str], reading: LabelledConfig, reporter: Reporter) -> Material:
    """What a model is compared on: the data given, or sentences of our own.

    Args:
        predictor: the model.
        dev: labelled files of a fine-tuned model's task, text files for another; may be empty.
        reading: how labelled files are read.
        reporter: told what was left out.

    Raises:
        CorpusError: they cannot be read, or hold nothing.
    """
    if predictor.head is None:
        texts = tuple(sentences_of(dev, TEXTS)) if dev else SENTENCES
        return Material(texts, scored=bool(dev) and predictor.fills)
    if dev:
        labelled = predictor.task.read_to_measure(list(dev), reading)
        labelled.tell(reporter, "dev ")
        return Material(SENTENCES, tuple(labelled.examples), scored=True)
    given = {"answer": {"question": "What is it?"}, "choose": {"choices": SENTENCES[:2]}}.get(predictor.head.task, {})
    return Material(SENTENCES, tuple(examples_of_texts(predictor.task, SENTENCES, **given)))  # type: ignore[arg-type]


def sentences_of(files: Sequence[str], most: int) -> list[str]:
    """The first sentences of text files.

    Raises:
        CorpusError: as `read_corpus`.
    """
    config = CorpusConfig()
    documents = read_corpus(list_sources(files), config, skipped=[])
    return list(islice((part for each in documents for part in split_sentences(each.text, config.language)), most))


def compare(before: Predictor, after: Predictor, material: Material) -> Verdict:
    """A model beside its export."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that texts are long, twice
        return _compare(before, after, material)


def _compare(before: Predictor, after: Predictor, material: Material) -> Verdict:
    ours, theirs = (outputs_of(each, material, masks=after.fills) for each in (before, after))
    largest = max(
        float((np.abs(a - b) / np.maximum(1, np.abs(a))).max(initial=0.0)) for a, b in zip(ours, theirs, strict=True)
    )
    compared = min(COMPARED, len(material.examples or material.texts))
    if material.scored:
        metrics, count, figure = _scores(before, material)
        now, _, _ = _scores(after, material)
        scale = before.task.figure_scale if before.head is not None else 1.0
        return Verdict(largest, compared, figure, metrics[figure], now[figure], count, (metrics, now), scale)
    return Verdict(largest, compared, "cosine", 1.0, mean_cosine(ours[0], theirs[0]), compared)


def outputs_of(predictor: Predictor, material: Material, *, masks: bool) -> list[Float32s]:
    """Vectors (texts, D) first, then what the head says, (places, O), or with `masks` the heads of pretraining."""
    texts = material.texts[:COMPARED]
    made = [predictor.embed(texts)]
    if material.examples:
        encoded = predictor.task.encode(material.examples[:COMPARED])
        windows = [window for each in encoded for window in each.windows]
        logits = _in_batches(windows, predictor.reader.task_logits)
        of_tokens = predictor.task.name in ("tag", "answer")  # of others only the mean over the places counts
        made += logits if of_tokens else [each.mean(axis=0) for each in logits]
    elif masks:
        masked = [window for window, _ in masked_windows(predictor.tokenizer, texts, predictor.max_length_tokens)]
        reader = predictor.reader
        made += _in_batches(masked, lambda batch: [reader.mask_logits(batch), reader.next_sentence_logits(batch)])
    return made


def _in_batches(windows: Sequence[Window], compute: Callable[[Sequence[Window]], list[Float32s]]) -> list[Float32s]:
    firsts = range(0, len(windows), AT_ONCE)
    return [part for first in firsts for part in compute(windows[first : first + AT_ONCE])]


def masked_windows(tokenizer: WordPiece, texts: Sequence[str], longest: int) -> list[tuple[Window, Int32s]]:
    """The beginning of each text that is not too short, every seventh token hidden; and what stood there."""
    flat, lengths = tokenizer.encode_sentences(list(texts))
    made = []
    for ids in np.split(flat, np.cumsum(lengths)[:-1]):
        body = np.concatenate(([tokenizer.cls_id], ids[: longest - 2], [tokenizer.sep_id])).astype(np.int32)
        places = np.arange(MASK_EVERY // 2 + 1, len(body) - 1, MASK_EVERY, dtype=np.int32)
        if len(places):
            hidden = body[places]
            body[places] = tokenizer.mask_id
            made.append((Window(body, np.zeros(len(body), np.uint8), places), hidden))
    return made


def _scores(predictor: Predictor, material: Material) -> tuple[dict[str, float], int, str]:
    """All figures, how many things they are of, and which of them counts.

    Raises:
        CorpusError: that one cannot be computed.
    """
    if predictor.head is not None:
        examples = list(material.examples)
        figures = predictor.task.score(examples, list(predictor.predict(examples)))
        figure = predictor.task.headline
        if figure not in figures:
            raise CorpusError(
                f"--dev: there is no {figure} of these {len(examples):,} example(s), by which a loss is measured: it "
                "takes several, whose scores differ, and answers that do. Give other examples, or none."
            )
        return figures, len(examples), figure
    pairs = masked_windows(predictor.tokenizer, material.texts, predictor.max_length_tokens)
    if not pairs:
        raise CorpusError("--dev has no sentence that is long enough to hide a word of. Give running text.")
    right = [predictor.reader.mask_logits([window]).argmax(axis=1) == hidden for window, hidden in pairs]
    return {"mask_accuracy": float(np.concatenate(right).mean())}, sum(map(len, right)), "mask_accuracy"


def mean_cosine(ours: Float32s, theirs: Float32s) -> float:
    """Of two vectors of each text, (texts, D)."""
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / np.maximum(norms, 1e-12)).mean())
