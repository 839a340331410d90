"""What all runs of a fine-tuning share: the task, the examples and their windows, what it begins with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bertsmith.config import OnBadInput, Precision
from bertsmith.data.labelled.examples import BadExamples, Labelled
from bertsmith.data.random_bits import generator
from bertsmith.data.windows import Encoded
from bertsmith.errors import ConfigError, CorpusError
from bertsmith.finetune_config import FinetuneConfig, FinetuneName, LabelledConfig
from bertsmith.model.bert import Bert
from bertsmith.model.device import choose_device
from bertsmith.model.folder import read_model_config
from bertsmith.model.precision import choose_precision
from bertsmith.progress import Reporter
from bertsmith.tasks.features import feature_bytes, with_features
from bertsmith.tasks.finetuning import BLOCK, FinetuneTask
from bertsmith.tasks.registry import task_class
from bertsmith.text.streams import BadInput
from bertsmith.text.wordpiece import WordPiece

FEATURE_BYTES = 1 << 30  # of memory for what a frozen encoder makes of examples; beyond it they are read in each epoch


@dataclass(frozen=True)
class Examples:
    """Labelled examples and their windows, which all runs on them share.

    Attributes:
        examples: of the task's type.
        encoded: their windows, in the same order.
    """

    examples: Sequence[Any]
    encoded: Sequence[Encoded]


def examples_fingerprint(train: Examples, dev: Examples | None, labels: Sequence[str]) -> str:
    """SHA-256 of what a model is taught and what it is measured on."""
    digest = hashlib.sha256(repr(labels).encode())
    for examples in (train, dev):
        for each in examples.encoded if examples else ():
            for window in each.windows:
                digest.update(window.input_ids.tobytes())
            digest.update(each.labels.tobytes())
        digest.update(b"/")
    return digest.hexdigest()


@dataclass(frozen=True)
class Course:
    """What all runs of a fine-tuning share.

    Attributes:
        task: what is learned.
        source: the model folder to begin with.
        tokenizer: the model's.
        train, dev: examples; without `dev` nothing is evaluated and the last weights are kept.
        precision: of the products; chosen once, so that all runs are alike.
        headline: the figure by which weights, seeds and trials are chosen; more is better.
        kept: of feature mode: training and development examples with their features, once they were read.
    """

    task: FinetuneTask[Any, Any]
    source: Path
    tokenizer: WordPiece
    train: Examples
    dev: Examples | None
    precision: Precision
    headline: str
    kept: list[tuple[Examples, Examples | None]] = field(default_factory=list, init=False, repr=False)

    @cached_property
    def data(self) -> str:
        """SHA-256 of what is taught and what is measured on."""
        return examples_fingerprint(self.train, self.dev, self.task.head.labels)

    def read_once(self, model: Bert, reporter: Reporter) -> tuple[Examples, Examples | None]:
        """Training and development examples with what a frozen encoder, which all runs share, makes of them.

        Those that would take more than FEATURE_BYTES stay as they are, to be read in each epoch.
        """
        if not self.kept:
            train, left = self._read(self.train, model, FEATURE_BYTES, reporter)
            dev = self._read(self.dev, model, left, reporter)[0] if self.dev else None
            self.kept.append((train, dev))
        return self.kept[0]

    def _read(self, examples: Examples, model: Bert, room: int, reporter: Reporter) -> tuple[Examples, int]:
        """Examples with their features, if there is room for so many bytes; and the room that is left."""
        size, count = feature_bytes(model, examples.encoded), len(examples.encoded)
        if size > room:
            reporter.say(f"the features of {count:,} examples ({size / 1e9:.1f} GB) are computed anew in each epoch")
            return examples, room
        with reporter.track("reading features", total=count, unit="examples") as track:
            encoded = with_features(model, examples.encoded, track.update)
        return replace(examples, encoded=encoded), room - size


def read_course(
    name: FinetuneName,
    source: Path,
    train: Any,
    dev: Any,
    *,
    config: FinetuneConfig,
    reading: LabelledConfig,
    reporter: Reporter,
    headline: str | None = None,
) -> Course:
    """Read a model folder's tokenizer and the examples, find the labels, cut the windows.

    Args:
        name: of the task.
        source: the model folder to begin with.
        train: labelled examples: files or objects.
        dev: likewise; None to keep a share of the training examples for evaluation, () to evaluate on nothing.
        config: the recipe.
        reading: how examples are read.
        reporter: told of progress.
        headline: the figure to choose by; None for the task's own.

    Raises:
        CorpusError: broken examples, or too few.
        ModelFolderError, TokenizerError: the folder is none, or has no tokenizer.
        ConfigError: options that do not fit the task, or the machine.
    """
    kind = task_class(name)
    precision = choose_precision(config.precision, choose_device(config.device))
    shape = read_model_config(source)
    check_layers(config, shape.num_hidden_layers)
    if reading.multi_label and kind.name != "classify":
        raise ConfigError(f"--multi-label has no use for {kind.name}: only classify gives several labels")
    tokenizer = WordPiece.load(source)
    labelled = kind.read(train, reading)
    labelled.tell(reporter, "training ")
    head = kind.head_for(labelled.examples, reading, config)
    if dev is None:
        learned, measured = hold_out(labelled.examples, config.dev_share, kind.group_of)
        reporter.say(f"no --dev given: {len(measured):,} of the examples are kept for evaluation")
    elif isinstance(dev, tuple) and not dev:
        learned, measured = labelled.examples, []
    else:
        known = kind.read(dev, reading, labels=head.labels)
        known.tell(reporter, "development ")
        learned, measured = labelled.examples, known.examples
    weights = kind.balanced_weights(learned, head) if config.class_weights == "balanced" else None
    if config.class_weights == "balanced" and weights is None:
        raise ConfigError(f"--class-weights balanced has no use for {kind.name}, which has no classes")
    task = kind(head, tokenizer, longest=shape.max_position_embeddings, class_weights=weights)
    _check_overlap(config, task)
    train = encode_all(task, learned, "training", reading.on_bad_input, reporter)
    measured_on = encode_all(task, measured, "development", reading.on_bad_input, reporter) if measured else None
    if measured_on and (count := _in_both(train, measured_on)):
        reporter.warn(
            f"{count:,} of the {len(measured_on.examples):,} development examples read exactly as training examples "
            "do: figures on what was learned say little of what is new"
        )
    return Course(task, source, tokenizer, train, measured_on, precision, headline or task.headline)


def _in_both(train: Examples, dev: Examples) -> int:
    """How many development examples are read exactly as some training example."""

    def key(encoded: Encoded) -> int:
        return hash(b"".join(window.input_ids.tobytes() for window in encoded.windows))

    learned = {key(encoded) for encoded in train.encoded}
    return sum(key(encoded) in learned for encoded in dev.encoded)


def _check_overlap(config: FinetuneConfig, task: FinetuneTask[Any, Any]) -> None:
    """
    Raises:
        ConfigError: windows would share all that they read, and not move on.
    """
    most = task.window_tokens - 3  # [CLS], [SEP], and one to move on by
    if config.overlap_tokens is not None and config.overlap_tokens > most:
        raise ConfigError(
            f"--overlap-tokens {config.overlap_tokens}: windows have {task.window_tokens} tokens, of which neighbours "
            f"can share at most {most}"
        )


def hold_out(
    examples: Sequence[Any], share: float, group_of: Callable[[Any], object] = lambda example: None
) -> tuple[list[Any], list[Any]]:
    """Training and development examples: always the same of the same examples; groups stay together.

    Raises:
        CorpusError: fewer than two examples, or groups of them.
    """
    groups: dict[object, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault((group_of(example) or ("alone", index)), []).append(index)
    if len(groups) < 2:
        raise CorpusError(
            f"{len(examples)} training example(s), {len(groups)} that may be parted: at least two are needed, one of "
            "them to evaluate on. Give more, or --dev."
        )
    members = list(groups.values())
    chosen: set[int] = set()
    for group in generator("development examples").permutation(len(members))[:-1]:
        if chosen and len(chosen) + len(members[group]) / 2 > share * len(examples):
            break
        chosen.update(members[group])
    return (
        [example for index, example in enumerate(examples) if index not in chosen],
        [example for index, example in enumerate(examples) if index in chosen],
    )


def encode_all(
    task: FinetuneTask[Any, Any], examples: Sequence[Any], which: str, on_bad_input: OnBadInput, reporter: Reporter
) -> Examples:
    """The windows of examples; says how many there are and how many slide.

    Raises:
        CorpusError: one that the task cannot read, unless such are left out; or that were all.
    """
    skipped: list[BadInput] = []
    examples = list(task.readable(examples, BadExamples(on_bad_input, skipped)))
    Labelled(examples, skipped).tell(reporter, f"{which} ")
    if not examples:
        raise CorpusError(f"no {which} example is left. First {skipped[0].place}: {skipped[0].reason}.")
    encoded = []
    with reporter.track(f"reading {which} examples", total=len(examples), unit="examples") as track:
        for first in range(0, len(examples), BLOCK):
            encoded += task.encode(examples[first : first + BLOCK])
            track.update(len(encoded))
    tokens = sum(each.tokens for each in encoded)
    long = sum(task.slides(each) for each in encoded)
    said = f"{len(examples):,} {which} examples, {tokens:,} tokens"
    if long:
        said += f"; {long:,} are longer than {task.window_tokens} tokens and are read in overlapping windows"
    reporter.say(said)
    return Examples(examples, encoded)


def check_layers(config: FinetuneConfig, layers: int) -> None:
    """Compare a recipe with a model's number of layers.

    Raises:
        ConfigError: it speaks of more layers than there are.
    """
    for name in ("freeze_layers", "feature_layers"):
        if getattr(config, name) > layers:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(config, name)}: the model has {layers} layers")
