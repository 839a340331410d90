"""A folder on its way to a prepared corpus, part by part: text -> units -> shards, which may leave the disk.

A build that was stopped goes on: finished parts have a record in `building/`, finished units of the part at hand lie
beside it, and `building/made-from.json` says of what. Few files of a corpus larger than any disk are here at a time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data.cleaning.passes import Cleaned, Cleaning, clean_corpus
from bertsmith.data.deal import Dealt, Hand, deal
from bertsmith.data.engines import Engine, Work
from bertsmith.data.made_from import check_same, fingerprint
from bertsmith.data.output import BUILDING, RECORD, Output, refuse_foreign
from bertsmith.data.shards import FORMAT_VERSION, INDEX, ShardEntry, ShardIndex, Split
from bertsmith.data.units import Group, Reading, Unit, group_sources, read_units, warn_of_skipped
from bertsmith.data.workers import Job
from bertsmith.errors import CorpusError
from bertsmith.files import atomic_path, crc32_of, sealed, write_json
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Reporter
from bertsmith.text.corpus import no_document
from bertsmith.text.sources import Source
from bertsmith.text.streams import BadInput
from bertsmith.text.train import as_read, plain_megabytes, train_tokenizer
from bertsmith.text.wordpiece import WordPiece

SPLITS: tuple[Split, ...] = ("train", "held-out")
_TOKENIZER = ("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json")


@dataclass(frozen=True)
class Part:
    """What was made of a part of the text."""

    dealt: Dealt
    skipped: list[BadInput]

    @classmethod
    def read(cls, path: Path) -> Part:
        """From its record."""
        value = json.loads(path.read_text(encoding="utf-8"))
        entries = [ShardEntry(*entry) for entry in value["shards"]]
        skipped = [BadInput(**bad) for bad in value["skipped"]]
        return cls(Dealt(entries, np.array(value["token_counts"], np.int64)), skipped)

    def write(self, path: Path) -> None:
        """As a record."""
        skipped = [asdict(bad) for bad in self.skipped]
        counts = self.dealt.token_counts.tolist()
        write_json(path, {"shards": self.dealt.entries, "skipped": skipped, "token_counts": counts}, indent=None)


@dataclass(frozen=True)
class Build:
    """Everything that a build is given."""

    corpus: Sequence[str]
    sources: list[Source]
    made_from: dict[str, Any]
    output: Output
    engine: Engine
    config: CorpusConfig
    making: PrepareConfig
    cleaning: Cleaning
    reporter: Reporter

    @property
    def folder(self) -> Path:
        """Where files are made."""
        return self.output.folder

    @property
    def building(self) -> Path:
        """What is unfinished."""
        return self.folder / BUILDING

    def run(self, tokenizer: WordPiece | TokenizerConfig, parts: list[list[Group]]) -> None:
        """Begin the folder, or go on with what a stopped build has left."""
        self._begin()
        cleaned = self._clean()
        pieces = self._tokenizer(tokenizer, cleaned)
        done: list[Part] = []
        for number, groups in enumerate(parts):
            done.append(self._part(number, groups, pieces, cleaned, done, alone=len(parts) == 1))
        self._finish(done, pieces, cleaned)

    def _begin(self) -> None:
        """Make the folder of an unfinished build, or check that the one that is there is of the same corpus.

        While no unit is finished nothing is lost: a mistake in the words of the first try is forgiven.

        Raises:
            ConfigError: no build was begun there, and something of the names that one gives is there.
        """
        self.output.recall()
        record = self.folder / RECORD
        was = json.loads(record.read_text(encoding="utf-8")) if record.exists() else None
        if was is None:
            refuse_foreign(self.output)
        if was is not None and (any(self.building.glob("unit-*.arrow")) or any(self.building.glob("part-*.json"))):
            check_same(self.output.place, was, self.made_from)
        elif was != self.made_from:
            shutil.rmtree(self.folder / "tokenizer", ignore_errors=True)
            for stale in [*self.building.glob("*.arrow"), *self.building.glob("*.npy")]:  # of another cleaning
                stale.unlink()
            self.output.forget()
            write_json(record, self.made_from)
            self.output.deliver(RECORD)

    def _clean(self) -> Cleaned | None:
        if not self.cleaning.made_from():
            return None
        return clean_corpus(
            group_sources(self.sources),
            self.building,
            cleaning=self.cleaning,
            reading=self.config,
            engine=self.engine,
            reporter=self.reporter,
        )

    def _tokenizer(self, given: WordPiece | TokenizerConfig, cleaned: Cleaned | None) -> WordPiece:
        """What a stopped build has left (`_begin` saw to it that it is the same), the given, or a new one."""
        folder = self.folder / "tokenizer"
        if (folder / "tokenizer.json").exists():
            found = WordPiece.load(folder)
        else:
            found = given if isinstance(given, WordPiece) else self._train(given, cleaned)
            found.save(folder)
        for path in sorted(folder.iterdir()):
            self.output.deliver(f"tokenizer/{path.name}")
        return found

    def _train(self, config: TokenizerConfig, cleaned: Cleaned | None) -> WordPiece:
        return train_tokenizer(
            self.corpus,
            config=config,
            corpus_config=self.config,
            reporter=self.reporter,
            texts_of=cleaned.texts if cleaned else as_read,
        )

    def _part(
        self,
        number: int,
        groups: list[Group],
        tokenizer: WordPiece,
        cleaned: Cleaned | None,
        before: list[Part],
        *,
        alone: bool,
    ) -> Part:
        """Make the shards of a part, if its record is not there."""
        name = f"part-{number:06d}.json"
        if (self.building / name).exists():
            return Part.read(self.building / name)
        skipped = self._tokenize(groups, cleaned)
        units = self._units(groups)
        hand = Hand(
            held_out_share=self.config.held_out_share,
            at_least_one=alone,
            shard_tokens=self.making.shard_tokens,
            vocab_size=tokenizer.vocab_size,
            first={split: _next_number(before, split) for split in SPLITS},
        )
        dealt = Dealt([], np.zeros(tokenizer.vocab_size, np.int64))
        if units:
            dealt = deal(units, self.folder, hand, deliver=self._deliver_shard, reporter=self.reporter)
        part = Part(dealt, skipped)
        self.output.settle()
        if not alone:
            part.write(self.building / name)
            self.output.deliver(f"{BUILDING}/{name}")
            for unit in units:
                unit.unlink()
        return part

    def _units(self, groups: list[Group]) -> list[Path]:
        """The units of a part; what a build that was killed has left of the one before is removed."""
        wanted = {f"{number:06d}" for number, _ in groups}
        found = sorted(self.building.glob("unit-*.arrow"))
        of_part = [path for path in found if path.name.split("-")[1] in wanted]
        for path in set(found) - set(of_part):
            path.unlink()
        return of_part

    def _deliver_shard(self, name: str) -> None:
        self.output.deliver(name, shard=True)

    def _tokenize(self, groups: list[Group], cleaned: Cleaned | None) -> list[BadInput]:
        """Make every unit that is not there yet."""
        total = plain_megabytes([source for _, sources in groups for source in sources])
        reading = Reading()
        options = (self.config.language, str(self.made_from["seed"]))
        files = (*_TOKENIZER, f"{BUILDING}/boilerplate.npy")
        work = Work("bertsmith.data.tokenize_unit", options, self.folder, files)
        with self.reporter.track("tokenizing", total=total, unit="MB") as track:
            units = read_units(groups, self.config, reading, track)
            for _ in self.engine.run(work, _jobs(units, self.building, cleaned)):
                pass
        warn_of_skipped(reading.skipped, self.reporter)
        return reading.skipped

    def _finish(self, parts: list[Part], tokenizer: WordPiece, cleaned: Cleaned | None) -> None:
        """Write what stands beside the shards; the manifest last: with it the corpus is finished."""
        skipped = [bad for part in parts for bad in part.skipped]
        entries = [entry for split in SPLITS for part in parts for entry in part.dealt.entries if entry.split == split]
        self._check(entries, skipped)
        self.output.check(entry.file for entry in entries)
        counts: NDArray[np.int64] = sum((part.dealt.token_counts for part in parts), np.zeros((), np.int64))
        with atomic_path(self.folder / "token_counts.npy") as beside, beside.open("wb") as file:
            np.save(file, counts, allow_pickle=False)
        index = ShardIndex.of(entries)
        index.write(self.folder / INDEX)
        shards = {name: [getattr(entry, name) for entry in entries] for name in ShardEntry._fields}
        manifest = {
            "format_version": FORMAT_VERSION,
            "fingerprint": fingerprint([shards, tokenizer.fingerprint]),
            "tokenizer": tokenizer.fingerprint,
            "index_crc32": crc32_of(self.folder / INDEX),
            "made_from": self.made_from,
            "counts": {name: sum(shards[name]) for name in ("documents", "sentences", "tokens")},
            "skipped": [asdict(bad) for bad in skipped],
            **({"cleaning": cleaned.account} if cleaned else {}),
        }
        write_json(self.folder / "manifest.json", sealed(manifest))
        for name in ("token_counts.npy", INDEX, "manifest.json"):
            self.output.deliver(name)
        self.output.close()

    def _check(self, entries: list[ShardEntry], skipped: list[BadInput]) -> None:
        if not entries:
            raise no_document(self.sources, skipped)
        if not any(entry.split == "train" for entry in entries):
            raise CorpusError(
                f"all documents would be held out, and none is left to train on. Lower --held-out-share "
                f"(it is {self.config.held_out_share:g}), or give more documents."
            )


def _next_number(parts: Sequence[Part], split: Split) -> int:
    """One after the last shard of a split; those that had no document are left out of the count as they are of disk."""
    names = [entry.file for part in parts for entry in part.dealt.entries if entry.split == split]
    return 1 + max((int(name.removesuffix(".arrow").rsplit("-", 1)[1]) for name in names), default=-1)


def _jobs(units: Iterable[Unit], building: Path, cleaned: Cleaned | None) -> Iterator[Job]:
    """The units that are to be made."""
    for unit in units:
        path = unit.path(building, "unit")
        if not path.exists():
            parts = cleaned.job(unit) if cleaned else {"texts": unit.texts, "sources": unit.sources}
            yield {"path": str(path), **parts}
