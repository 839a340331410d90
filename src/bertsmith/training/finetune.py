"""Fine-tuning from one end to the other: a model folder and labelled examples in, a run folder out.

The same call again goes on where it stopped.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.files import link_or_copy
from bertsmith.finetune_config import FinetuneConfig, FinetuneName, LabelledConfig
from bertsmith.model.folder import write_model_folder
from bertsmith.progress import Reporter, Silent
from bertsmith.training.course import Course, read_course
from bertsmith.training.finetune_card import write_finetune_card
from bertsmith.training.finetune_report import write_finetune_report
from bertsmith.training.finetuning_run import FinetuningRun, Trained
from bertsmith.training.journal import Journal, Record
from bertsmith.training.ranks import ALONE, Ranks, joined_ranks
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


def finetune(  # noqa: PLR0913 - what is given once a run, by name
    name: FinetuneName,
    train: Any,
    out: Path,
    *,
    model: Path,
    dev: Any = None,
    config: FinetuneConfig = FinetuneConfig(),
    reading: LabelledConfig = LabelledConfig(),
    reporter: Reporter = Silent(),
    headline: str | None = None,
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
        headline: the figure of the task by which weights, seeds and trials are chosen; None for the task's own.

    Raises:
        ConfigError: settings that contradict each other, or the run that the folder holds; or `out` is `model`.
        CorpusError: broken examples, or too few.
        ModelFolderError, TokenizerError: `model` is no model folder, or has no tokenizer.
        StoppedError: the user stopped the run; it was saved.
    """
    if out.resolve() == model.resolve():
        raise ConfigError(f"{out}: the model to begin with would be overwritten. Choose another folder for --out.")
    run = RunFolder(out)
    settings = {**config.model_dump(), **reading.model_dump(), "task": name, "model": str(model)}
    settings |= {"train": _named(train), "dev": _named(dev)}
    with joined_ranks(config.device, config.batch_size, shard=config.shard) as ranks:
        told = reporter if ranks.first else Silent()
        ranks.once(lambda: run.check_same(settings))
        # Before the folder is made: a mistaken name leaves none behind.
        course = read_course(name, model, train, dev, config=config, reading=reading, reporter=told, headline=headline)
        with run.locked(wait_s=ranks.patience_s) if ranks.first else nullcontext():
            ranks.once(lambda: run.check_same(settings))
            course = replace(course, precision=ranks.once(lambda: course.precision))
            finished = _finished(run, course)
            if finished:
                told.say(f"{out}: this fine-tuning is finished already")
                return FinetuneResult(out, finished)
            ranks.once(lambda: run.keep(settings))
            return FinetuneResult(out, _train_all(course, config, run, told, ranks))


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


def _train_all(course: Course, config: FinetuneConfig, run: RunFolder, reporter: Reporter, ranks: Ranks) -> Summary:
    """One run, or those of a search and of several seeds, of which the best becomes the folder's model."""
    trials: list[Trial] = []
    if config.search:
        trials = search(
            config,
            lambda tried, name: train_into(course, tried, run.within(f"search/{name}"), reporter, ranks),
            reporter=reporter,
        )
        best_trial = max(trials, key=lambda trial: trial.score)
        config = best_trial.config
        if config.seeds == 1:
            return _adopt(run, [best_trial.summary], trials, ranks)
    if config.seeds == 1:
        return train_into(course, config, run, reporter, ranks)
    summaries = []
    for seed in range(config.seed, config.seed + config.seeds):
        reporter.say(f"seed {seed}")
        seeded = config.but(seed=seed, seeds=1)
        summaries.append(train_into(course, seeded, run.within(f"seeds/{seed}"), reporter, ranks))
    return _adopt(run, summaries, trials, ranks)


def _adopt(run: RunFolder, summaries: Sequence[Summary], trials: Sequence[Trial], ranks: Ranks) -> Summary:
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
    ranks.once(lambda: _take_over(run, run.within(folder), summary))
    return summary


def _take_over(run: RunFolder, winner: RunFolder, summary: Summary) -> None:
    """Give the folder the model of one of its runs."""
    for file in winner.out.iterdir():
        if file.is_file() and not file.name.startswith("."):
            link_or_copy(file, run.out / file.name)
    finish(run, summary, Journal(winner.journal).read())


def train_into(course: Course, config: FinetuneConfig, run: RunFolder, reporter: Reporter, ranks: Ranks) -> Summary:
    """One run with its own folder, or what it came to if it is finished there already."""
    finished = _finished(run, course)
    if finished:
        return finished
    run.training.mkdir(parents=True, exist_ok=True)
    trained = train_once(course, config, folder=run, reporter=reporter, ranks=ranks)
    ranks.once(lambda: _keep(course, config, run, trained))
    return read_summary(run.result)


def _keep(course: Course, config: FinetuneConfig, run: RunFolder, trained: Trained) -> None:
    """Make the run folder a model folder, with its report, card and result."""
    course.tokenizer.model_max_length = course.task.window_tokens
    course.tokenizer.save(run.out)
    trained.model.head = trained.head
    write_model_folder(trained.model, run.out)
    assert course.dev
    summary = Summary(
        task=course.task.name,
        source=str(course.source),
        headline=course.headline,
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
        architecture=trained.model.config.architecture,
    )
    finish(run, summary, trained.records)


def finish(run: RunFolder, summary: Summary, records: Sequence[Record]) -> None:
    """Write report, card and result; what only an unfinished run needs goes."""
    curves = write_finetune_report(run.report, summary, records, title=run.name)
    write_finetune_card(run.out, summary, records, name=run.name, curves=curves)
    write_summary(run.result, summary)
    (run.training / "best.safetensors").unlink(missing_ok=True)
    shutil.rmtree(run.checkpoints, ignore_errors=True)


def train_once(
    course: Course, config: FinetuneConfig, *, folder: RunFolder | None, reporter: Reporter, ranks: Ranks = ALONE
) -> Trained:
    """One run with one seed; without a folder it keeps everything in memory."""
    run = FinetuningRun(course, config=config, folder=folder, reporter=reporter, ranks=ranks)
    if "pooler" in run.drawn:
        reporter.say(f"{course.source} has no pooler: one is drawn anew")
    return run.run()
