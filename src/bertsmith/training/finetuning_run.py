"""One fine-tuning run: a model, its examples, a seed; with a folder it can be stopped and goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.config import HeadConfig, Precision
from bertsmith.data.example_feed import ExampleFeed
from bertsmith.data.windows import WindowBatch
from bertsmith.errors import CheckpointError
from bertsmith.files import atomic_path, link_or_copy
from bertsmith.finetune_config import FinetuneConfig
from bertsmith.model.bert import Bert
from bertsmith.model.device import choose_device
from bertsmith.model.folder import read_for_task
from bertsmith.model.formats import load_hf_tensors, to_hf_tensors
from bertsmith.progress import Reporter
from bertsmith.training.budget import Budget
from bertsmith.training.checkpoints import Checkpoint, load_for_all, save_checkpoint
from bertsmith.training.course import Course
from bertsmith.training.journal import Journal, Record
from bertsmith.training.loop import Loop
from bertsmith.training.ranks import ALONE, Ranks
from bertsmith.training.recipe import Hooks, Recipe, precision_for_all
from bertsmith.training.run_folder import RunFolder

DEFAULT_EPOCHS = 3.0
EPSILON = 1e-8  # of AdamW: with BERT's 1e-6 the first hundred steps learn less


@dataclass(frozen=True)
class Trained:
    """What a run came to.

    Attributes:
        model: with the chosen weights, in evaluation mode.
        head: as its folder keeps it.
        metrics: of the chosen weights on the development examples; empty without any.
        answers: to the development examples.
        records: of every step and evaluation.
        precision: of the products.
        steps, tokens, seconds: what it took.
    """

    model: Bert
    head: HeadConfig
    metrics: dict[str, float]
    answers: list[Any]
    records: list[Record]
    precision: str
    steps: int
    tokens: int
    seconds: float


class FinetuningRun:
    """A run from its start or its last checkpoint to its end.

    Args:
        course: what is learned, from what, beginning with what.
        config: the recipe.
        folder: for checkpoints; None keeps everything in memory.
        reporter: told of progress.
        ranks: the processes that train together; the first of them evaluates, and writes to the folder.
    """

    def __init__(
        self,
        course: Course,
        *,
        config: FinetuneConfig,
        folder: RunFolder | None,
        reporter: Reporter,
        ranks: Ranks = ALONE,
    ) -> None:
        self.course, self.task, self.train, self.dev = course, course.task.copy(), course.train, course.dev
        self.data, self.headline = course.data, course.headline
        self.config, self.folder, self.reporter, self.ranks = config, folder, reporter, ranks
        generator = torch.Generator().manual_seed(config.seed)
        model, self.drawn = read_for_task(course.source, course.task.head, generator=generator)
        self.model = model.to(choose_device(config.device))
        self.precision = self._for_all(course.precision)
        divided = config.shard and ranks.count > 1
        prepare_model(self.model, config, divided=divided)
        self.task.at_once = divided  # its layers are gathered at each call, by all ranks together
        self.journal = Journal(folder.journal if folder and ranks.first else None)
        self._best: dict[str, Tensor] = {}
        self._answers: list[Any] = []

    def run(self) -> Trained:
        """Train, or go on; then take the chosen weights and answer the development examples with them.

        Raises:
            CheckpointError: the checkpoints are of other examples, or all damaged.
            StoppedError: the user stopped the run; it was saved.
        """
        warn = self.reporter.warn
        checkpoint = load_for_all(self.ranks, self.folder.checkpoints, warn=warn) if self.folder else None
        if checkpoint:
            self._restore(checkpoint)
        if self.config.feature_layers and _passes(self.config, len(self.train.examples)) > 1:
            self.train, self.dev = self.course.read_once(self.model.eval(), self.reporter)
        loop = self._loop()
        if checkpoint:
            loop.resume(checkpoint)
            self.reporter.say(f"going on after step {checkpoint.step:,}")
        else:
            loop.progress.run = {"precision": self.precision, "data": self.data}
            self.journal.rewind(0)
        del checkpoint  # whose files are mapped, and are removed while the run goes on
        loop.run()
        progress = loop.progress
        if self._keeps_best and self.ranks.first:
            load_hf_tensors(self.model, self._read_best())
        self.model.eval()
        head = self.task.settle(self.model)
        metrics: dict[str, float] = {}
        if self.dev and self.ranks.first:
            head, metrics = self._final(head)
        return Trained(
            self.model,
            head,
            metrics,
            self._answers,
            self.journal.read(),
            progress.run["precision"],
            progress.step,
            progress.tokens,
            progress.seconds,
        )

    def _for_all(self, precision: Precision) -> Precision:
        return precision_for_all(precision, self.model.device, self.ranks, self.reporter.warn)

    @property
    def _keeps_best(self) -> bool:
        return self.dev is not None and self.config.keep == "best"

    def _loop(self) -> Loop[Bert, WindowBatch]:
        config = self.config
        budget = budget_of(config)
        evaluations = max(1, round(budget.amount)) if budget.unit == "epochs" else 3
        recipe = Recipe.of(
            config,
            budget,
            self.precision,
            evaluations=evaluations,
            layer_decay=config.layer_decay,
            epsilon=EPSILON,
            patience=config.early_stopping,
        )
        hooks = Hooks(
            evaluate=self._evaluate,
            weights=lambda: to_hf_tensors(self.model),
            save=self._save if self.folder else None,
            headline=self.headline if self.dev else None,
            keep_best=self._keep_best if self._keeps_best else None,
        )
        return Loop(
            self.task,
            model=self.model,
            feed=ExampleFeed(
                self.train.encoded,
                batch_size=config.batch_size,
                seed=config.seed,
                room=self.task.window_tokens,
                rank=self.ranks.number,
                ranks=self.ranks.count,
            ),
            recipe=recipe,
            hooks=hooks,
            journal=self.journal,
            reporter=self.reporter,
            ranks=self.ranks,
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Take the weights of a checkpoint, the best ones so far, and the precision, which is chosen once a run."""
        if checkpoint.state["run"]["data"] != self.data:
            assert self.folder
            raise CheckpointError(
                f"{self.folder.out}: its checkpoints were trained on other examples than those given now. "
                "Give the files that the run was begun with, or choose another --out."
            )
        self.precision = self._for_all(checkpoint.state["run"]["precision"])
        load_hf_tensors(self.model, checkpoint.model)
        if checkpoint.best and self.ranks.first:  # what was the best after it belongs to a future that is lost
            link_or_copy(checkpoint.best, self._best_file)

    def _evaluate(self, share: float) -> dict[str, float]:
        if self.dev is None:
            return {}
        metrics = self._measured()
        figures = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.reporter.say(f"{min(share, 1):4.0%}  development examples: {figures}")
        return metrics

    def _measured(self) -> dict[str, float]:
        assert self.dev
        with self.reporter.track("evaluating", total=len(self.dev.examples), unit="examples") as track:
            self._answers = self.task.answer_encoded(self.model, self.dev.examples, self.dev.encoded, track.update)
        return self.task.score(self.dev.examples, self._answers)

    def _final(self, head: HeadConfig) -> tuple[HeadConfig, dict[str, float]]:
        """The figures of the model as it is kept, in float32 as it will answer."""
        assert self.dev
        self.task.head = head
        metrics = self._measured()
        tuned = self.task.tuned(self.dev.examples, self._answers)
        if tuned != head:
            self.task.head = tuned
            metrics = self._measured()
        return tuned, metrics

    def _keep_best(self) -> None:
        tensors = {name: tensor.to("cpu", copy=True) for name, tensor in to_hf_tensors(self.model).items()}
        if self.folder:
            with atomic_path(self._best_file) as beside:
                save_file(tensors, beside, {"format": "pt"})
        else:
            self._best = tensors

    def _read_best(self) -> dict[str, Tensor]:
        return load_file(self._best_file) if self.folder else self._best

    @property
    def _best_file(self) -> Path:
        assert self.folder
        return self.folder.training / "best.safetensors"

    def _save(self, checkpoint: Checkpoint) -> None:
        assert self.folder
        if self._keeps_best and checkpoint.state["scores"]:
            checkpoint = replace(checkpoint, best=self._best_file)
        keep, warn = self.config.keep_checkpoints, self.reporter.warn
        save_checkpoint(self.folder.checkpoints, checkpoint, keep=keep, warn=warn, ranks=self.ranks)


def budget_of(config: FinetuneConfig) -> Budget:
    """The budget of a fine-tuning run: as given, or three passes."""
    if config.steps:
        return Budget(config.steps, "steps")
    if config.minutes:
        return Budget(config.minutes, "minutes")
    return Budget(config.epochs or DEFAULT_EPOCHS, "epochs")


def _passes(config: FinetuneConfig, examples: int) -> float:
    """How often a run reads its examples, at least."""
    budget = budget_of(config)
    by_unit = {"epochs": budget.amount, "steps": budget.amount * config.batch_size / examples, "minutes": math.inf}
    return by_unit[budget.unit]


def prepare_model(model: Bert, config: FinetuneConfig, *, divided: bool = False) -> None:
    """Set dropout, freeze what is not to be trained, and on a processor let words that no batch has cost nothing; not
    where ranks divide the model, whose gradients are dense."""
    model.encoder.embeddings.word.sparse = model.device.type == "cpu" and not divided
    if config.dropout is not None:
        model.set_dropout(config.dropout)
    if config.feature_layers:
        model.freeze_encoder()
    elif config.freeze_layers:
        encoder = model.encoder
        for frozen in (encoder.embeddings, *list(encoder.layers)[: config.freeze_layers]):
            frozen.requires_grad_(False)
