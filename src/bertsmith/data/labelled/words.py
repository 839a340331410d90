"""Words with tags (named entities, parts of speech), from files and Python objects -> strict BIO, or plain tags.

CoNLL columns, CoNLL-U, spans of characters (.jsonl), and tables with a list of words and one of tags.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from bertsmith.data.labelled.conll import looks_like_text, read_conll
from bertsmith.data.labelled.examples import Labelled, TaggedText
from bertsmith.data.labelled.labels import are_indices, named_labels
from bertsmith.data.labelled.rows import BadData, paths_of
from bertsmith.data.labelled.schemes import has_spans, span_type, strict_bio
from bertsmith.data.labelled.spans import split_words
from bertsmith.data.labelled.tagged import TaggedSentence
from bertsmith.data.labelled.tagged_rows import read_tagged_rows
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.sources import COMPRESSIONS, Source, list_sources
from bertsmith.text.streams import BadInput, BadInputs, read_lines

_CONLL_ENDINGS = (".conll", ".conllu", ".bio", ".iob", ".iob2")


def read_tagged(data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None) -> Labelled[TaggedText]:
    """Tagged sentences of files, which are one set, or of Python objects.

    Args:
        data: a path, glob, folder or URL, or several: .jsonl, .parquet and .csv are tables, .conllu is CoNLL-U, all
            others are CoNLL columns; or a list of TaggedText, of (words, tags) or of (text, spans), or what
            `read_tables` takes.
        config: `text_column` and `label_column` name columns: of a table; of CoNLL columns by number; of CoNLL-U
            "upos", "xpos" or a number.
        labels: the tags that there are; None to take them as they come.

    Raises:
        CorpusError: the first sentence that is broken; or there is none.
    """
    skipped: list[BadInput] = []
    notes: list[str] = []
    sentences = list(_sentences(data, config, skipped, notes, labelled=True))
    examples = _in_one_scheme(sentences, config, labels, notes)
    if not examples:
        raise CorpusError(
            f"{_shown(data)}: no tagged sentence{_left_out(skipped)}. A word and its tag on each line and blank lines "
            'between sentences, or {"text": …, "spans": [{"start": …, "end": …, "label": …}]} on each line of a .jsonl.'
        )
    return Labelled(examples, skipped, notes)


def stream_words(data: Any, config: LabelledConfig, skipped: list[BadInput], notes: list[str]) -> Iterator[TaggedText]:
    """Texts and their words to be tagged, one by one, in bounded memory; tags are not read.

    Args:
        data: as `read_tagged` takes it; a .txt may also hold a text a line.
        config: columns; what to do with what is broken.
        skipped, notes: what is left out, and what the user should know, are appended here on the way.

    Raises:
        CorpusError: a broken sentence, when it is reached; or there is none.
    """
    empty = True
    for sentence in _sentences(data, config, skipped, notes, labelled=False):
        empty = False
        yield TaggedText(sentence.text, sentence.words, None, sentence.place)
    if empty:
        raise CorpusError(
            f"{_shown(data)}: no text{_left_out(skipped)}. A text or a word on each line of a .txt, or a table with a "
            "column of texts."
        )


def _left_out(skipped: Sequence[BadInput]) -> str:
    return f" ({sum(each.count for each in skipped)} bad ones were left out)" if skipped else ""


def tagged_text(text: str, place: str = "") -> TaggedText:
    """A raw text cut into words, to be tagged."""
    return TaggedText(text, split_words(text), None, place)


def _in_one_scheme(
    sentences: Sequence[TaggedSentence], config: LabelledConfig, labels: tuple[str, ...] | None, notes: list[str]
) -> list[TaggedText]:
    """Examples with strict BIO or plain tags, of all sentences that have them and none that is not known."""
    named = named_labels(config)
    written = [each.tags or () for each in sentences]
    if named and are_indices(chain.from_iterable(written), named):
        names = dict(enumerate(named))
        written = [tuple(names.get(int(tag), tag) for tag in tags) for tags in written]
    elif labels is None and all(tag.isdecimal() for tag in chain.from_iterable(written)):
        notes.append("the tags are numbers; where they stand for names, give these in order: --labels O,B-PER,…")
    bio = strict_bio(written, spans=None if labels is None else has_spans(labels))
    notes += [bio.note] if bio.note else []
    known = _known(labels) if labels else _known(named) | {"O"} if named else set()
    examples = []
    for number, (sentence, tags) in enumerate(zip(sentences, bio.sentences, strict=True)):
        fault = bio.faults.get(number) or _unknown(tags, known)
        if fault:
            sentence.report(*fault)
        else:
            examples.append(TaggedText(sentence.text, sentence.words, tags, sentence.place))
    return examples


def _known(labels: tuple[str, ...]) -> set[str]:
    """What may stand in tags; of spans the types, since I-X is there wherever B-X is."""
    return {span_type(label) or label for label in labels} | ({"O"} if has_spans(labels) else set())


def _unknown(tags: Sequence[str], known: set[str]) -> tuple[int, str] | None:
    """The first tag that is not known, and what to say of it; where nothing is known, all may stand."""
    for word, tag in enumerate(tags if known else ()):
        label = span_type(tag) or tag
        if label not in known:
            some = ", ".join(sorted(known - {"O"})[:20]) + (", …" if len(known) > 21 else "")
            return word, f'label "{label}" is not one of {some}'
    return None


def _shown(data: Any) -> str:
    paths = paths_of(data)
    return ", ".join(paths[:3]) + (", …" if len(paths) > 3 else "") if paths else "the data"


# From data to sentences.


def _sentences(
    data: Any, config: LabelledConfig, skipped: list[BadInput], notes: list[str], *, labelled: bool
) -> Iterator[TaggedSentence]:
    paths = paths_of(data)
    if not paths:
        yield from _objects(data, config, skipped, notes, labelled=labelled)
    for source in _sources(paths):
        if source.format not in ("txt", "tsv"):
            yield from read_tagged_rows(source.url, config, skipped, notes, labelled=labelled)
        elif not labelled and ".txt" in source.url.lower() and looks_like_text(source, config):
            yield from _lines(source, BadInputs(source, config.on_bad_input, skipped))
        else:
            yield from read_conll(source, config, skipped, labelled=labelled)


def _lines(source: Source, bad: BadInputs) -> Iterator[TaggedSentence]:
    """A text a line."""
    for line in read_lines(source, bad):
        text = line.decode(bad)
        if text is not None and text.strip():
            place = f"line {line.number:,}"
            report = partial(_report, bad, place)
            yield TaggedSentence(text, split_words(text), None, bad.where(place), report)


def _report(bad: BadInputs, place: str, word: int | None, reason: str) -> None:
    bad.report(place, reason if word is None else f"word {word + 1}: {reason}")


def _sources(paths: Sequence[str]) -> list[Source]:
    """The files; of a folder those with an ending of CoNLL, where it has such."""
    named = []
    for path in paths:
        inside = sorted(str(each) for each in Path(path).rglob("*") if _is_conll(each)) if os.path.isdir(path) else []
        named += inside or [path]
    return list_sources(named) if named else []


def _is_conll(path: Path) -> bool:
    name = path.name.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return name.endswith(_CONLL_ENDINGS) and not name.startswith(".") and path.is_file()


def _objects(
    data: Any, config: LabelledConfig, skipped: list[BadInput], notes: list[str], *, labelled: bool
) -> Iterator[TaggedSentence]:
    first = data[0] if isinstance(data, list | tuple) and data else None
    if isinstance(first, TaggedText):
        yield from _checked(data, BadData(config, skipped), labelled=labelled)
    elif isinstance(first, list | tuple):
        config = config.but(text_column=None, label_column=None)
        rows = [_as_row(each, labelled) for each in data]
        yield from read_tagged_rows(rows, config, skipped, notes, labelled=labelled)
    else:
        yield from read_tagged_rows(data, config, skipped, notes, labelled=labelled)


def _checked(data: Iterable[TaggedText], bad: BadInputs, *, labelled: bool) -> Iterator[TaggedSentence]:
    for number, example in enumerate(data, 1):
        place = f"row {number:,}"
        report = partial(_report, bad, place)
        if labelled and (not example.tags or len(example.tags) != len(example.words)):
            report(None, f"{len(example.words)} words and {len(example.tags or ())} tags")
        else:
            yield TaggedSentence(example.text, example.words, example.tags, example.place or bad.where(place), report)


def _as_row(given: Sequence[Any], labelled: bool) -> dict[str, Any]:
    """(words, tags), (text, spans), spaCy's (text, {"entities": spans}), or only words, as a row of a table."""
    if not labelled and all(isinstance(each, str) for each in given):
        return {"tokens": given}
    content, said = given if len(given) == 2 else (None, None)
    if isinstance(content, str):
        return {"text": content, "spans": said.get("entities") if isinstance(said, dict) else said}
    return {"tokens": content, "tags": said}
