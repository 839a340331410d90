"""Cleaning a corpus: its lines are counted, its documents surveyed, both by an engine, and then decided on.

Each pass reads the text once and leaves a small file a unit in `building/`, so that a stopped build goes on. What is
decided depends on the text and its order alone, never on the engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bertsmith.cleaning_config import CleaningConfig
from bertsmith.config import CorpusConfig
from bertsmith.data.cleaning.counts import count_steps, in_words
from bertsmith.data.cleaning.decide import boilerplate_of, decide, per_unit
from bertsmith.data.cleaning.survey import KEPT, clean, read_boilerplate
from bertsmith.data.engines import Engine, Work
from bertsmith.data.shards import open_batch
from bertsmith.data.units import Group, Reading, Unit, read_units
from bertsmith.data.workers import Job
from bertsmith.errors import ConfigError, CorpusError, PreparedCorpusError
from bertsmith.files import atomic_path
from bertsmith.progress import Reporter
from bertsmith.text.corpus import Document
from bertsmith.text.train import plain_megabytes

_LABELS = {"lines": "counting lines", "survey": "looking for what to clean"}


@dataclass(frozen=True)
class LanguageFilter:
    """Which languages are kept.

    Attributes:
        language_of: tells a document's language; called once for each, in this process, so that it may be any function.
        keep: what it says of documents that are kept.
    """

    language_of: Callable[[str], str]
    keep: frozenset[str]

    def foreign(self, unit: Unit) -> list[int]:
        """The documents of a unit that are not kept.

        Raises:
            ConfigError: the user's function fails; the file is named.
        """
        found = []
        for index, text in enumerate(unit.texts):
            try:
                language = self.language_of(text)
            except Exception as error:
                raise ConfigError(
                    f"{unit.sources[index]}: language_of fails on the document that begins {text[:60]!r} ({error!r}). "
                    "It has to return a language for any text."
                ) from error
            if language not in self.keep:
                found.append(index)
        return found


def language_filter(language_of: Callable[[str], str] | None, keep: Sequence[str]) -> LanguageFilter | None:
    """The filter that a user asks for; None for none.

    Raises:
        ConfigError: one half of it without the other.
    """
    if language_of and keep:
        return LanguageFilter(language_of, frozenset([keep] if isinstance(keep, str) else keep))
    if language_of or keep:
        raise ConfigError(
            'language_of (a function that tells the language of a text) and keep_languages (such as ["de"]) belong '
            "together: give both."
        )
    return None


@dataclass(frozen=True)
class Cleaning:
    """What is asked for; nothing by default."""

    config: CleaningConfig = field(default_factory=CleaningConfig)
    language: LanguageFilter | None = None

    def made_from(self) -> dict[str, Any]:
        """What the prepared corpus depends on, as plain JSON values; empty where nothing is cleaned."""
        values = self.config.chosen()
        if self.language:
            by = self.language.language_of
            name = getattr(by, "__qualname__", type(by).__qualname__)
            values |= {
                "keep_languages": sorted(self.language.keep),
                "language_of": f"{getattr(by, '__module__', '')}:{name}",
            }
        return values


class Cleaned:
    """What was decided, as the later readers of the same text need it."""

    def __init__(self, folder: Path, surveys: Sequence[Path], config: CleaningConfig) -> None:
        batches = [open_batch(path) for path in surveys]
        fates = decide(batches, config).fates
        parts = list(per_unit(fates, [len(batch) for batch in batches]))
        names = [path.stem.removeprefix("survey-") for path in surveys]
        mended = [batch.column("mended").to_numpy(zero_copy_only=False) for batch in batches]
        self._units = {name: (fate == KEPT, mend) for name, fate, mend in zip(names, parts, mended, strict=True)}
        self._boilerplate = read_boilerplate(folder)
        self.account = count_steps(batches, parts)

    def job(self, unit: Unit) -> Job:
        """What `tokenize_unit` is told of a unit: the documents that are kept, and which of them to mend.

        Raises:
            PreparedCorpusError: the text is not the one that was surveyed.
        """
        kept, mended = self._units.get(unit.name, ((), ()))
        if len(kept) != len(unit.texts):
            raise _changed(unit.sources[0])
        chosen = np.flatnonzero(kept)
        return {
            "texts": [unit.texts[index] for index in chosen],
            "sources": [unit.sources[index] for index in chosen],
            "mended": np.flatnonzero(np.asarray(mended)[chosen]).tolist(),
        }

    def texts(self, documents: Iterable[Document]) -> Iterator[str]:
        """The cleaned texts of the whole corpus, from its documents as they are read."""
        marks = ((bool(keep), bool(mend)) for unit in self._units.values() for keep, mend in zip(*unit, strict=True))
        for document in documents:
            keep, mended = next(marks, (None, False))
            if keep is None:
                raise _changed(document.source)
            if keep:
                yield clean(document.text, self._boilerplate, mended=mended)


def clean_corpus(
    groups: Sequence[Group],
    building: Path,
    *,
    cleaning: Cleaning,
    reading: CorpusConfig,
    engine: Engine,
    reporter: Reporter,
) -> Cleaned | None:
    """Survey a corpus and decide what is left out of it; what a stopped build has left is used.

    Args:
        groups: the sources, as `read_units` takes them.
        building: the folder of the unfinished build.
        cleaning: what is asked for.
        reading: how the files are read.
        engine: does the work.
        reporter: told of progress and of what is left out.

    Returns:
        None where there is no document at all.

    Raises:
        CorpusError: a broken input; or nothing is left of the corpus.
    """
    more_than = cleaning.config.drop_boilerplate_lines
    passes = _Passes(groups, building, cleaning, reading, engine, reporter)
    if more_than and not (building / "boilerplate.npy").exists():
        hashes = boilerplate_of([open_batch(path) for path in passes.run("lines")], more_than)
        with atomic_path(building / "boilerplate.npy") as beside, beside.open("wb") as file:
            np.save(file, hashes, allow_pickle=False)
    surveys = passes.run("survey")
    if not surveys:
        return None
    cleaned = Cleaned(building, surveys, cleaning.config)
    reporter.say(f"cleaning: {in_words(cleaned.account)}")
    if not cleaned.account["kept"]["documents"]:
        raise CorpusError(
            f"cleaning leaves nothing of the corpus: {in_words(cleaned.account)}. Ask for less of it; "
            "--preview-cleaning shows what would go, and why."
        )
    return cleaned


@dataclass(frozen=True)
class _Passes:
    """Passes over the corpus, each of which leaves a file a unit."""

    groups: Sequence[Group]
    building: Path
    cleaning: Cleaning
    reading: CorpusConfig
    engine: Engine
    reporter: Reporter

    def run(self, what: str) -> list[Path]:
        """Make the file of every unit that has none yet; all of them, in the order of the units."""
        total = plain_megabytes([source for _, group in self.groups for source in group])
        options = (json.dumps(self.cleaning.config.model_dump()),)
        work = Work("bertsmith.data.cleaning.survey", options, self.building, ("boilerplate.npy",))
        paths: list[Path] = []
        with self.reporter.track(_LABELS[what], total=total, unit="MB") as track:
            units = read_units(self.groups, self.reading, Reading(), track)
            for _ in self.engine.run(work, self._jobs(what, units, paths)):
                pass
        return paths

    def _jobs(self, what: str, units: Iterable[Unit], paths: list[Path]) -> Iterator[Job]:
        language = self.cleaning.language if what == "survey" else None
        for unit in units:
            path = unit.path(self.building, what)
            paths.append(path)
            if not path.exists():
                foreign = language.foreign(unit) if language else []
                yield {"what": what, "path": str(path), "texts": unit.texts, "foreign": foreign}


def _changed(source: str) -> PreparedCorpusError:
    return PreparedCorpusError(
        f"{source}: the text has changed while it was being prepared. Leave the files as they are, and prepare them "
        "into another folder."
    )
