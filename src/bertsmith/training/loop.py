"""The only training loop: batches in, a trained model and its checkpoints out."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from bertsmith.data.random_bits import stream_key
from bertsmith.errors import DivergedError, StoppedError
from bertsmith.model.compiling import copy_of
from bertsmith.model.memory import Gaps, keep_freed_memory
from bertsmith.model.whole import whole_products
from bertsmith.progress import Reporter, Track
from bertsmith.tasks.base import FedStep, Feed, Task
from bertsmith.training.behind import Behind
from bertsmith.training.budget import learning_rate
from bertsmith.training.checkpoints import Checkpoint
from bertsmith.training.journal import Journal
from bertsmith.training.optimizer import (
    begin_step,
    build_optimizer,
    clip_gradients,
    load_optimizer_tensors,
    optimizer_tensors,
)
from bertsmith.training.prefetch import Ahead
from bertsmith.training.ranks import ALONE, Ranks
from bertsmith.training.recipe import Hooks, Progress, Recipe
from bertsmith.training.sharding import copy_weights
from bertsmith.training.stop import StopRequest

CHECKPOINT_EVERY_S = 120.0
# Every step is kept at first, then one in ten: a line is about 250 bytes.
LOG_ALL_STEPS, LOG_EVERY_STEPS = 500, 10

Model = TypeVar("Model", bound=nn.Module)
Batch = TypeVar("Batch")


class Loop(Generic[Model, Batch]):
    """A run of one model on one task, from a start or a checkpoint to the end of its budget.

    Args:
        task: the losses.
        model: trained in place, on the device where it lies.
        feed: the batches.
        recipe: budget, optimizer, precision.
        hooks: evaluation and checkpoints.
        journal: where the figures go.
        reporter: told of progress.
        ranks: the processes that take each step together.
    """

    def __init__(
        self,
        task: Task[Model, Batch],
        *,
        model: Model,
        feed: Feed[Batch],
        recipe: Recipe,
        hooks: Hooks,
        journal: Journal,
        reporter: Reporter,
        ranks: Ranks = ALONE,
    ) -> None:
        self.task, self.model, self.feed, self.recipe, self.hooks = task, model, feed, recipe, hooks
        self.journal, self.reporter, self.ranks = journal, reporter, ranks
        self._divided = recipe.shard and ranks.count > 1
        # What takes the steps; beside a divided one lies the whole, for evaluations and checkpoints.
        self._trained = copy_of(model) if self._divided else model
        self._losses = ranks.together(_Losses(task, self._trained), divided=recipe.shard)
        self.optimizer = build_optimizer(
            self._trained,
            weight_decay=recipe.weight_decay,
            layer_decay=recipe.layer_decay,
            epsilon=recipe.epsilon,
            muon=recipe.muon,
        )
        self.device = next(model.parameters()).device
        self.progress = Progress(feed.start())
        self._behind = Behind()
        self._begun_step, self._saved_step, self._saved_at = 0, 0, time.monotonic()
        self._unsaved_s = 0.0
        self._pace, self._loss = 0.0, math.nan  # tokens a second of late; the last step's

    def resume(self, checkpoint: Checkpoint) -> None:
        """Stand where a checkpoint was written; the model has its weights already."""
        self.progress = Progress(**checkpoint.state)
        if self._divided:
            copy_weights(self.model, self._trained)
        load_optimizer_tensors(self.optimizer, self._trained, checkpoint.optimizer)
        self.journal.rewind(checkpoint.step, evaluation_due=self.progress.evaluation_due)
        self._begun_step = self._saved_step = checkpoint.step

    def run(self) -> Progress:
        """Train to the end of the budget.

        Raises:
            StoppedError: after Ctrl-C or SIGTERM; the run was saved.
            DiskFullError: a checkpoint could not be written; the one before is whole.
            DivergedError: the loss became infinite or no number.
        """
        gaps = Gaps()
        if self.device.type == "cpu":
            keep_freed_memory()
        with (
            self._stopping() as stop,
            self._behind,
            Ahead[FedStep[Batch]]() as ahead,
            self._track() as track,
        ):
            started = time.monotonic() - self.progress.seconds
            if self.progress.evaluation_due:
                self._evaluate()
            ahead.ask(self._step_from(self.progress.feed, self.progress.step))
            stopping = self._look_up(started, stop)
            while not (self.finished or stopping):
                fed, before = ahead.take(), self._share()
                ahead.ask(self._step_from(fed.state, self.progress.step + 1))
                self._train(fed, before)
                if self.device.type == "cpu":
                    gaps.after_step()
                stopping = self._look_up(started, stop)
                self.progress.evaluation_due = self._evaluation_due(before)
                # A stop saves first; the run measures when it goes on.
                if self.progress.evaluation_due and (self.finished or not stopping):
                    self._evaluate()
                    stopping = self._look_up(started, stop)
                self._behind.look()
                if self._checkpoint_due() or stopping:
                    self._checkpoint()
                track.update(self._done(), self._note())
            self._checkpoint()
            self._make_whole()
            self._behind.wait()
            track.update(self._done(), self._note())
        if not self.finished:
            by = stop.asked or "another rank"
            raise StoppedError(f"stopped by {by}; {self._saved()}. The same command again goes on from there.")
        return self.progress

    @property
    def finished(self) -> bool:
        """Whether the budget is spent, or more of it would not help."""
        return self._share() >= 1 or self.progress.ended_early

    def _stopping(self) -> AbstractContextManager[StopRequest]:
        """Ctrl-C as a request where there is something to save, else as Python has it."""
        request = StopRequest()
        return request if self.hooks.save else nullcontext(request)

    def _look_up(self, started: float, stop: StopRequest) -> bool:
        """Set the clocks, which are the first rank's; whether a rank is asked to stop, and so all of them stop."""
        if self.ranks.deserted:
            stop.asked = stop.asked or "the end of torchrun"
        clocks = [time.monotonic() - started, time.monotonic() - self._saved_at]
        mine = clocks if self.ranks.first else [0.0, 0.0]
        self.progress.seconds, self._unsaved_s, asked = self.ranks.sums([*mine, float(stop.asked is not None)])
        return asked > 0

    def _share(self) -> float:
        """How much of the budget is spent."""
        now = self.progress
        return self.recipe.budget.share(steps=now.step, epochs=now.epochs, seconds=now.seconds)

    def _step_from(self, state: dict[str, Any], step: int) -> Callable[[], FedStep[Batch]]:
        budget, seconds = self.recipe.budget, self.progress.seconds
        return lambda: self.feed.step(state, lambda epochs: budget.share(steps=step, epochs=epochs, seconds=seconds))

    def _train(self, fed: FedStep[Batch], share: float) -> None:
        """One optimizer step."""
        started = time.monotonic()
        now, recipe = self.progress, self.recipe
        rate = learning_rate(recipe.peak_learning_rate, share, warmup_share=recipe.warmup_share)
        begin_step(self.optimizer, now.step, rate=rate)
        # Dropout draws from torch's own generators, of every device: seeded by the step, so that resuming needs none
        # of their state.
        own = [] if self.ranks.first else [self.ranks.number]
        torch.manual_seed(int(stream_key("dropout", recipe.seed, now.step, *own) >> 1))
        self._trained.train()
        losses, tokens = self._accumulate(fed)
        norm = clip_gradients(self._trained, recipe.clip_norm)
        if not math.isfinite(norm):
            found = f"step {now.step + 1:,}: the gradient is {norm}, so the run has diverged"
            if not self.hooks.save:
                raise DivergedError(f"{found}. Begin anew with a lower learning_rate.")
            raise DivergedError(
                f"{found}; {self._saved()}. "
                "Begin anew in another folder with a lower --learning-rate or a longer --warmup-share."
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        now.step, now.feed, now.epochs = now.step + 1, fed.state, fed.epochs_after
        now.tokens += tokens
        pace = tokens / (time.monotonic() - started)
        self._pace = 0.9 * self._pace + 0.1 * pace if self._pace else pace
        self._loss = sum(losses.values())
        if now.step <= LOG_ALL_STEPS or now.step % LOG_EVERY_STEPS == 0:
            parts = {f"{name}_loss": loss for name, loss in losses.items()}
            self._write("train", {"loss": self._loss, **parts, "learning_rate": rate, "gradient_norm": norm})

    def _accumulate(self, fed: FedStep[Batch]) -> tuple[dict[str, float], int]:
        """Gradients of the global batch, this rank's share part by part; the mean losses, and the tokens of all."""
        parts = self._weighed(fed)
        own: Counter[str] = Counter()
        for batch, weight in parts:
            own.update({name: weight * count for name, count in self.task.loss_counts(batch).items()})
        names = list(own)
        *counted, tokens = self.ranks.sums([*(own[name] for name in names), fed.tokens])
        counts = dict(zip(names, counted, strict=True))
        losses: Counter[str] = Counter()
        for index, (batch, weight) in enumerate(parts):
            alone = self.ranks.apart(self._losses, when=index + 1 < len(parts))
            with alone, whole_products(self.recipe.precision == "int16"):
                with self._mixed():
                    sums = self._losses(batch)
                means = {name: weight * loss / max(1, counts[name]) for name, loss in sums.items()}
                torch.autograd.backward(torch.stack(list(means.values())).sum() * self.ranks.count)
            losses.update({name: mean.item() for name, mean in means.items()})
        return dict(zip(names, self.ranks.sums([losses[name] for name in names]), strict=True)), int(tokens)

    def _weighed(self, fed: FedStep[Batch]) -> list[tuple[Batch, int]]:
        """This rank's parts of a step with what each counts: 1, or 0 where it is computed for company alone.

        Ranks that divide a model gather its layers together, part by part: all of them compute as many.
        """
        parts = [(batch, 0 if fed.idle else 1) for batch in fed.batches]
        most = self.ranks.most(len(parts)) if self._divided else len(parts)
        return parts + [(fed.batches[-1], 0)] * (most - len(parts))

    def _mixed(self) -> torch.autocast:
        """The products in the format of the run."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def _evaluation_due(self, before: float) -> bool:
        """Whether a step that began at a share of the budget has reached the next evaluation."""
        if self._share() >= 1:
            return True
        if every := self.recipe.evaluate_every_steps:
            return self.progress.step % every == 0
        count = self.recipe.evaluations  # a share may be a rounding error short of its place
        return int(self._share() * count + 1e-9) > int(before * count + 1e-9)

    def _make_whole(self) -> None:
        """Give the whole model the weights of the divided one, on all ranks."""
        if self._divided:
            copy_weights(self._trained, self.model)

    def _evaluate(self) -> None:
        self._make_whole()
        self.model.eval()
        with self._mixed():
            self.progress.metrics = self.ranks.once(lambda: self.hooks.evaluate(self._share()))
        self.progress.evaluation_due = False
        self._write("evaluation", self.progress.metrics)
        if self.hooks.headline:
            self._compare(self.progress.metrics.get(self.hooks.headline, -math.inf))

    def _compare(self, score: float) -> None:
        """Keep the weights if they are the best so far; end the run where none was better for long."""
        scores, patience = self.progress.scores, self.recipe.patience
        if self.hooks.keep_best and self.ranks.first and (not scores or score > max(scores)):
            self._behind.wait()  # a checkpoint keeps the best weights of its own time
            self.hooks.keep_best()
        scores.append(score)
        since_best = len(scores) - 1 - scores.index(max(scores))
        self.progress.ended_early = patience is not None and since_best >= patience

    def _checkpoint_due(self) -> bool:
        if every := self.recipe.checkpoint_every_steps:
            return self.progress.step % every == 0
        return self._unsaved_s > CHECKPOINT_EVERY_S

    def _checkpoint(self) -> None:
        """Begin to write one, of copies: the next steps change what they are copies of."""
        save, step = self.hooks.save, self.progress.step
        if save is None or step <= self._begun_step:
            return
        self._behind.wait()  # two copies at once would take twice the memory
        self._make_whole()
        self._begun_step, self._saved_at = step, time.monotonic()
        if not (self.ranks.first or self._divided):
            return
        kept = self.hooks.weights() if self.ranks.first else {}, optimizer_tensors(self.optimizer, self._trained)
        weights, moments = ({name: tensor.to("cpu", copy=True) for name, tensor in part.items()} for part in kept)
        checkpoint = Checkpoint(step, weights, moments, asdict(self.progress))

        def write() -> None:
            save(checkpoint)
            self._saved_step = step

        self._behind.start(write)

    def _write(self, kind: str, figures: dict[str, float]) -> None:
        if not self.ranks.first:
            return
        now = self.progress
        stand = {"step": now.step, "epochs": now.epochs, "tokens": now.tokens, "seconds": now.seconds}
        self.journal.write({"kind": kind, **stand, **figures, "tokens_per_s": self._pace})

    def _track(self) -> AbstractContextManager[Track]:
        amount, unit = self.recipe.budget.amount, self.recipe.budget.unit
        total, shown = (amount * 60, "s") if unit == "minutes" else (amount, unit)
        return self.reporter.track("training", total=total, unit=shown)

    def _done(self) -> float:
        now = self.progress
        return {"steps": float(now.step), "epochs": now.epochs, "minutes": now.seconds}[self.recipe.budget.unit]

    def _note(self) -> str:
        return f"step {self.progress.step:,}  loss {self._loss:.3f}  {self._pace:,.0f} tokens/s  {self._saved()}"

    def _saved(self) -> str:
        if self.hooks.save is None:
            return ""
        return f"saved at step {self._saved_step:,}" if self._saved_step else "nothing saved yet"


class _Losses(nn.Module):
    """A task's losses as a module: what gives every parameter its gradient, so that ranks can add these up."""

    def __init__(self, task: Task[Any, Any], model: nn.Module) -> None:
        super().__init__()
        self.task, self.model = task, model

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """As `Task.loss_sums`."""
        return self.task.loss_sums(self.model, batch)
