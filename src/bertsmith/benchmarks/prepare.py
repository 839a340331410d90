"""Preparing a corpus against what `tokenizers` alone takes to encode the same text on the same cores.

Both sides are processes of their own and take turns. The peer has the documents in memory and encodes them with
`encode_batch_fast` on all cores, its fastest way; ours reads, splits sentences, encodes, hashes, sorts and writes the
shards.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bertsmith.benchmarks.figures import Table
from bertsmith.benchmarks.prepare_side import ALONE, OURS
from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data.workers import Workers
from bertsmith.errors import ConfigError
from bertsmith.progress import Reporter
from bertsmith.text.train import train_tokenizer
from bertsmith.text.wordpiece import WordPiece


@dataclass(frozen=True)
class PrepareFigures:
    """What the measurement found.

    Attributes:
        megabytes, documents: of the text.
        tokens: of the text, as `tokenizers` counts them.
        workers: processes of ours, and threads of the peer.
        seconds: of each run, by side.
        memory_bytes: the most that ours, with its workers, held at a time; 0 where the system does not tell.
    """

    megabytes: float
    documents: int
    tokens: int
    workers: int
    seconds: dict[str, list[float]]
    memory_bytes: int

    @property
    def time_ratio(self) -> float:
        """Our median time as a share of the peer's."""
        return median(self.seconds[OURS]) / median(self.seconds[ALONE])

    def table(self) -> Table:
        """Both sides."""
        rows = []
        for name, times in self.seconds.items():
            middle = median(times)
            speeds = (f"{self.megabytes / middle:.1f}", f"{self.tokens / middle:,.0f}")
            rows.append((name, f"{middle:.2f}", *speeds))
        notes = [f"Ours takes {self.time_ratio:.2f} of the time of `tokenizers` alone (medians of {len(times)})."]
        if self.memory_bytes:
            notes.append(f"All processes of ours together held at most {self.memory_bytes / 1e6:,.0f} MB.")
        title = f"Preparing {self.megabytes:.1f} MB, {self.documents:,} documents, {self.workers} worker(s)"
        return Table(title, ("side", "seconds", "MB/s", "tokens/s"), tuple(rows), tuple(notes))

    def values(self) -> dict[str, Any]:
        """Everything, for JSON."""
        speeds = {name: self.tokens / median(times) for name, times in self.seconds.items()}
        return {
            "tokens_per_s": speeds[OURS],
            "peer_tokens_per_s": speeds[ALONE],
            "ratio": 1 / self.time_ratio,
            "share_of_limit": None,  # no physical limit of text is known
            "time_ratio": self.time_ratio,
            "megabytes": self.megabytes,
            "documents": self.documents,
            "tokens": self.tokens,
            "workers": self.workers,
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes or None,
        }


def bench_prepare(
    corpus: Sequence[str],
    *,
    runs: int,
    corpus_config: CorpusConfig,
    tokenizer_config: TokenizerConfig,
    tokenizer: Path | None,
    reporter: Reporter,
) -> PrepareFigures:
    """Prepare a corpus and encode its text, in turn.

    Args:
        corpus: files, globs, folders, URLs.
        runs: of each side.
        corpus_config: how the files are read, and by how many processes.
        tokenizer_config: how a tokenizer is trained, where none is given; not timed.
        tokenizer: the folder of a finished tokenizer.
        reporter: told of progress.

    Raises:
        ConfigError: less than one run.
        CorpusError, TokenizerError: what is to be read is wrong.
    """
    if runs < 1:
        raise ConfigError(f"runs is {runs}; at least one of each side is needed")
    workers = corpus_config.workers or os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pieces = (
            WordPiece.load(tokenizer)
            if tokenizer
            else train_tokenizer(corpus, config=tokenizer_config, corpus_config=corpus_config, reporter=reporter)
        )
        pieces.save(folder)
        reading = corpus_config.but(workers=workers).model_dump()
        settings = json.dumps({"corpus": list(corpus), "reading": reading})
        return _measure(folder, settings, workers=workers, runs=runs, reporter=reporter)


def _measure(folder: Path, settings: str, *, workers: int, runs: int, reporter: Reporter) -> PrepareFigures:
    module = "bertsmith.benchmarks.prepare_side"
    with (
        Workers(module, [OURS, str(folder), settings], 1) as ours,
        Workers(module, [ALONE, str(folder), settings], 1) as alone,
        reporter.track("measuring", total=runs, unit="runs") as track,
    ):
        text = _ask(alone, "read")
        sides = {ALONE: alone, OURS: ours}
        came: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
        track.update(0)
        for run in range(runs):
            for number, (name, side) in enumerate(sides.items(), start=1):
                came[name].append(_ask(side, "run"))
                track.update(run + number / len(sides), f"{name}: {came[name][-1]['seconds']:.2f} s")
    return PrepareFigures(
        **text,
        tokens=came[ALONE][-1]["tokens"],
        workers=workers,
        seconds={name: [each["seconds"] for each in answers] for name, answers in came.items()},
        memory_bytes=max(each["memory_bytes"] for each in came[OURS]),
    )


def _ask(side: Workers, what: str) -> dict[str, Any]:
    answer: dict[str, Any] = next(iter(side.run([{"do": what}])))
    return answer
