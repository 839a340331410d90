"""Prediction of a model folder on this machine, measured; and if asked for the peer's beside it.

Every side is a process of its own; they take turns: the same texts of mixed lengths, then one short text many times.
"""

from __future__ import annotations

import importlib.util
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from bertsmith.benchmarks.flops import Counts, forward_flops
from bertsmith.benchmarks.infer_figures import InferFigures, InferSide
from bertsmith.benchmarks.infer_job import Job, What, make_job, texts_of_file, texts_of_vocabulary
from bertsmith.benchmarks.infer_side import OURS, PEER
from bertsmith.config import ARCHITECTURES, PredictionPrecision
from bertsmith.data.workers import Workers
from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_model_folder
from bertsmith.progress import Reporter
from bertsmith.text.wordpiece import WordPiece

RUN_S = 2.0  # about what a run takes ours
FIRST_TEXTS, LEAST_TEXTS = 16, 64


@dataclass(frozen=True)
class InferPlan:
    """What is measured.

    Attributes:
        model: the folder.
        texts: a file of texts; None to make them of the model's vocabulary.
        precision: of our products.
        runs: of each side, in turn.
        peer: whether `transformers` is measured too.
        embed: vectors, whatever the model is for.
    """

    model: Path
    texts: str | None = None
    precision: PredictionPrecision = "auto"
    runs: int = 5
    peer: bool = False
    embed: bool = False


def bench_infer(plan: InferPlan, reporter: Reporter) -> InferFigures:
    """Answer texts, in turn with the peer.

    Raises:
        ConfigError: less than one run; or a peer is asked for, and transformers is not installed.
        ModelFolderError, TokenizerError: the folder is no model's, or the peer cannot open it.
        CorpusError: the file of texts is missing or empty.
    """
    if plan.runs < 1:
        raise ConfigError(f"runs is {plan.runs}; at least one of each side is needed")
    if plan.peer and importlib.util.find_spec("transformers") is None:
        raise ConfigError("--peer measures transformers, which is not installed: pip install transformers")
    bert, _ = read_model_folder(plan.model)
    tokenizer = WordPiece.load(plan.model)
    longest = bert.config.max_position_embeddings
    texts = texts_of_file(plan.texts) if plan.texts else texts_of_vocabulary(tokenizer, longest=longest)
    what: What = "embed" if plan.embed else what_of(bert)
    job = make_job(what, plan.model, texts, tokenizer, longest=longest)
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        told = Path(home) / "job.json"
        job.write(told)
        names = (OURS, PEER) if plan.peer else (OURS,)
        sides = [stack.enter_context(_process(name, told, plan.precision)) for name in names]
        return _Measurement(plan, bert, job, dict(zip(names, sides, strict=True)), reporter).run()


def what_of(bert: Bert) -> What:
    """What a model is for: its task, the masks that it fills, else vectors; these too where a task needs more than a
    text."""
    task = bert.head.task if bert.head else None
    if task in get_args(What):
        return cast(What, task)
    return "fill" if bert.masked_lm is not None else "embed"


def _process(name: str, told: Path, precision: PredictionPrecision) -> Workers:
    return Workers("bertsmith.benchmarks.infer_side", [name, str(told), precision], 1)


class _Measurement:
    def __init__(self, plan: InferPlan, bert: Bert, job: Job, sides: dict[str, Workers], reporter: Reporter) -> None:
        self.plan, self.bert, self.job, self.sides, self.reporter = plan, bert, job, sides, reporter
        self.seconds: dict[str, list[float]] = {name: [] for name in sides}
        self.short_s: dict[str, list[float]] = {name: [] for name in sides}

    def run(self) -> InferFigures:
        limits = _ask(self.sides[OURS], do="limits")
        with self.reporter.track("measuring", total=self.plan.runs, unit="runs") as track:
            track.update(0, "first texts")
            count = self._warm_up()
            for run in range(self.plan.runs):
                for name, side in self.sides.items():
                    (seconds,) = _ask(side, do="texts", count=count)["seconds"]
                    self.seconds[name].append(seconds)
                    self.short_s[name] += _ask(side, do="short")["seconds"]
                    track.update(run, f"{name}: {count / seconds:,.0f} texts/s")
                track.update(run + 1)
        again = _ask(self.sides[OURS], do="limits")
        ours, *peers = (self._figures(name) for name in self.sides)
        tokens = self.job.tokens[:count]
        return InferFigures(
            what=self.job.what,
            model=f"{self.plan.model} ({ARCHITECTURES[self.bert.config.architecture]}, {_weights(self.bert)})",
            tokens=tuple(tokens),
            short_tokens=self.job.short_tokens,
            flops=forward_flops(self.bert, counts_of(self.job.what, tokens)),
            limits={name: max(speed, again[name]) for name, speed in limits.items()},
            ours=ours,
            peer=peers[0] if peers else None,
        )

    def _warm_up(self) -> int:
        """Let each side answer some texts; how many texts make a run."""
        for side in (*self.sides.values(), self.sides[OURS]):
            took: list[float] = _ask(side, do="texts", count=FIRST_TEXTS)["seconds"]
        first = len(self.job.texts[:FIRST_TEXTS])
        return min(len(self.job.texts), max(LEAST_TEXTS, round(RUN_S * first / took[0])))

    def _figures(self, name: str) -> InferSide:
        state = _ask(self.sides[name], do="state")
        return InferSide(name, tuple(self.seconds[name]), tuple(self.short_s[name]), **state)


def counts_of(what: What, tokens: list[int]) -> Counts:
    """What there is to compute in texts of so many tokens; the head of a tagger is too small to count."""
    count, total = len(tokens), sum(tokens)
    return Counts(
        tokens=total,
        row_length=sum(length**2 for length in tokens) / total,
        masked=count if what == "fill" else 0,
        sequences=count if what in ("classify", "regress") else 0,
    )


def _weights(bert: Bert) -> str:
    return f"{sum(weight.numel() for weight in bert.parameters()) / 1e6:.1f} M weights"


def _ask(side: Workers, **job: Any) -> dict[str, Any]:
    answer: dict[str, Any] = next(iter(side.run([job])))
    return answer
