"""Time to quality: the held-out masked LM loss of bertsmith and of transformers' `Trainer`, minute by minute.

    python bench/quality.py CORPUS… [--minutes 20] [--our-minutes 1.66,20] [--at 1,2,3,5,7.5,10,15,20] [--size mini]
        [--seeds 1] [--sides ours,peer] [--peer-learning-rates 5e-4,1e-3] [--peer-precision auto]
        [--json out.json] [-- --learning-rate 2e-3 …]

CORPUS is any text that `bertsmith prepare` reads. It is prepared once: both sides have the same WordPieces and the
same training documents, and the documents held out judge both. What stands after -- goes to `bertsmith pretrain` as it
is. The peer is `BertForMaskedLM` under `Trainer` on rows of 128 tokens, with a schedule that follows the clock as ours
does. Each side's clock runs from its first step: not while it loads and prepares, and not while it is judged.

One judge for both: held-out rows with fixed masks, transformers, float32. The rows are cut in two ways: "chunked", as
the peer's own training rows are, and "framed", [CLS] … [SEP] within a document; the table is of --judge. A budget is a
schedule, so whether ours is there in a twelfth of the time is read off a run with that budget.

Every run is a process of its own. A run that is in --json already is not made again; one of ours that was stopped goes
on. So other recipes can be added beside the same peer: the same command with other words after --.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bertsmith
from bertsmith.data.shards import PreparedCorpus
from bertsmith.model.precision import choose_precision
from side_by_side.process import run_side
from side_by_side.records import Record, Records
from time_to_quality.blocks import chunked, documents
from time_to_quality.job import Job, at_marks, points_of
from time_to_quality.table import NAMES, OURS, PEER, summary

USUAL_MARKS = "1,2,3,5,7.5,10,15,20"
SETTINGS = ("corpus", "size", "vocab_size", "length", "held_out_share", "judge_rows", "threads")


@dataclass(frozen=True)
class Run:
    """One pretraining that is asked for; `job` is told to its process."""

    side: str
    recipe: str
    job: Job

    @property
    def key(self) -> dict[str, Any]:
        """Which record is of it."""
        return dict(zip(NAMES, (self.side, self.recipe, self.job.minutes, self.job.seed), strict=True))


def main() -> int:
    """Measure what is asked for; 1 if a run failed."""
    arguments = parse()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # of the judge; read when torch is loaded
    arguments.work.mkdir(parents=True, exist_ok=True)
    records = Records(arguments.json, {name: getattr(arguments, name) for name in SETTINGS}, NAMES)
    records.introduce()
    wanted = [run for run in runs_of(arguments) if not records.has(**run.key)]
    if wanted:
        measure(wanted, records, arguments)
    print(f"\n{summary(records.all, arguments.judge)}")
    return 1 if records.failed else 0


def parse() -> argparse.Namespace:
    """The user's words."""
    place = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--minutes", type=float, default=20.0, help="of the peer, and of ours beside it")
    parser.add_argument("--our-minutes", help="budgets of ours; a twelfth of --minutes and --minutes if not given")
    parser.add_argument("--at", default=USUAL_MARKS, help="minutes at which both are judged, besides at their end")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--vocab-size", type=int, default=16_384)
    parser.add_argument("--length", type=int, default=128, help="tokens of the peer's and the judge's rows")
    parser.add_argument("--held-out-share", type=float, default=0.01)
    parser.add_argument("--judge-rows", type=int, default=256, help="of each cut")
    parser.add_argument("--judge", choices=("chunked", "framed"), default="chunked", help="the cut that is shown")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sides", default="ours,peer")
    parser.add_argument("--peer-learning-rates", default="5e-4")
    parser.add_argument(
        "--peer-precision", default="auto", help="bfloat16 or float32, auto for the faster one; +compile compiles"
    )
    parser.add_argument("--peer-dropout", type=float, default=0.1)
    parser.add_argument("--peer-batch-size", type=int, default=Job.batch_size)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=Path, default=Path("bench-quality"), help="for the corpus and the runs")
    parser.add_argument("--json", type=Path, help="where all raw numbers are kept; in --work if not given")
    arguments = parser.parse_args(sys.argv[1:place])
    arguments.words, arguments.json = sys.argv[place + 1 :], arguments.json or arguments.work / "records.json"
    if arguments.peer_precision == "auto":
        fast = choose_precision("auto", torch.device("cpu")) == "bfloat16"
        arguments.peer_precision = "bfloat16" if fast else "float32"
    arguments.marks = _numbers(arguments.at)
    budgets = _numbers(arguments.our_minutes) if arguments.our_minutes else []
    arguments.budgets = budgets or [math.floor(100 * arguments.minutes / 12) / 100, arguments.minutes]
    return arguments


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def runs_of(arguments: argparse.Namespace) -> list[Run]:
    """All runs, seed by seed; who comes first changes."""
    found: list[Run] = []
    for seed in range(arguments.seeds):
        sides = {OURS: _ours(arguments, seed), PEER: _peers(arguments, seed)}
        asked = [sides[side] for side in arguments.sides.split(",")]
        turn = seed % len(asked)
        found += [run for side in asked[turn:] + asked[:turn] for run in side]
    return found


def _ours(arguments: argparse.Namespace, seed: int) -> list[Run]:
    recipe = " ".join(arguments.words) or "as it is"
    return [
        Run(OURS, recipe, _job(arguments, f"{OURS} {recipe}", seed, minutes, words=arguments.words))
        for minutes in arguments.budgets
    ]


def _peers(arguments: argparse.Namespace, seed: int) -> list[Run]:
    found = []
    for rate in _numbers(arguments.peer_learning_rates):
        recipe = f"lr {rate:g}, {arguments.peer_precision}, dropout {arguments.peer_dropout:g}"
        if arguments.peer_batch_size != Job.batch_size:  # which records of before had, and do not name
            recipe += f", batch {arguments.peer_batch_size}"
        options = {
            "learning_rate": rate,
            "precision": arguments.peer_precision,
            "dropout": arguments.peer_dropout,
            "batch_size": arguments.peer_batch_size,
            "blocks": str(arguments.work / "blocks.npy"),
        }
        found.append(Run(PEER, recipe, _job(arguments, f"{PEER} {recipe}", seed, arguments.minutes, **options)))
    return found


def _job(arguments: argparse.Namespace, name: str, seed: int, minutes: float, **options: Any) -> Job:
    folder = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in f"{name} {minutes:g}m {seed}")
    return Job(
        corpus=str(arguments.work / "corpus"),
        out=str(arguments.work / "runs" / folder),
        size=arguments.size,
        minutes=minutes,
        marks=[*(mark for mark in arguments.marks if mark < minutes), minutes],
        seed=seed,
        **options,
    )


def measure(wanted: list[Run], records: Records, arguments: argparse.Namespace) -> None:
    """Make runs, judge them, keep what they came to."""
    from time_to_quality.judge import Judge

    corpus = prepare(arguments)
    judge = Judge(corpus, length=arguments.length, rows=arguments.judge_rows)
    print(f"always guessing by word frequency: {judge.frequency_loss:.3f} nats", flush=True)
    for run in wanted:
        records.add(make(run, judge, arguments))


def prepare(arguments: argparse.Namespace) -> PreparedCorpus:
    """The corpus of both sides, and the peer's training rows."""
    from bertsmith.data.masking import vocabulary_of
    from bertsmith.text.wordpiece import WordPiece

    corpus = bertsmith.prepare(
        arguments.corpus,
        out=arguments.work / "corpus",
        vocab_size=arguments.vocab_size,
        held_out_share=arguments.held_out_share,
    )
    vocabulary = vocabulary_of(WordPiece.load(corpus.tokenizer_folder))
    rows = chunked(documents(corpus, "train"), arguments.length, vocabulary)
    np.save(arguments.work / "blocks.npy", rows.astype(np.int32), allow_pickle=False)
    return corpus


def make(run: Run, judge: Any, arguments: argparse.Namespace) -> Record | None:
    """One run and its losses; None if it failed."""
    out, told = Path(run.job.out), arguments.work / "job.json"
    print(f"{run.side}, {run.recipe}, {run.job.minutes:g} minutes, seed {run.job.seed}", flush=True)
    run.job.write(told)
    load = os.getloadavg()[0]
    module = f"time_to_quality.{run.side}"
    if said := run_side(module, told, threads=arguments.threads, shown=True):
        print(f"  FAILED: {said}", flush=True)
        return None
    points = []
    for mark, point in at_marks(points_of(out), run.job.marks).items():
        weights = Path(point.weights)
        config = weights.with_name("config.json")  # beside the peer's weights; ours has one for all checkpoints
        losses = judge.losses(config if config.exists() else out / "config.json", weights)
        figures = {"mark": mark, "minutes": point.minutes, "steps": point.steps, "tokens": point.tokens}
        points.append({**figures, **losses})
        shown = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
        print(f"  {mark:g} minutes: {shown} nats, {point.tokens / 1e6:.2f} M tokens", flush=True)
    shutil.rmtree(out)  # some gigabytes; what it came to is kept
    return {**run.key, "points": points, "load_before": load}


if __name__ == "__main__":
    sys.exit(main())
