"""Raw text -> a prepared corpus: documents are tokenized by several processes, then dealt to shards.

A build that was stopped goes on: finished units lie in `building/`, and `building/made-from.json` says of what.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data.cleaning.passes import Cleaned, Cleaning, clean_corpus
from bertsmith.data.deal import Dealt, deal
from bertsmith.data.shards import FORMAT_VERSION, PreparedCorpus, as_columns, is_prepared, open_corpus
from bertsmith.data.units import Reading, Unit, group_sources, read_units, warn_of_skipped
from bertsmith.data.workers import Job, Workers
from bertsmith.errors import ConfigError, PreparedCorpusError
from bertsmith.files import atomic_path, locked, write_json
from bertsmith.progress import Reporter
from bertsmith.text.corpus import list_sources, no_document
from bertsmith.text.sources import Source
from bertsmith.text.streams import BadInput
from bertsmith.text.train import as_read, plain_megabytes, train_tokenizer
from bertsmith.text.wordpiece import WordPiece

SHARD_TOKENS = 4_000_000
LEAST_SHARD_TOKENS = 1000
NO_CLEANING = Cleaning()


def prepare_corpus(
    corpus: Sequence[str],
    out: Path,
    *,
    tokenizer: WordPiece | TokenizerConfig,
    config: CorpusConfig,
    seed: int,
    shard_tokens: int = SHARD_TOKENS,
    cleaning: Cleaning = NO_CLEANING,
    reporter: Reporter,
) -> PreparedCorpus:
    """Tokenize a corpus into Arrow shards; the same call again goes on, or finds it done.

    Args:
        corpus: files, globs, folders, URLs.
        out: the folder of the prepared corpus.
        tokenizer: cuts the sentences; or how one is trained on the corpus. It is kept in `out/tokenizer`.
        config: how the files are read, and the held-out share.
        seed: of the documents' order in and over the shards.
        shard_tokens: about how many tokens a shard has.
        cleaning: what is left out; its account stands in the manifest.
        reporter: told of progress and of what was left out.

    Raises:
        CorpusError: a broken input, no document at all, or none left to train on.
        ConfigError: shards of less than 1000 tokens.
        PreparedCorpusError: `out` holds a corpus made from something else.
        DiskFullError: no room; what is finished is kept.
    """
    if shard_tokens < LEAST_SHARD_TOKENS:
        raise ConfigError(f"shard_tokens is {shard_tokens}; a shard has at least {LEAST_SHARD_TOKENS} tokens")
    sources = list_sources(corpus)
    made_from = _made_from(sources, tokenizer, config, seed, shard_tokens)
    if cleaned := cleaning.made_from():
        made_from["cleaning"] = cleaned
    if is_prepared(out):
        done = open_corpus(out)
        _check_same(out, done.manifest["made_from"], made_from)
        shutil.rmtree(out / "building", ignore_errors=True)  # of a build that was killed after its last word
        reporter.say(f"{out} is prepared already: {_summary(done)}")
        return done
    building = out / "building"
    with locked(out, building / "lock"):
        prepared = _Build(corpus, out, sources, made_from, config, cleaning, reporter).run(tokenizer)
    reporter.say(f"prepared {out}: {_summary(prepared)}")
    return prepared


@dataclass(frozen=True)
class _Build:
    """A folder on its way to a prepared corpus."""

    corpus: Sequence[str]
    out: Path
    sources: list[Source]
    made_from: dict[str, Any]
    config: CorpusConfig
    cleaning: Cleaning
    reporter: Reporter

    @property
    def building(self) -> Path:
        return self.out / "building"

    def run(self, tokenizer: WordPiece | TokenizerConfig) -> PreparedCorpus:
        """Begin the folder, or go on with what a stopped build has left."""
        _begin(self.building, self.out, self.made_from)
        groups = group_sources(self.sources)
        cleaned = self._clean(groups)
        pieces = self._tokenizer(tokenizer, cleaned)
        skipped = self._tokenize(groups, cleaned)
        units = sorted(self.building.glob("unit-*.arrow"))
        if not units:
            raise no_document(self.sources, skipped)
        dealt = deal(
            units,
            self.out,
            held_out_share=self.config.held_out_share,
            shard_tokens=self.made_from["shard_tokens"],
            vocab_size=pieces.vocab_size,
            reporter=self.reporter,
        )
        account = {"cleaning": cleaned.account} if cleaned else {}
        _write_manifest(self.out, dealt, self.made_from, pieces, skipped, account)
        shutil.rmtree(self.building)
        return open_corpus(self.out)

    def _clean(self, groups: list[list[Source]]) -> Cleaned | None:
        if not self.cleaning.made_from():
            return None
        return clean_corpus(groups, self.building, cleaning=self.cleaning, reading=self.config, reporter=self.reporter)

    def _tokenizer(self, given: WordPiece | TokenizerConfig, cleaned: Cleaned | None) -> WordPiece:
        """What a stopped build has left (`_begin` saw to it that it is the same), the given, or a new one."""
        folder = self.out / "tokenizer"
        if (folder / "tokenizer.json").exists():
            return WordPiece.load(folder)
        if isinstance(given, TokenizerConfig):
            given = train_tokenizer(
                self.corpus,
                config=given,
                corpus_config=self.config,
                reporter=self.reporter,
                texts_of=cleaned.texts if cleaned else as_read,
            )
        given.save(folder)
        return given

    def _tokenize(self, groups: list[list[Source]], cleaned: Cleaned | None) -> list[BadInput]:
        """Make every unit that is not there yet."""
        total = plain_megabytes(self.sources)
        reading = Reading()
        arguments = [str(self.out / "tokenizer"), self.config.language, str(self.made_from["seed"]), str(self.building)]
        with (
            self.reporter.track("tokenizing", total=total, unit="MB") as track,
            Workers("bertsmith.data.tokenize_unit", arguments, self.config.workers or os.cpu_count() or 1) as workers,
        ):
            units = read_units(groups, self.config, reading, track)
            for _ in workers.run(_jobs(units, self.building, cleaned)):
                pass
        warn_of_skipped(reading.skipped, self.reporter)
        return reading.skipped


def _jobs(units: Iterable[Unit], building: Path, cleaned: Cleaned | None) -> Iterator[Job]:
    """The units that are to be made."""
    for unit in units:
        path = unit.path(building, "unit")
        if not path.exists():
            parts = cleaned.job(unit) if cleaned else {"texts": unit.texts, "sources": unit.sources}
            yield {"path": str(path), **parts}


def _write_manifest(
    out: Path,
    dealt: Dealt,
    made_from: dict[str, Any],
    tokenizer: WordPiece,
    skipped: list[BadInput],
    account: dict[str, Any],
) -> None:
    """The last thing to be written: with it the corpus is finished."""
    with atomic_path(out / "token_counts.npy") as beside, beside.open("wb") as file:
        np.save(file, dealt.token_counts, allow_pickle=False)
    shards = as_columns(dealt.entries)
    manifest = {
        "format_version": FORMAT_VERSION,
        "fingerprint": _fingerprint([shards, tokenizer.fingerprint]),
        "tokenizer": tokenizer.fingerprint,
        "made_from": made_from,
        "counts": {name: sum(shards[name]) for name in ("documents", "sentences", "tokens")},
        "skipped": [asdict(bad) for bad in skipped],
        **account,
        "shards": shards,
    }
    write_json(out / "manifest.json", manifest)


def _made_from(
    sources: list[Source],
    tokenizer: WordPiece | TokenizerConfig,
    config: CorpusConfig,
    seed: int,
    shard_tokens: int,
) -> dict[str, Any]:
    """Everything that the shards depend on, as plain JSON values."""
    return {
        "tokenizer": tokenizer.model_dump() if isinstance(tokenizer, TokenizerConfig) else tokenizer.fingerprint,
        # What was finished under "stop" is the same under "skip".
        "options": config.model_dump(exclude={"workers", "on_bad_input"}),
        "seed": seed,
        "shard_tokens": shard_tokens,
        "sources": {source.url: source.fingerprint for source in sources},
    }


def _check_same(out: Path, was: dict[str, Any], now: dict[str, Any]) -> None:
    changes = list(_changes(was, now))
    if changes:
        raise PreparedCorpusError(
            f"{out} holds a corpus made from something else:\n  "
            + "\n  ".join(changes)
            + "\nRestore what it was made from, or choose another folder."
        )


def _changes(was: dict[str, Any], now: dict[str, Any], name: str = "") -> Iterator[str]:
    """One line for each value that differs."""
    for key in sorted({*was, *now}):
        before, after = was.get(key), now.get(key)
        if dict in (type(before), type(after)) and {type(before), type(after)} <= {dict, NoneType}:
            yield from _changes(before or {}, after or {}, key)
        elif before != after and name == "sources":
            yield f"source {key} " + ("is new" if before is None else "is gone" if after is None else "has changed")
        elif before != after:
            yield f"{key} was {before}, now {after}"


def _begin(building: Path, out: Path, made_from: dict[str, Any]) -> None:
    """Make the folder of an unfinished build, or check that the one that is there is of the same corpus.

    While no unit is finished nothing is lost: a mistake in the words of the first try is forgiven.
    """
    record = building / "made-from.json"
    was = json.loads(record.read_text(encoding="utf-8")) if record.exists() else None
    if was is not None and any(building.glob("unit-*.arrow")):
        _check_same(out, was, made_from)
    elif was != made_from:
        shutil.rmtree(out / "tokenizer", ignore_errors=True)
        for split in ("train", "held-out"):
            for shard in out.glob(f"{split}-*.arrow"):
                shard.unlink()
        for stale in [*building.glob("*.arrow"), *building.glob("*.npy")]:  # of another cleaning
            stale.unlink()
        building.mkdir(parents=True, exist_ok=True)
        write_json(record, made_from)


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _summary(corpus: PreparedCorpus) -> str:
    held_out = corpus.documents("held-out")
    return (
        f"{corpus.documents('train'):,} documents, {corpus.tokens('train'):,} tokens "
        f"in {len(corpus.of('train'))} shard(s); {held_out:,} documents held out"
    )
