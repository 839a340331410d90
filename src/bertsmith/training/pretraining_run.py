"""One pretraining run: its parts put together, its evaluations, its checkpoints, and what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertsmith.config import ARCHITECTURES, Architecture, Precision, PretrainConfig
from bertsmith.data.batch import PretrainingBatch
from bertsmith.data.feed import PretrainingFeed
from bertsmith.data.masking import vocabulary_of
from bertsmith.data.shards import PreparedCorpus
from bertsmith.errors import CheckpointError, PreparedCorpusError, StoppedError
from bertsmith.files import atomic_path, link_or_copy
from bertsmith.model.bert import Bert
from bertsmith.model.compiling import compile_layers
from bertsmith.model.device import choose_device
from bertsmith.model.folder import write_model_config, write_model_folder
from bertsmith.model.formats import load_hf_tensors, to_hf_tensors
from bertsmith.model.precision import choose_precision
from bertsmith.progress import Reporter
from bertsmith.tasks.pretraining import Pretraining, frequency_loss
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.budget import Budget
from bertsmith.training.card import write_card
from bertsmith.training.checkpoints import Checkpoint, load_for_all, save_checkpoint
from bertsmith.training.journal import Journal
from bertsmith.training.loop import Loop
from bertsmith.training.new_model import new_model
from bertsmith.training.optimizer import MuonOptions
from bertsmith.training.ranks import ALONE, Ranks
from bertsmith.training.recipe import Hooks, Progress, Recipe, precision_for_all
from bertsmith.training.report import write_report
from bertsmith.training.rows import Rows
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.samples import Samples
from bertsmith.training.start import Start

DEFAULT_MINUTES = 30.0
# A held-out loss not this far below the word-frequency loss: hardly more than frequencies was learned.
PLATEAU_NATS = 0.25
PLATEAU_SHARES = (0.5, 1.0)
# A finished BERT that is not this far below it would have been better off with rotary positions.
SLOW_NATS = 1.0
# Muon's learning rate as a multiple of AdamW's, which the embeddings have; norms before the parts bear a higher one.
MUON_RATE_SHARES: Mapping[Architecture, float] = {"bert": 3.0, "modernbert": 10.0}


@dataclass(frozen=True)
class PretrainResult:
    """A finished run.

    Attributes:
        out: the run folder.
        metrics: of the last evaluation, on held-out documents.
        steps, tokens, seconds: what it took.
    """

    out: Path
    metrics: dict[str, float]
    steps: int
    tokens: int
    seconds: float


class PretrainingRun:
    """A run from its start or its last checkpoint to its end.

    Args:
        run: the run folder.
        corpus: what is read.
        config: model, objective, budget, optimizer.
        reporter: told of progress.
        ranks: the processes that train together; the first of them evaluates, and writes to the folder.
    """

    def __init__(
        self,
        run: RunFolder,
        corpus: PreparedCorpus,
        config: PretrainConfig,
        reporter: Reporter,
        ranks: Ranks = ALONE,
    ) -> None:
        self.folder, self.corpus, self.config, self.reporter, self.ranks = run, corpus, config, reporter, ranks
        self.tokenizer = WordPiece.load(corpus.tokenizer_folder)
        if self.tokenizer.fingerprint != corpus.manifest["tokenizer"]:
            raise PreparedCorpusError(
                f"{corpus.place}/tokenizer: not the tokenizer that made the ids of this corpus. Restore it, or "
                "prepare the corpus again into another folder."
            )
        self.task = Pretraining(config.objective)
        self.rows = Rows(corpus, config, vocabulary_of(self.tokenizer), next_sentence=self.task.next_sentence)
        self.bert = new_model(
            config, self.task, vocab_size=self.tokenizer.vocab_size, pad_token_id=self.tokenizer.pad_id
        ).to(choose_device(config.device))
        if config.compile:
            compile_layers(self.bert)
        self.judged_by = self.rows.of_evaluation(reporter.warn)
        labels = np.concatenate([batch.masked_labels for batch in self.judged_by])
        self.frequency_loss = frequency_loss(corpus.token_counts(), labels)
        self.journal = Journal(run.journal if ranks.first else None)
        self.samples = Samples(run.samples if ranks.first else None, self.judged_by, self.tokenizer)
        self._plateau_warnings = 0
        self.tokenizer.model_max_length = self.bert.config.max_position_embeddings
        self.tokenizer.segments = config.architecture == "bert"

    def run(self) -> PretrainResult:
        """Train, or go on; then write the run folder's model, report and card.

        Raises:
            CheckpointError: the folder's checkpoints are of another corpus, or all damaged.
            StoppedError: the user stopped the run; it was saved.
        """
        checkpoint = load_for_all(self.ranks, self.folder.checkpoints, warn=self.reporter.warn)
        # Chosen once a run: going on in another format would not be the same run.
        begun = checkpoint.state["run"] if checkpoint else {}
        device = self.bert.device
        chosen = begun.get("precision") or self.ranks.once(lambda: choose_precision(self.config.precision, device))
        precision = precision_for_all(chosen, device, self.ranks, self.reporter.warn)
        counting_s = 0.0 if checkpoint else self._begin()
        loop = self._loop(recipe_of(self.config, self._budget(), precision))
        if checkpoint:
            self._restore(loop, checkpoint)
        else:
            loop.progress.seconds = counting_s
            loop.progress.run = {"precision": precision, "corpus": self.corpus.fingerprint}
            self.journal.rewind(0)
            self.samples.journal.rewind(0)
        del checkpoint  # whose files are mapped, and are removed while the run goes on
        self._introduce(loop)
        done = self.ranks.once(lambda: loop.finished and (self.folder.out / "README.md").exists())
        if not done:
            try:
                loop.run()
            except StoppedError:
                self._report()
                raise
            curves = self._report()
            self.ranks.once(lambda: self._finish(loop.progress, curves))
        progress = loop.progress
        return PretrainResult(self.folder.out, progress.metrics, progress.step, progress.tokens, progress.seconds)

    def _begin(self) -> float:
        """Give the model what counting the text tells, where the run begins so; the seconds that it took."""
        if self.config.initial_weights == "random":
            return 0.0
        seconds = self.ranks.once(self._count)
        Start.read(self.folder.start).give(self.bert)
        return seconds

    def _count(self) -> float:
        begun = time.monotonic()
        width = self.bert.config.hidden_size
        start = Start.counted(self.corpus, width, seed=self.config.seed, reporter=self.reporter)
        start.write(self.folder.start)
        return time.monotonic() - begun

    def _suggest(self, metrics: dict[str, float]) -> None:
        """Say what may serve better where little more than word frequencies was learned."""
        under = self.frequency_loss - metrics["mlm_loss"]
        if self.config.architecture == "bert" and under < SLOW_NATS:
            other = "" if self.config.recipe == "fast" else "--recipe fast, "
            self.reporter.say(
                f"the loss ended {abs(under):.2f} nats {'under' if under > 0 else 'over'} that of guessing by word "
                f"frequency, where BERT may stay long on a small budget. What may leave it: a longer budget, {other}or "
                "--architecture modernbert (rotary positions, masked LM alone) into another --out."
            )

    def _report(self) -> str:
        """Write the report; the curves in it."""
        if not self.ranks.first:
            return ""
        return write_report(self.folder.report, self.journal.read(), title=self.folder.name)

    def _budget(self) -> Budget:
        config = self.config
        if config.steps:
            return Budget(config.steps, "steps")
        if config.epochs:
            return Budget(config.epochs, "epochs")
        return Budget(config.minutes or DEFAULT_MINUTES, "minutes")

    def _loop(self, recipe: Recipe) -> Loop[Bert, PretrainingBatch]:
        config = self.config
        loop: Loop[Bert, PretrainingBatch] = Loop(
            self.task,
            model=self.bert,
            feed=PretrainingFeed(
                self.rows.phases(),
                batch_size=config.batch_size,
                micro_batch_size=config.micro_batch_size,
                rank=self.ranks.number,
                ranks=self.ranks.count,
            ),
            recipe=recipe,
            hooks=Hooks(
                lambda share: self._evaluate(share, loop.progress.step),
                lambda: to_hf_tensors(self.bert),
                self._save,
            ),
            journal=self.journal,
            reporter=self.reporter,
            ranks=self.ranks,
        )
        return loop

    def _restore(self, loop: Loop[Bert, PretrainingBatch], checkpoint: Checkpoint) -> None:
        if checkpoint.state["run"]["corpus"] != self.corpus.fingerprint:
            raise CheckpointError(
                f"{self.folder.out}: its checkpoints were trained on another corpus than {self.corpus.place}. "
                "Give the corpus that the run was begun with, or choose another --out."
            )
        load_hf_tensors(self.bert, checkpoint.model)
        loop.resume(checkpoint)
        self.samples.journal.rewind(checkpoint.step, evaluation_due=loop.progress.evaluation_due)

    def _introduce(self, loop: Loop[Bert, PretrainingBatch]) -> None:
        """Say what is about to be trained."""
        config, step = self.config, loop.progress.step
        parameters = sum(parameter.numel() for parameter in self.bert.parameters())
        whole = loop.recipe.budget
        chosen = "" if config.steps or config.epochs or config.minutes else " (no --steps, --epochs or --minutes given)"
        kind = ARCHITECTURES[config.architecture]
        self.reporter.say(
            f"{kind} {config.size}, {parameters / 1e6:.1f} M parameters, {config.objective}, "
            f"{loop.recipe.precision}{'' if self.bert.device.type == 'cpu' else ' on CUDA'}, {whole}{chosen}; "
            f"always guessing by word frequency has a loss of {self.frequency_loss:.2f} nats"
        )
        if loop.finished:
            self.reporter.say(f"the run is finished already, at step {step:,}")
        elif step:
            self.reporter.say(f"going on after step {step:,}")
        self._doubt_sentence_order()

    def _doubt_sentence_order(self) -> None:
        """Say where the corpus gives next-sentence prediction nothing to learn from."""
        counts = self.corpus.manifest["counts"]
        if self.task.next_sentence and counts["sentences"] < 2 * counts["documents"]:
            self.reporter.warn(
                "most documents are one sentence, which has no next one: --objective mlm fits such text better, "
                "or another --document-per"
            )
        elif self.task.next_sentence and counts["documents"] < 10:
            self.reporter.warn(
                f"the corpus has {counts['documents']} document(s) only, so random sentences mostly come from the same "
                "one. Put blank lines between documents, or say --document-per line or file"
            )

    def _evaluate(self, share: float, step: int) -> dict[str, float]:
        metrics = self.task.evaluate(self.bert, self.judged_by)
        self.samples.write(step, self.task, self.bert)
        metrics["frequency_loss"] = self.frequency_loss
        sentence_order = ""
        if "nsp_accuracy" in metrics:
            sentence_order = (
                f", next sentence {metrics['nsp_accuracy']:.0%} (always the same answer: {metrics['nsp_baseline']:.0%})"
            )
        gap = self.frequency_loss - metrics["mlm_loss"]
        judged_by = "held-out" if self.rows.judged_by == "held-out" else "training-text"
        self.reporter.say(
            f"{min(share, 1):4.0%}  {judged_by} loss {metrics['mlm_loss']:.3f} nats "
            f"({abs(gap):.2f} {'under' if gap > 0 else 'over'} word frequency), "
            f"masked words right {metrics['mlm_accuracy']:.1%}{sentence_order}"
        )
        self._watch_plateau(share, metrics["mlm_loss"])
        return metrics

    def _watch_plateau(self, share: float, loss: float) -> None:
        """Say aloud, at some places of the run, that the loss does not leave the word-frequency line."""
        reached = sum(share >= place for place in PLATEAU_SHARES)
        if reached > self._plateau_warnings and loss > self.frequency_loss - PLATEAU_NATS:
            self.reporter.warn(
                f"the loss is still near that of guessing by word frequency ({self.frequency_loss:.2f}): the model has "
                "learned hardly more than which words are common. What helps: a longer budget, a smaller --size, "
                "another --learning-rate (3e-4 … 3e-3), more text, a smaller --vocab-size for little text."
            )
        self._plateau_warnings = max(reached, self._plateau_warnings)

    def _save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, and give the run folder its weights, so that the model can be tried at any time."""
        keep, ranks, warn = self.config.keep_checkpoints, self.ranks, self.reporter.warn
        path = save_checkpoint(self.folder.checkpoints, checkpoint, keep=keep, warn=warn, ranks=ranks)
        if not ranks.first:
            return
        if not (self.folder.out / "config.json").exists():
            self.tokenizer.save(self.folder.out)
            write_model_config(self.bert, self.folder.out)
        with atomic_path(self.folder.out / "model.safetensors") as beside:
            link_or_copy(path / "model.safetensors", beside)

    def _finish(self, progress: Progress, curves: str) -> None:
        self.tokenizer.save(self.folder.out)
        write_model_folder(self.bert, self.folder.out)
        write_card(
            self.folder.out,
            name=self.folder.name,
            config=self.config,
            manifest=self.corpus.manifest,
            held_out=self.corpus.documents("held-out"),
            evaluated_on="held-out documents" if self.rows.judged_by == "held-out" else "documents it was trained on",
            progress=progress,
            curves=curves,
        )
        self._suggest(progress.metrics)


def recipe_of(config: PretrainConfig, budget: Budget, precision: Precision, **more: Any) -> Recipe:
    """What the loop is told of a pretraining run; `more` are other fields of `Recipe`."""
    muon = None
    if config.optimizer == "muon":
        muon = MuonOptions(
            rate_share=MUON_RATE_SHARES[config.architecture],
            step_tokens=config.batch_size * config.max_length_tokens,
            product_dtype=getattr(torch, precision),
        )
    return Recipe.of(config, budget, precision, muon=muon, **more)
