"""Raw text -> a prepared corpus in a folder or behind a URL; what is made of it, and whether it is made already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data.build import Build
from bertsmith.data.cleaning.passes import Cleaning
from bertsmith.data.engines import engine_of
from bertsmith.data.made_from import check_same, made_from
from bertsmith.data.output import BUILDING, output_of
from bertsmith.data.remote_corpus import is_prepared_place, open_place
from bertsmith.data.shards import PreparedCorpus
from bertsmith.data.units import Group, cut_parts, group_sources
from bertsmith.files import locked
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Reporter
from bertsmith.text.corpus import list_sources, look_for_text
from bertsmith.text.sources import Source
from bertsmith.text.wordpiece import WordPiece

NO_CLEANING = Cleaning()


def prepare_corpus(
    corpus: Sequence[str],
    out: str | Path,
    *,
    tokenizer: WordPiece | TokenizerConfig,
    config: CorpusConfig,
    seed: int,
    making: PrepareConfig = PrepareConfig(),
    cleaning: Cleaning = NO_CLEANING,
    reporter: Reporter,
) -> PreparedCorpus:
    """Tokenize a corpus into Arrow shards; the same call again goes on, or finds it done.

    Args:
        corpus: files, globs, folders, URLs.
        out: the folder of the prepared corpus, or its URL.
        tokenizer: cuts the sentences; or how one is trained on the corpus. It is kept in `out/tokenizer`.
        config: how the files are read, and the held-out share.
        seed: of the documents' order in and over the shards.
        making: the size of shards, and who does the work.
        cleaning: what is left out; its account stands in the manifest.
        reporter: told of progress and of what was left out.

    Raises:
        CorpusError: a broken input, no document at all, or none left to train on.
        ConfigError: Ray, or what the URL needs, is not installed.
        ConfigError: `out` holds files that are no corpus's, of names that it would give.
        PreparedCorpusError: `out` holds a corpus made from something else.
        DiskFullError: no room; what is finished is kept.
        StoreError: the store behind the URL fails; what is finished is kept.
    """
    sources = list_sources(corpus)
    parts = cut_parts(group_sources(sources), making.part_gb * 1e9, seed)
    wanted = _wanted(sources, parts, tokenizer, config, seed, making, cleaning)
    output = output_of(out, Path(making.staging) if making.staging else None)
    done = is_prepared_place(output.place)
    if not done:
        look_for_text(corpus, config)
        with locked(output.place, output.folder / BUILDING / "lock"):
            if not is_prepared_place(output.place):  # another process may have come to its end before it was locked
                with engine_of(making.engine, config.workers) as engine:
                    build = Build(corpus, sources, wanted, output, engine, config, making, cleaning, reporter)
                    build.run(tokenizer, parts)
    prepared = open_place(output.place)
    check_same(output.place, prepared.manifest["made_from"], wanted)
    output.close()  # also of a build that was killed after its last word
    reporter.say(
        f"{output.place} is prepared already: {_summary(prepared)}"
        if done
        else f"prepared {output.place}: {_summary(prepared)}"
    )
    return prepared


def _wanted(
    sources: list[Source],
    parts: list[list[Group]],
    tokenizer: WordPiece | TokenizerConfig,
    config: CorpusConfig,
    seed: int,
    making: PrepareConfig,
    cleaning: Cleaning,
) -> dict[str, Any]:
    """Everything that the shards depend on."""
    values = made_from(sources, tokenizer, config, seed=seed, shard_tokens=making.shard_tokens)
    if len(parts) > 1:
        values["part_gb"] = making.part_gb
    if cleaned := cleaning.made_from():
        values["cleaning"] = cleaned
    return values


def _summary(corpus: PreparedCorpus) -> str:
    held_out = corpus.documents("held-out")
    return (
        f"{corpus.documents('train'):,} documents, {corpus.tokens('train'):,} tokens "
        f"in {len(corpus.of('train'))} shard(s); {held_out:,} documents held out"
    )
