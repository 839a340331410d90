"""Fine-tuning from one end to the other: a model folder and labelled examples in, a run folder out.

The same call again goes on where it stopped.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertsmith.config import FinetuneConfig, FinetuneName, LabelledConfig
from bertsmith.data.random_bits import generator
from bertsmith.errors import CheckpointError, ConfigError, CorpusError
from bertsmith.files import link_or_copy
from bertsmith.model.folder import read_model_config, write_model_folder
from bertsmith.model.precision import choose_precision
from bertsmith.progress import Reporter, Silent
from bertsmith.tasks.finetuning import BLOCK, FinetuneTask
from bertsmith.tasks.registry import task_class
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.finetune_card import write_finetune_card
from bertsmith.training.finetune_report import write_finetune_report
from bertsmith.training.finetuning_run import Course, Examples, FinetuningRun, Trained, check_layers
from bertsmith.training.journal import Journal, Record
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.search import Trial, search
from bertsmith.training.summary import Summary, read_summary, write_summary


@dataclass(frozen=True)
class FinetuneResult:
    """A finished fine-tuning: its run folder, and what it came to."""

    out: Path
    summary: Summary

    @property
    def metrics(self) -> dict[str, float]:
        """Figures of the kept model on the development examples."""
        return self.summary.metrics


def read_course(
    name: FinetuneName,
    source: Path,
    train: Any,
    dev: Any,
    *,
    config: FinetuneConfig,
    reading: LabelledConfig,
    reporter: Reporter,
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

    Raises:
        CorpusError: broken examples, or too few.
        ModelFolderError, TokenizerError: the folder is none, or has no tokenizer.
    """
    kind = task_class(name)
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
    return Course(
        task,
        source,
        tokenizer,
        encode_all(task, learned, "training", reporter),
        encode_all(task, measured, "development", reporter) if measured else None,
        choose_precision(config.precision),
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


def encode_all(task: FinetuneTask[Any, Any], examples: Sequence[Any], which: str, reporter: Reporter) -> Examples:
    """The windows of examples; says how many there are and how many slide."""
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


def finetune(
    name: FinetuneName,
    train: Any,
    out: Path,
    *,
    model: Path,
    dev: Any = None,
    config: FinetuneConfig = FinetuneConfig(),
    reading: LabelledConfig = LabelledConfig(),
    reporter: Reporter = Silent(),
) -> FinetuneResult:
    """Fine-tune a model on labelled examples; the same call again goes on where it stopped.

    Args:
        name: of the task.
        train: labelled examples: files or objects.
        out: the run folder, a Hugging Face model folder when it is done.
        model: the folder to begin with.
        dev: examples to evaluate on; None to keep a share of the training examples for that.
        config: the recipe.
        reading: how examples are read.
        reporter: told of progress.

    Raises:
        ConfigError: settings that contradict each other, or the run that the folder holds.
        CorpusError: broken examples, or too few.
        ModelFolderError, TokenizerError: `model` is no model folder, or has no tokenizer.
        StoppedError: the user stopped the run; it was saved.
    """
    run = RunFolder(out)
    settings = {**config.model_dump(), **reading.model_dump(), "task": name, "model": str(model)}
    settings |= {"train": _named(train), "dev": _named(dev)}
    with run.locked():
        run.check_same(settings)
        course = read_course(name, model, train, dev, config=config, reading=reading, reporter=reporter)
        finished = _finished(run, course)
        if finished:
            reporter.say(f"{out}: this fine-tuning is finished already")
            return FinetuneResult(out, finished)
        run.keep(settings)
        return FinetuneResult(out, _train_all(course, config, run, reporter))


def _finished(run: RunFolder, course: Course) -> Summary | None:
    """What a run came to; None if it is not finished.

    Raises:
        CheckpointError: it was trained on other examples.
    """
    if not run.result.exists():
        return None
    summary = read_summary(run.result)
    if summary.data != course.data:
        raise CheckpointError(
            f"{run.out}: what is finished here was trained on other examples than those given now, though their names "
            "are the same. Choose another --out."
        )
    return summary


def _named(data: Any) -> str | list[str] | None:
    """Data as settings keep it: the words of paths, or what kind of object it was."""
    if data is None:
        return None
    several = [data] if isinstance(data, str | os.PathLike) else data
    if isinstance(several, list | tuple) and all(isinstance(each, str | os.PathLike) for each in several):
        return [os.fspath(each) for each in several]
    return type(data).__name__


def _train_all(course: Course, config: FinetuneConfig, run: RunFolder, reporter: Reporter) -> Summary:
    """One run, or those of a search and of several seeds, of which the best becomes the folder's model."""
    trials: list[Trial] = []
    if config.search:
        trials = search(
            config,
            lambda tried, name: train_into(course, tried, run.within(f"search/{name}"), reporter),
            reporter=reporter,
        )
        best_trial = max(trials, key=lambda trial: trial.score)
        config = best_trial.config
        if config.seeds == 1:
            return _adopt(run, [best_trial.summary], trials)
    if config.seeds == 1:
        return train_into(course, config, run, reporter)
    summaries = []
    for seed in range(config.seed, config.seed + config.seeds):
        reporter.say(f"seed {seed}")
        summaries.append(train_into(course, config.but(seed=seed, seeds=1), run.within(f"seeds/{seed}"), reporter))
    return _adopt(run, summaries, trials)


def _adopt(run: RunFolder, summaries: Sequence[Summary], trials: Sequence[Trial]) -> Summary:
    """Make the best of several runs the folder's model; the summary of them all."""
    best = max(summaries, key=lambda summary: summary.metrics.get(summary.headline, -math.inf))
    done = {id(each): each for each in (*summaries, *(trial.summary for trial in trials))}.values()
    summary = replace(
        best,
        seeds={seed: metrics for each in summaries for seed, metrics in each.seeds.items()},
        steps=sum(each.steps for each in done),
        tokens=sum(each.tokens for each in done),
        seconds=sum(each.seconds for each in done),
        trials=tuple(trial.shown() for trial in trials),
    )
    folder = (
        f"seeds/{best.recipe['seed']}"
        if len(summaries) > 1
        else next(f"search/{trial.name}" for trial in trials if trial.summary is best)
    )
    winner = run.within(folder)
    for file in winner.out.iterdir():
        if file.is_file() and not file.name.startswith("."):
            link_or_copy(file, run.out / file.name)
    finish(run, summary, Journal(winner.journal).read())
    return summary


def train_into(course: Course, config: FinetuneConfig, run: RunFolder, reporter: Reporter) -> Summary:
    """One run with its own folder, or what it came to if it is finished there already."""
    finished = _finished(run, course)
    if finished:
        return finished
    run.training.mkdir(parents=True, exist_ok=True)
    trained = train_once(course, config, folder=run, reporter=reporter)
    course.tokenizer.model_max_length = course.task.window_tokens
    course.tokenizer.save(run.out)
    trained.model.head = trained.head
    write_model_folder(trained.model, run.out)
    assert course.dev
    summary = Summary(
        task=course.task.name,
        source=str(course.source),
        headline=course.task.headline,
        metrics=trained.metrics,
        data=course.data,
        counts={
            "train": len(course.train.examples),
            "dev": len(course.dev.examples),
            "train_tokens": sum(each.tokens for each in course.train.encoded),
            "windowed": sum(course.task.slides(each) for each in course.train.encoded),
        },
        recipe={**config.model_dump(exclude={"seeds", "search"}), "precision": trained.precision},
        findings=course.task.findings(course.dev.examples, trained.answers),
        steps=trained.steps,
        tokens=trained.tokens,
        seconds=trained.seconds,
        seeds={config.seed: trained.metrics},
    )
    finish(run, summary, trained.records)
    return summary


def finish(run: RunFolder, summary: Summary, records: Sequence[Record]) -> None:
    """Write report, card and result; what only an unfinished run needs goes."""
    write_finetune_report(run.report, summary, records, title=run.name)
    write_finetune_card(run.out, summary, records, name=run.name)
    write_summary(run.result, summary)
    (run.training / "best.safetensors").unlink(missing_ok=True)
    shutil.rmtree(run.checkpoints, ignore_errors=True)


def train_once(course: Course, config: FinetuneConfig, *, folder: RunFolder | None, reporter: Reporter) -> Trained:
    """One run with one seed; without a folder it keeps everything in memory."""
    run = FinetuningRun(course, config=config, folder=folder, reporter=reporter)
    if "pooler" in run.drawn:
        reporter.say(f"{course.source} has no pooler: one is drawn anew")
    return run.run()
