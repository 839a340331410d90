"""One side of the pretraining measurement in a process of its own, which takes steps when it is asked to.

`python -m bertsmith.benchmarks.step_side SIDE SETTINGS` is a worker of `data.workers`. SIDE is "ours", "as it comes" or
"at its best"; SETTINGS is JSON with the fields of `Settings`. Its jobs:

    {"do": "steps", "count": 3}  ->  {"seconds", "tokens"} of so many optimizer steps
    {"do": "limits"}             ->  FLOP/s of the best matrix product in each format
    {"do": "state"}              ->  {"memory_bytes", "precision", "threads", "note"}
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch

from bertsmith.benchmarks.flops import Counts
from bertsmith.benchmarks.limit import finish, matmul_limits
from bertsmith.benchmarks.machine import peak_memory_bytes
from bertsmith.benchmarks.random_corpus import RandomCorpus, random_vocabulary
from bertsmith.config import PretrainConfig
from bertsmith.data.batch import Masking, PretrainingBatch
from bertsmith.data.feed import Phase, PretrainingFeed
from bertsmith.data.sampler import Position, RowSampler, Sampling
from bertsmith.data.workers import Job, serve_jobs
from bertsmith.model.bert import Bert
from bertsmith.model.compiling import compile_layers
from bertsmith.model.device import choose_device
from bertsmith.model.precision import choose_precision
from bertsmith.progress import Silent
from bertsmith.tasks.pretraining import Pretraining
from bertsmith.training.budget import Budget
from bertsmith.training.journal import Journal
from bertsmith.training.loop import Loop
from bertsmith.training.new_model import new_model
from bertsmith.training.pretraining_run import recipe_of
from bertsmith.training.recipe import Hooks

OURS, AS_IT_COMES, AT_ITS_BEST = "ours", "as it comes", "at its best"
# Random text teaches nothing, and a large model that is pushed hard over it may diverge.
LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class Settings:
    """What all sides compute.

    Attributes:
        config: the run whose steps are taken; its budget does not matter.
        vocab_size: V.
    """

    config: PretrainConfig
    vocab_size: int

    def to_json(self) -> str:
        """For the command line of a side."""
        return json.dumps({"config": self.config.model_dump(), "vocab_size": self.vocab_size})

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """What `to_json` wrote."""
        values = json.loads(text)
        return cls(PretrainConfig(**values["config"]), values["vocab_size"])

    def sampler(self) -> RowSampler:
        """Rows of random text, packed and masked as those of a real corpus."""
        config = self.config
        masking = Masking(random_vocabulary(self.vocab_size), config.mask_share, config.whole_word)
        next_sentence = Pretraining(config.objective).next_sentence
        sampling = Sampling(config.seed, config.max_length_tokens, next_sentence, config.short_sequence_share, masking)
        return RowSampler(RandomCorpus(self.vocab_size), "train", sampling)

    def counts(self) -> Counts:
        """What there is to compute in the first step's batch."""
        batch, _ = self.sampler().take(Position(), self.config.batch_size)
        losses = Pretraining(self.config.objective).loss_counts(batch)
        return Counts(batch.tokens, self.config.max_length_tokens, losses["mlm"], losses.get("nsp", 0))


class Side(Protocol):
    """Somebody's pretraining.

    Attributes:
        device: where it computes.
        precision: of the products.
        note: what a reader of the figures should know; mostly nothing.
    """

    device: torch.device
    precision: str
    note: str

    def steps(self, count: int) -> int:
        """Take so many optimizer steps; the tokens in them, without padding."""


class Ours(Side):
    """The real loop on the real feed, over a corpus of random tokens; nothing is evaluated or saved."""

    note = ""

    def __init__(self, settings: Settings) -> None:
        config, task = settings.config, Pretraining(settings.config.objective)
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        recipe = recipe_of(config.but(learning_rate=LEARNING_RATE), Budget(1, "steps"), self.precision, evaluations=1)
        model = new_model(
            config,
            task,
            vocab_size=settings.vocab_size,
            pad_token_id=random_vocabulary(settings.vocab_size).pad_id,
        ).to(self.device)
        if config.compile:
            compile_layers(model)
        self.loop: Loop[Bert, PretrainingBatch] = Loop(
            task,
            model=model,
            feed=PretrainingFeed(
                [Phase(settings.sampler())],
                batch_size=config.batch_size,
                micro_batch_size=config.micro_batch_size,
            ),
            recipe=recipe,
            hooks=Hooks(lambda share: {}, dict, None),
            journal=Journal(None),
            reporter=Silent(),
        )

    def steps(self, count: int) -> int:
        """Go on with the run for so many steps."""
        loop, before = self.loop, self.loop.progress.tokens
        loop.recipe = replace(loop.recipe, budget=Budget(loop.progress.step + count, "steps"))
        return loop.run().tokens - before


def build_side(name: str, settings: Settings) -> Side:
    """The side of a name; a peer's library is loaded here."""
    if name == OURS:
        return Ours(settings)
    from bertsmith.benchmarks.step_peer import Peer

    return Peer(settings, best=name == AT_ITS_BEST)


def main() -> None:
    """Answer jobs until there are no more."""
    name, settings = sys.argv[1], Settings.from_json(sys.argv[2])
    sides: list[Side] = []

    def handle(job: Job) -> Any:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for answers
            if job["do"] == "limits":
                return matmul_limits(choose_device(settings.config.device))
            if not sides:
                sides.append(build_side(name, settings))
            return asdict(_timed(sides[0], job["count"])) if job["do"] == "steps" else _state(sides[0])

    serve_jobs(handle)


@dataclass(frozen=True)
class Timed:
    """Some steps: how long they took, and their tokens."""

    seconds: float
    tokens: int


def _timed(side: Side, count: int) -> Timed:
    started = time.perf_counter()
    tokens = side.steps(count)
    finish(side.device)
    return Timed(time.perf_counter() - started, tokens)


def _state(side: Side) -> dict[str, Any]:
    threads = torch.get_num_threads()
    return {
        "memory_bytes": peak_memory_bytes(side.device),
        "precision": side.precision,
        "threads": threads,
        "note": side.note,
    }


if __name__ == "__main__":
    main()
