"""What cleaning would do to a sample of a corpus, with examples; nothing is written."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertsmith.config import CorpusConfig
from bertsmith.data.cleaning.counts import DROPS, LINES, MENDED, NAMES, count_steps
from bertsmith.data.cleaning.decide import Decision, Indices, boilerplate_of, decide
from bertsmith.data.cleaning.passes import Cleaning
from bertsmith.data.cleaning.survey import count_lines, survey
from bertsmith.data.sample import sample_documents
from bertsmith.data.units import Unit
from bertsmith.text.cleaning.lines import lines_of, without_lines
from bertsmith.text.cleaning.mending import mend

EXAMPLES = 3
CLIP_CHARACTERS = 160


@dataclass(frozen=True)
class Example:
    """One document, or line, that would go or change.

    Attributes:
        step: what would do it, in words.
        source: URL of its file.
        text: it, or its beginning.
        beside: the document of which it is a duplicate, or what becomes of it; empty where it only goes.
    """

    step: str
    source: str
    text: str
    beside: str = ""


@dataclass(frozen=True)
class Preview:
    """The account of a sample, as the manifest has it of a corpus, and examples of every step."""

    account: dict[str, Any]
    examples: list[Example]


def preview_cleaning(corpus: Sequence[str], *, cleaning: Cleaning, reading: CorpusConfig, documents: int) -> Preview:
    """Clean a sample, see `sample_documents`. Repeated lines and duplicates are fewer in it than in the whole corpus.

    Args:
        corpus: files, globs, folders, URLs.
        cleaning: what is asked for.
        reading: how the files are read.
        documents: how many.

    Raises:
        CorpusError: a broken input, or no document at all.
    """
    sample = sample_documents(corpus, reading, documents)
    more_than = cleaning.config.drop_boilerplate_lines
    hashes = boilerplate_of([count_lines(sample.texts)], more_than) if more_than else np.empty(0, np.uint64)
    boilerplate = {value.tobytes() for value in hashes}
    foreign = cleaning.language.foreign(sample) if cleaning.language else []
    batch = survey(sample.texts, foreign, cleaning.config, boilerplate)
    decision = decide([batch], cleaning.config)
    examples = _lines(sample, boilerplate)
    examples += _mended(sample, boilerplate, np.flatnonzero(batch.column("mended").to_numpy(zero_copy_only=False)))
    return Preview(count_steps([batch], [decision.fates]), examples + _dropped(sample, decision))


def _lines(sample: Unit, boilerplate: set[bytes]) -> list[Example]:
    seen: dict[str, str] = {}
    for text, source in zip(sample.texts, sample.sources, strict=True):
        if boilerplate and len(seen) < EXAMPLES:
            seen |= {line: source for line in lines_of(text, boilerplate) if line not in seen}
    return [Example(NAMES[LINES], source, _clip(line)) for line, source in itertools.islice(seen.items(), EXAMPLES)]


def _mended(sample: Unit, boilerplate: set[bytes], changed: Indices) -> list[Example]:
    found = []
    for index in changed[:EXAMPLES]:
        text, _ = without_lines(sample.texts[index], boilerplate)
        mended = mend(text)
        same = next((place for place, (a, b) in enumerate(zip(text, mended, strict=False)) if a != b), 0)
        start = max(0, same - CLIP_CHARACTERS // 4)
        found.append(Example(NAMES[MENDED], sample.sources[index], _clip(text[start:]), _clip(mended[start:])))
    return found


def _dropped(sample: Unit, decision: Decision) -> list[Example]:
    found = []
    for name, fate in DROPS.items():
        for index in np.flatnonzero(decision.fates == fate)[:EXAMPLES]:
            like = int(decision.like[index])
            beside = _clip(sample.texts[like]) if like >= 0 else ""
            found.append(Example(NAMES[name], sample.sources[index], _clip(sample.texts[index]), beside))
    return found


def _clip(text: str) -> str:
    joined = " ".join(text[: 4 * CLIP_CHARACTERS].split())
    return joined if len(joined) <= CLIP_CHARACTERS else joined[: CLIP_CHARACTERS - 1] + "…"
