"""Raw text -> a prepared corpus: documents are tokenized by several processes, then dealt to shards.

A build that was stopped goes on: finished units lie in `building/`, and `building/made-from.json` says of what.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data.deal import Dealt, deal
from bertsmith.data.shards import FORMAT_VERSION, PreparedCorpus, as_columns, is_prepared, open_corpus
from bertsmith.data.workers import Job, Workers
from bertsmith.errors import ConfigError, PreparedCorpusError
from bertsmith.files import atomic_path, locked, write_json
from bertsmith.progress import Reporter, Track
from bertsmith.text.corpus import list_sources, no_document, read_documents
from bertsmith.text.sources import Source
from bertsmith.text.streams import BadInput
from bertsmith.text.train import plain_megabytes, train_tokenizer
from bertsmith.text.wordpiece import WordPiece

SHARD_TOKENS = 4_000_000
LEAST_SHARD_TOKENS = 1000
UNIT_BYTES = 4_000_000


def prepare_corpus(
    corpus: Sequence[str],
    out: Path,
    *,
    tokenizer: WordPiece | TokenizerConfig,
    config: CorpusConfig,
    seed: int,
    shard_tokens: int = SHARD_TOKENS,
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
    if is_prepared(out):
        done = open_corpus(out)
        _check_same(out, done.manifest["made_from"], made_from)
        shutil.rmtree(out / "building", ignore_errors=True)  # of a build that was killed after its last word
        reporter.say(f"{out} is prepared already: {_summary(done)}")
        return done
    building = out / "building"
    with locked(out, building / "lock"):
        return _build(corpus, out, sources, made_from, tokenizer, config, reporter)


def _build(
    corpus: Sequence[str],
    out: Path,
    sources: list[Source],
    made_from: dict[str, Any],
    tokenizer: WordPiece | TokenizerConfig,
    config: CorpusConfig,
    reporter: Reporter,
) -> PreparedCorpus:
    """Begin the folder, or go on with what a stopped build has left."""
    building = out / "building"
    _begin(building, out, made_from)
    pieces = _tokenizer(out / "tokenizer", tokenizer, corpus, config, reporter)
    arguments = [str(out / "tokenizer"), config.language, str(made_from["seed"])]
    skipped = _tokenize(_groups(sources), building, arguments, config, reporter)
    units = sorted(building.glob("unit-*.arrow"))
    if not units:
        raise no_document(sources, skipped)
    dealt = deal(
        units,
        out,
        held_out_share=config.held_out_share,
        shard_tokens=made_from["shard_tokens"],
        vocab_size=pieces.vocab_size,
        reporter=reporter,
    )
    _write_manifest(out, dealt, made_from, pieces, skipped)
    shutil.rmtree(building)
    prepared = open_corpus(out)
    reporter.say(f"prepared {out}: {_summary(prepared)}")
    return prepared


def _tokenizer(
    folder: Path,
    given: WordPiece | TokenizerConfig,
    corpus: Sequence[str],
    config: CorpusConfig,
    reporter: Reporter,
) -> WordPiece:
    """The tokenizer that a stopped build has left (`_begin` saw to it that it is the same), the given, or a new one."""
    if (folder / "tokenizer.json").exists():
        return WordPiece.load(folder)
    if isinstance(given, TokenizerConfig):
        given = train_tokenizer(corpus, config=given, corpus_config=config, reporter=reporter)
    given.save(folder)
    return given


def _write_manifest(
    out: Path, dealt: Dealt, made_from: dict[str, Any], tokenizer: WordPiece, skipped: list[BadInput]
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
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _changes(before, after, key)
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
        building.mkdir(parents=True, exist_ok=True)
        write_json(record, made_from)


def _groups(sources: list[Source]) -> list[list[Source]]:
    """Neighbouring small files together, so that a folder of a million notes makes no million units."""
    groups: list[list[Source]] = []
    room = 0
    for source in sources:
        size = source.size_bytes or UNIT_BYTES
        if size > room:
            groups.append([])
            room = UNIT_BYTES
        groups[-1].append(source)
        room -= size
    return groups


@dataclass
class _Reading:
    """What the reader has come across so far."""

    skipped: list[BadInput] = field(default_factory=list)
    read_bytes: int = 0


def _tokenize(
    groups: list[list[Source]],
    building: Path,
    arguments: list[str],
    config: CorpusConfig,
    reporter: Reporter,
) -> list[BadInput]:
    """Make every unit that is not there yet."""
    total = plain_megabytes([source for group in groups for source in group])
    reading = _Reading()
    count = config.workers or os.cpu_count() or 1
    with (
        reporter.track("tokenizing", total=total, unit="MB") as track,
        Workers("bertsmith.data.tokenize_unit", arguments, count) as workers,
    ):
        for _ in workers.run(_jobs(groups, building, config, reading, track)):
            pass
    if reading.skipped:
        places = "\n  ".join(f"{bad.source}, {bad.place}: {bad.reason}" for bad in reading.skipped[:20])
        more = f"\n  … and {len(reading.skipped) - 20} more" if len(reading.skipped) > 20 else ""
        count = sum(bad.count for bad in reading.skipped)
        reporter.warn(f"{count} broken inputs were left out:\n  {places}{more}")
    return reading.skipped


def _jobs(
    groups: list[list[Source]], building: Path, config: CorpusConfig, reading: _Reading, track: Track
) -> Iterator[Job]:
    """The units to make: runs of documents of about `UNIT_BYTES`, never across two groups."""
    for index, group in enumerate(groups):
        for piece, (texts, sources) in enumerate(_units(group, config, reading, track)):
            path = building / f"unit-{index:06d}-{piece:06d}.arrow"
            if not path.exists():
                yield {"path": str(path), "texts": texts, "sources": sources}


def _units(
    group: list[Source], config: CorpusConfig, reading: _Reading, track: Track
) -> Iterator[tuple[list[str], list[str]]]:
    texts: list[str] = []
    sources: list[str] = []
    size = 0
    for source in group:
        for document in read_documents(source, config, skipped=reading.skipped):
            texts.append(document.text)
            sources.append(document.source)
            size += len(document.text) if document.text.isascii() else len(document.text.encode(errors="replace"))
            if size >= UNIT_BYTES:
                yield texts, sources
                reading.read_bytes += size
                track.update(reading.read_bytes / 1e6)
                texts, sources, size = [], [], 0
    if texts:
        yield texts, sources
        reading.read_bytes += size
        track.update(reading.read_bytes / 1e6)


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _summary(corpus: PreparedCorpus) -> str:
    held_out = corpus.documents("held-out")
    return (
        f"{corpus.documents('train'):,} documents, {corpus.tokens('train'):,} tokens "
        f"in {len(corpus.of('train'))} shard(s); {held_out:,} documents held out"
    )
