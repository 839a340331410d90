"""The most memory that preparing and training take, over text of ever more megabytes.

    python bench/memory.py [--megabytes 4 40 400] [--steps 150] [--shards 600000]

Text of a made-up language is written, prepared into shards of 50,000 tokens by `bertsmith prepare` (with the learning
of its WordPieces), and read by `bertsmith pretrain --size tiny` for so many steps, through half a dozen of the shards.
With --shards the last of these corpora is read once more, by an index that lists its shards again and again until there
are so many: a corpus of 10 TB has 600,000. Memory is the anonymous memory of the command and all processes below it,
sampled every 50 ms; what is mapped from files is the system's to take back, and is not counted.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bertsmith.benchmarks.machine import PeakOfAll
from bertsmith.data.shards import ShardIndex, open_corpus
from bertsmith.files import crc32_of, sealed, write_json

PREPARE = "--vocab-size 8000 --shard-tokens 50000 --workers 2"
TRAIN = "--size tiny --batch-size 32 --max-length-tokens 64 --evaluation-rows 32 --precision float32"


def write_text(path: Path, megabytes: float) -> Path:
    """Documents of 4 to 30 sentences."""
    rng = random.Random(0)
    known = ["".join(rng.choices("aeioubdfgklmnprst", k=rng.randint(2, 9))) for _ in range(20_000)]
    sentences = [" ".join(rng.choices(known, k=rng.randint(5, 25))).capitalize() + "." for _ in range(50_000)]
    written = 0
    with path.open("w") as file:
        while written < megabytes * 1e6:
            written += file.write(" ".join(rng.choices(sentences, k=rng.randint(4, 30))) + "\n\n")
    return path


def peak_of(words: list[str]) -> tuple[float, float]:
    """Megabytes at most, and seconds, of a command."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "bertsmith", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with PeakOfAll(process.pid) as peak:
        status = process.wait()
    if status:
        raise SystemExit(f"{' '.join(words)}: ended with status {status}")
    return peak.bytes / 1e6, time.monotonic() - started


def with_shards(corpus: Path, count: int, folder: Path) -> Path:
    """A corpus whose index lists the training shards of another again and again."""
    opened = open_corpus(corpus)
    train, held_out = (list(opened.of(split)) for split in ("train", "held-out"))
    for path in corpus.iterdir():
        (folder / path.name).symlink_to(path)
    for name in ("index.arrow", "manifest.json"):
        (folder / name).unlink()
    ShardIndex.of([*held_out, *itertools.islice(itertools.cycle(train), count)]).write(folder / "index.arrow")
    manifest = {**opened.manifest, "index_crc32": crc32_of(folder / "index.arrow")}
    write_json(folder / "manifest.json", sealed(manifest))
    return folder


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[4, 40, 400])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--shards", type=int)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| MB of text | shards | preparing, MB at most | s | training, MB at most | s |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in options.megabytes:
            home = Path(folder) / f"{megabytes:g}"
            home.mkdir()
            text, corpus = write_text(home / "text.txt", megabytes), home / "corpus"
            prepared = peak_of(["prepare", *PREPARE.split(), str(text), "--out", str(corpus)])
            shards = len(list(corpus.glob("train-*.arrow")))
            steps = ["--steps", str(options.steps)]
            training = ["pretrain", *TRAIN.split(), *steps]
            trained = peak_of([*training, str(corpus), "--out", str(home / "run")])
            figures = [f"{value:,.0f}" for value in (*prepared, *trained)]
            print("|", " | ".join([f"{megabytes:g}", f"{shards:,}", *figures]), "|", flush=True)
            if options.shards and megabytes == options.megabytes[-1]:
                (home / "many").mkdir()
                many = with_shards(corpus, options.shards, home / "many")
                figures = [f"{value:,.0f}" for value in peak_of([*training, str(many), "--out", str(home / "long")])]
                print("|", " | ".join(["simulated", f"{options.shards:,}", "", "", *figures]), "|", flush=True)
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
