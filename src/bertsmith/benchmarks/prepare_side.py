"""One side of the preparing measurement in a process of its own: `bertsmith prepare`, or `tokenizers` alone.

`python -m bertsmith.benchmarks.prepare_side SIDE FOLDER SETTINGS` is a worker of `data.workers`. FOLDER holds the
tokenizer; SETTINGS is JSON with `corpus`, a list, and `reading`, the fields of a CorpusConfig. Its jobs:

    {"do": "read"}  ->  {"documents", "megabytes"}: "tokenizers alone" reads all text into memory, ours does nothing
    {"do": "run"}   ->  {"seconds", "tokens", "memory_bytes"}
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertsmith.benchmarks.machine import PeakOfAll
from bertsmith.config import CorpusConfig
from bertsmith.data.prepare import prepare_corpus
from bertsmith.data.workers import Job, serve_jobs
from bertsmith.progress import Silent
from bertsmith.text.corpus import list_sources, read_corpus
from bertsmith.text.wordpiece import WordPiece

OURS, ALONE = "bertsmith prepare", "tokenizers alone"
BATCH_DOCUMENTS = 1000


def encode_alone(texts: Sequence[str], folder: Path) -> int:
    """The number of tokens, by the library's own batch encoding in its fastest way."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = 0
    for first in range(0, len(texts), BATCH_DOCUMENTS):
        batch = tokenizer.encode_batch_fast(list(texts[first : first + BATCH_DOCUMENTS]), add_special_tokens=False)
        tokens += sum(len(encoding.ids) for encoding in batch)
    return tokens


def prepare_whole(corpus: Sequence[str], folder: Path, config: CorpusConfig) -> int:
    """All of `bertsmith prepare` but for learning the WordPieces; the number of tokens."""
    out = Path(tempfile.mkdtemp(dir=folder))
    try:
        made = prepare_corpus(corpus, out, tokenizer=WordPiece.load(folder), config=config, seed=0, reporter=Silent())
        return int(made.manifest["counts"]["tokens"])
    finally:
        shutil.rmtree(out)


def main() -> None:
    """Answer jobs until there are no more."""
    side, folder, settings = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    config = CorpusConfig(**settings["reading"])
    # Read when `tokenizers` first encodes.
    os.environ["RAYON_NUM_THREADS"] = str(config.workers or os.cpu_count())
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    texts: list[str] = []

    def handle(job: Job) -> Any:
        if job["do"] == "read":
            texts.extend(
                document.text for document in read_corpus(list_sources(settings["corpus"]), config, skipped=[])
            )
            return {"documents": len(texts), "megabytes": sum(len(text.encode()) for text in texts) / 1e6}
        started = time.perf_counter()
        with PeakOfAll() as peak:
            tokens = prepare_whole(settings["corpus"], folder, config) if side == OURS else encode_alone(texts, folder)
        return {"seconds": time.perf_counter() - started, "tokens": tokens, "memory_bytes": peak.bytes}

    serve_jobs(handle)


if __name__ == "__main__":
    main()
