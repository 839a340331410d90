"""How many planted near duplicates cleaning finds, how many documents it drops that were not planted, and how fast.

    python bench/cleaning.py [TEXT…] [--planted 0.2] [--edited 0.05] [--share 0.65] [--workers 2] [--runs 3]

TEXT is what `bertsmith prepare` takes; without it documents of a made-up language are written, of which none is like
another. Of a share of the documents copies are planted at random places, each with a share of its words replaced by
other words of the text. The time is that of the whole pass: reading, signatures by worker processes, the decision; the
processor's time of all processes is told too, since it does not depend on what else runs on the machine.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from bertsmith.benchmarks.machine import PeakOfAll
from bertsmith.cleaning_config import CleaningConfig
from bertsmith.config import CorpusConfig
from bertsmith.data.cleaning.decide import decide
from bertsmith.data.cleaning.passes import Cleaning, clean_corpus
from bertsmith.data.cleaning.survey import KEPT
from bertsmith.data.engines import LocalEngine
from bertsmith.data.units import group_sources
from bertsmith.progress import Silent
from bertsmith.text.corpus import list_sources, read_corpus

DOCUMENTS_A_FILE = 2000
READING = CorpusConfig()
SLACK = 0.08  # two standard errors of MinHash


def made_up(rng: np.random.Generator, documents: int) -> list[str]:
    """Documents of 50 to 600 words of a made-up language, some far more frequent than others."""
    known = np.array(["".join(rng.choice(list("aeioubdfgklmnprst"), rng.integers(2, 10))) for _ in range(30_000)])
    return [" ".join(known[rng.zipf(1.15, int(rng.integers(50, 600))) % len(known)]) for _ in range(documents)]


def edit(rng: random.Random, text: str, share: float, words: Sequence[str]) -> str:
    """A document with this share of its words replaced by words of the corpus."""
    parts = text.split()
    for place in rng.sample(range(len(parts)), max(1, round(share * len(parts)))):
        parts[place] = rng.choice(words)
    return " ".join(parts)


def plant(texts: list[str], planted: float, edited: float, seed: int) -> tuple[list[str], list[int]]:
    """The documents with the copies among them; for each the number of its original, its own where it is none."""
    rng = random.Random(seed)
    words = [word for text in rng.sample(texts, min(500, len(texts))) for word in text.split()]
    long_enough = [index for index, text in enumerate(texts) if len(text.split()) >= 20]
    chosen = rng.sample(long_enough, min(len(long_enough), round(planted * len(texts))))
    everything = [*enumerate(texts), *((index, edit(rng, texts[index], edited, words)) for index in chosen)]
    rng.shuffle(everything)
    return [text for _, text in everything], [index for index, _ in everything]


def pairs_of(text: str) -> set[tuple[str, str]]:
    """The pairs of neighbouring words, for the exact Jaccard index."""
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
    return set(zip(words, [*words[1:], ""], strict=True))


def judge(
    texts: list[str], originals: list[int], batches: list[pa.RecordBatch], config: CleaningConfig
) -> dict[str, Any]:
    """What was found of what was planted, and what else was dropped."""
    decision = decide(batches, config)
    dropped = np.flatnonzero(decision.fates != KEPT)
    seen: set[int] = set()
    planted = np.array([index in seen or bool(seen.add(index)) for index in originals])  # the second of two alike
    others = [int(at) for at in dropped if not planted[at]]
    alike = []
    for at in others:
        one, other = pairs_of(texts[at]), pairs_of(texts[decision.like[at]])
        alike.append(len(one & other) / len(one | other))
    share = config.near_duplicate_share
    return {
        "documents": len(texts),
        "planted": int(planted.sum()),
        "found_share": float((decision.fates[planted] != KEPT).mean()),
        "others_dropped_share": len(others) / (~planted).sum().item(),
        # Documents that were alike before anything was planted are no mistake; MinHash's standard error is 0.04.
        "false_share": sum(jaccard < share - SLACK for jaccard in alike) / (~planted).sum().item(),
    }


def measure(
    texts: list[str], folder: Path, config: CleaningConfig, workers: int
) -> tuple[dict[str, float], list[pa.RecordBatch]]:
    """One pass over the texts, from the files to the decision."""
    for first in range(0, len(texts), DOCUMENTS_A_FILE):
        part = "\n\n".join(texts[first : first + DOCUMENTS_A_FILE])
        (folder / f"{first:09d}.txt").write_text(part, encoding="utf-8")
    building = folder / "building"
    building.mkdir()
    started, used = time.perf_counter(), _processor_seconds()
    with PeakOfAll() as peak:
        clean_corpus(
            group_sources(list_sources([str(folder / "*.txt")])),
            building,
            cleaning=Cleaning(config),
            reading=READING,
            engine=LocalEngine(workers),
            reporter=Silent(),
        )
    seconds, used = time.perf_counter() - started, _processor_seconds() - used
    batches = [pa.ipc.open_file(path.read_bytes()).get_batch(0) for path in sorted(building.glob("survey-*.arrow"))]
    return {"seconds": seconds, "processor_seconds": used, "memory_mb": peak.bytes / 1e6}, batches


def _processor_seconds() -> float:
    """Of this process and those that it has waited for."""
    own, others = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="*", metavar="TEXT")
    parser.add_argument("--documents", type=int, default=20_000, help="of the made-up language, or read at most")
    parser.add_argument("--planted", type=float, default=0.2)
    parser.add_argument("--edited", type=float, default=0.05)
    parser.add_argument("--share", type=float, default=CleaningConfig().near_duplicate_share)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    config = CleaningConfig(drop_duplicates="near", near_duplicate_share=given.share)
    if given.corpus:
        documents = read_corpus(list_sources(given.corpus), READING, skipped=[])
        base = [document.text for document, _ in zip(documents, range(given.documents), strict=False)]
    else:
        base = made_up(np.random.default_rng(given.seed), given.documents)
    texts, originals = plant(base, given.planted, given.edited, given.seed)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    runs = []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory() as name:
            figures, batches = measure(texts, Path(name), config, given.workers)
            runs.append(figures)
    found = judge(texts, originals, batches, config)
    speeds, per_core = ([megabytes / run[what] for run in runs] for what in ("seconds", "processor_seconds"))
    found |= {"megabytes": megabytes, "mb_per_s": speeds, "mb_per_processor_s": per_core}
    found |= {"memory_mb": max(run["memory_mb"] for run in runs)}
    tell(found, given)


def tell(found: dict[str, Any], given: argparse.Namespace) -> None:
    """The figures, for people and as JSON."""
    print(
        f"{found['documents']:,} documents, {found['megabytes']:.1f} MB, {given.edited:.0%} of the copies' words edited"
    )
    print(f"found             {found['found_share']:.2%} of {found['planted']:,} planted")
    print(f"others dropped    {found['others_dropped_share']:.2%} of the other documents")
    print(f"false             {found['false_share']:.2%} of them: less alike than {given.share - SLACK:.2f}")
    print(f"speed             {median(found['mb_per_s']):.1f} MB/s with {given.workers} workers")
    print(f"                  {median(found['mb_per_processor_s']):.1f} MB a second of processor time, all processes")
    print(f"memory            {found['memory_mb']:.0f} MB, with the texts that this script holds")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
