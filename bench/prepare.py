"""Preparing a corpus against what `tokenizers` alone takes to encode the same text on the same cores.

    python bench/prepare.py TEXT… [--runs 3] [--workers 2]

Each run does both in turn. The peer has the documents in memory and encodes them with encode_batch_fast on all cores,
its fastest way; ours reads, splits sentences, encodes, hashes, sorts and writes the shards.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import tokenizers

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data.prepare import prepare_corpus
from bertsmith.progress import Silent
from bertsmith.text.corpus import list_sources, read_corpus
from bertsmith.text.train import train_tokenizer
from bertsmith.text.wordpiece import WordPiece

BATCH_DOCUMENTS = 1000


def encode_alone(texts: list[str], folder: Path) -> int:
    """The number of tokens, by the library's own batch encoding."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = 0
    for first in range(0, len(texts), BATCH_DOCUMENTS):
        batch = tokenizer.encode_batch_fast(texts[first : first + BATCH_DOCUMENTS], add_special_tokens=False)
        tokens += sum(len(encoding.ids) for encoding in batch)
    return tokens


def prepare_whole(corpus: list[str], folder: Path, workers: int) -> None:
    """All of `bertsmith prepare`, but for learning the WordPieces."""
    out = Path(tempfile.mkdtemp(dir=folder))
    tokenizer = WordPiece.load(folder)
    prepare_corpus(corpus, out, tokenizer=tokenizer, config=CorpusConfig(workers=workers), seed=0, reporter=Silent())
    shutil.rmtree(out)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print the medians, the ratio and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    config, reading = TokenizerConfig(vocab_size=16_384), CorpusConfig()
    learning = seconds(
        lambda: train_tokenizer(arguments.corpus, config=config, corpus_config=reading, reporter=Silent()).save(folder)
    )
    texts = [document.text for document in read_corpus(list_sources(arguments.corpus), reading, skipped=[])]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    times: dict[str, list[float]] = {"encode alone": [], "prepare": []}
    for _ in range(arguments.runs):
        times["encode alone"].append(seconds(lambda: encode_alone(texts, folder)))
        times["prepare"].append(seconds(lambda: prepare_whole(arguments.corpus, folder, arguments.workers)))
    shutil.rmtree(folder)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e3
    medians = {name: median(values) for name, values in times.items()}
    version = subprocess.run([sys.executable, "-V"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{megabytes:.1f} MB, {len(texts):,} documents; {version}, tokenizers {tokenizers.__version__}")
    print(f"{platform.machine()}, {os.cpu_count()} cores; learning the WordPieces took {learning:.1f} s")
    for name, value in medians.items():
        print(f"{name}: {value:.2f} s, {megabytes / value:.1f} MB/s (of {arguments.runs}: {times[name]})")
    print(f"ratio prepare / encode alone: {medians['prepare'] / medians['encode alone']:.2f}")
    print(f"largest process: {peak:.0f} MB (this one holds all text for the peer)")


if __name__ == "__main__":
    main()
