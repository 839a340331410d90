"""Public data sets in the layouts they come in -> the same examples in one file a split, which both sides read.

An example is a dict of its kind: {"text", "label"} of classify, {"text", "pair", "label"} of regress, {"words", "tags"}
of tag, {"title", "context", "id", "question", "answers"} of answer.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

Example = dict[str, Any]
Splits = tuple[list[Example], list[Example]]  # to train on, and to measure on


@dataclass(frozen=True)
class LabelledSet:
    """A data set.

    Attributes:
        kind: what it is for; see the module.
        figures: those it is judged by, of `figures.measure`; the first is the headline.
        layout: the files that are expected, for messages.
        read: its folder -> examples.
    """

    kind: str
    figures: tuple[str, ...]
    layout: str
    read: Callable[[Path], Splits]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, UTF-8 or else Latin-1."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        return raw.decode("latin-1").split("\n")


def shuffled(examples: Sequence[Example], name: str) -> list[Example]:
    """In an order that is always the same for a name."""
    order = list(examples)
    random.Random(name).shuffle(order)
    return order


def split(examples: Sequence[Example], name: str) -> Splits:
    """80% to train on and 20% to measure on, always the same."""
    order = shuffled(examples, name)
    cut = len(order) * 4 // 5
    return order[:cut], order[cut:]


def read_sst2(folder: Path) -> Splits:
    """Tab-separated `label, sentence` under a line of names."""
    train, dev = (
        [
            {"text": text, "label": label}
            for line in read_lines(folder / f"{name}.tsv")[1:]
            if line.strip()
            for label, text in [line.split("\t")]
        ]
        for name in ("train", "dev")
    )
    return train, dev


def read_cola(folder: Path) -> Splits:
    """Tab-separated, four columns: source, label, the author's mark, sentence; both development files, as in GLUE."""

    def examples(*names: str) -> list[Example]:
        rows = (line.rstrip("\r").split("\t") for name in names for line in read_lines(folder / f"{name}.tsv"))
        return [{"text": row[3], "label": row[1]} for row in rows if len(row) == 4]

    return examples("in_domain_train"), examples("in_domain_dev", "out_of_domain_dev")


def read_stsb(folder: Path) -> Splits:
    """Comma-separated, quoted: two sentences and their score."""

    def examples(name: str) -> list[Example]:
        with (folder / f"stsb-en-{name}.csv").open(encoding="utf-8", newline="") as file:
            return [{"text": a, "pair": b, "label": float(score)} for a, b, score in csv.reader(file)]

    return examples("train"), examples("dev")


def read_reviews(folder: Path) -> Splits:
    """A folder a class, a file a text."""
    files = sorted(path for label in ("neg", "pos") for path in (folder / label).glob("*.txt"))
    return split([{"text": "\n".join(read_lines(path)), "label": path.parent.name} for path in files], "reviews")


def sentences(lines: Iterable[str], columns: Callable[[str], tuple[str, str] | None]) -> Iterator[Example]:
    """Sentences of words and tags: lines between blank ones; `columns` gives None for a line without a word."""
    for blank, block in groupby((line.strip("\r") for line in lines), lambda line: not line.strip()):
        rows = [] if blank else [found for line in block if (found := columns(line))]
        if rows:
            words, tags = zip(*rows, strict=True)
            yield {"words": list(words), "tags": strict_bio(tags)}


def strict_bio(tags: Sequence[str]) -> list[str]:
    """Tags with B- where a span begins, as IO leaves it open."""
    kinds = [tag[2:] if tag[:2] in ("B-", "I-") else None for tag in tags]
    return [
        f"B-{kind}" if tag.startswith("I-") and kind != before else tag
        for tag, kind, before in zip(tags, kinds, [None, *kinds], strict=False)
    ]


def read_ncbi(folder: Path) -> Splits:
    """CoNLL, a tab between word and tag."""
    train, dev = (list(sentences(read_lines(folder / name), _two_columns)) for name in ("train.tsv", "devel.tsv"))
    return train, dev


def read_wikigold(folder: Path) -> Splits:
    """CoNLL, a space between word and tag; no split of its own."""
    return split(list(sentences(read_lines(folder / "wikigold.conll.txt"), _two_columns)), "wikigold")


def _two_columns(line: str) -> tuple[str, str] | None:
    word, tag = line.split()
    return None if word == "-DOCSTART-" else (word, tag)


def read_ud(folder: Path) -> Splits:
    """CoNLL-U: words with their UPOS; the training part may be in several files."""

    def word(line: str) -> tuple[str, str] | None:
        cells = line.split("\t")
        return (cells[1].replace(" ", ""), cells[3]) if cells[0].isdecimal() else None

    train, dev = (
        [each for path in sorted(folder.glob(f"*-{name}*.conllu")) for each in sentences(read_lines(path), word)]
        for name in ("train", "dev")
    )
    return train, dev


def read_squad(folder: Path) -> Splits:
    """SQuAD 1.1 JSON."""
    return read("answer", folder / "train.json"), read("answer", folder / "dev.json")


SETS: Mapping[str, LabelledSet] = {
    "sst2": LabelledSet("classify", ("accuracy",), "sst2/train.tsv, dev.tsv", read_sst2),
    "cola": LabelledSet("classify", ("mcc",), "cola/in_domain_train.tsv, in_domain_dev.tsv, out_of_…", read_cola),
    "stsb": LabelledSet("regress", ("pearson", "spearman"), "stsb/stsb-en-train.csv, stsb-en-dev.csv", read_stsb),
    "ncbi-disease": LabelledSet("tag", ("f1", "f1_default"), "ncbi-disease/train.tsv, devel.tsv", read_ncbi),
    "wikigold": LabelledSet("tag", ("f1", "f1_default"), "wikigold/wikigold.conll.txt", read_wikigold),
    "ud-english-ewt": LabelledSet("tag", ("accuracy",), "ud-english-ewt/*-train*.conllu, *-dev*.conllu", read_ud),
    "squad": LabelledSet("answer", ("f1", "exact_match"), "squad/train.json, dev.json", read_squad),
    "movie-reviews": LabelledSet("classify", ("accuracy",), "movie-reviews/neg/*.txt, pos/*.txt", read_reviews),
}


# The files that both sides read.

ENDINGS = {"classify": ".jsonl", "regress": ".jsonl", "tag": ".conll", "answer": ".json"}


def write(kind: str, examples: Sequence[Example], path: Path) -> None:
    """JSON Lines, CoNLL, or SQuAD's JSON."""
    if kind == "tag":
        blocks = ("".join(f"{w}\t{t}\n" for w, t in zip(e["words"], e["tags"], strict=True)) for e in examples)
        text = "\n".join(blocks)
    elif kind == "answer":
        text = json.dumps({"version": "1.1", "data": [_article(*group) for group in _by(examples, "title")]})
    else:
        text = "".join(f"{json.dumps(example)}\n" for example in examples)
    path.write_text(text, encoding="utf-8")


def _article(title: str, examples: list[Example]) -> Example:
    paragraphs = [
        {"context": context, "qas": [{name: each[name] for name in ("id", "question", "answers")} for each in same]}
        for context, same in _by(examples, "context")
    ]
    return {"title": title, "paragraphs": paragraphs}


def _by(examples: Iterable[Example], key: str) -> list[tuple[str, list[Example]]]:
    return [(value, list(group)) for value, group in groupby(examples, lambda example: example[key])]


def read(kind: str, path: Path) -> list[Example]:
    """What `write` wrote."""
    if kind == "tag":
        return list(sentences(read_lines(path), _two_columns))
    if kind == "answer":
        return [
            {"title": article["title"], "context": paragraph["context"], **asked}
            for article in json.loads(path.read_text(encoding="utf-8"))["data"]
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def some(kind: str, examples: list[Example], count: int | None, name: str) -> list[Example]:
    """So many examples, always the same; questions stay beside those to the same context."""
    if count is None or count >= len(examples):
        return examples
    chosen = shuffled(examples, name)[:count]
    return sorted(chosen, key=lambda each: (each["title"], each["context"])) if kind == "answer" else chosen
