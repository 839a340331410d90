"""The demo's labelled examples: docstrings of Python's standard library, and the part of it that each belongs to.

Each part is some modules of one subject, as the chapters of the library's reference have them. Nothing in the texts is
masked out: a docstring that names its module stays as it is, for all models alike.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from bertsmith.demo_corpus import docstrings, paragraphs, sources, standard_library
from bertsmith.errors import CorpusError
from bertsmith.files import write_text

# Modules that a Python does not have, as the newer ones of removed modules, count for nothing.
PARTS: Mapping[str, str] = {
    "concurrency": "asyncio concurrent multiprocessing threading _threading_local subprocess queue sched selectors",
    "email": "email mailbox smtplib imaplib poplib nntplib quopri base64",
    "files": "pathlib shutil tarfile zipfile tempfile gzip bz2 lzma os io _pyio posixpath ntpath glob filecmp "
    "fileinput",
    "language": "ast dis inspect symtable tokenize typing pydoc lib2to3 code codeop pyclbr pickletools",
    "numbers": "_pydecimal decimal fractions numbers statistics random colorsys",
    "packaging": "importlib distutils pkgutil modulefinder runpy venv ensurepip zipapp zipimport site sysconfig",
    "testing": "unittest doctest pdb bdb trace traceback timeit profile cProfile pstats tracemalloc",
    "web": "http urllib wsgiref xmlrpc cgi html webbrowser socketserver ftplib ssl",
    "windows": "tkinter turtle turtledemo idlelib",
    "xml": "xml",
}
TRAIN, DEV = 50, 100  # docstrings of each part: few to learn from, enough to measure on
MIN_WORDS = 8  # of a docstring; shorter ones could stand anywhere


@dataclass(frozen=True)
class PartExamples:
    """Labelled docstrings; every part has as many as every other, and no text stands twice.

    Attributes:
        train, dev: (docstring, its part). A docstring is its paragraphs, a line each.
    """

    train: tuple[tuple[str, str], ...]
    dev: tuple[tuple[str, str], ...]

    @property
    def dev_paragraphs(self) -> set[str]:
        """What a model that is measured on `dev` must not have read."""
        return {line for text, _ in self.dev for line in text.split("\n")}


def read_examples(root: Path | None = None, *, train: int = TRAIN, dev: int = DEV) -> PartExamples:
    """Docstrings of the standard library: always the same of the same Python.

    Args:
        root: the library's folder; this Python's if not given.
        train, dev: docstrings of each part. A part with fewer than both together is left out.

    Raises:
        CorpusError: fewer than two parts have enough.
    """
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for part, text in _texts(root or standard_library()):
        found[part].append(text)
    # In the order of a hash, so that the docstrings of a module come apart.
    drawn = {
        part: sorted(texts, key=lambda text: blake2b(text.encode()).digest())[: train + dev]
        for part, texts in found.items()
        if len(texts) >= train + dev
    }
    if len(drawn) < 2:
        raise CorpusError(
            f"this Python's library has {train + dev} docstrings in {len(drawn)} of the parts {', '.join(PARTS)}: a "
            "classifier needs two. Take your own: bertsmith finetune classify --train train.csv"
        )
    return PartExamples(
        tuple((text, part) for part, texts in drawn.items() for text in texts[:train]),
        tuple((text, part) for part, texts in drawn.items() for text in texts[train:]),
    )


def _texts(root: Path) -> Iterator[tuple[str, str]]:
    """(part, docstring), each docstring once, in the order of the files."""
    part_of = {module: part for part, modules in PARTS.items() for module in modules.split()}
    seen = set[str]()
    for path in sources(root):
        part = part_of.get(path.relative_to(root).parts[0].removesuffix(".py"))
        for docstring in docstrings(path) if part else ():
            text = "\n".join(paragraphs(docstring))
            if part and text not in seen and len(text.split()) >= MIN_WORDS:
                seen.add(text)
                yield part, text


def write_examples(examples: tuple[tuple[str, str], ...], path: Path) -> None:
    """Write them as CSV with the columns "text" and "label", whole or not at all."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows([("text", "label"), *((text.replace("\n", " "), part) for text, part in examples)])
    write_text(path, written.getvalue())


def count_labels(path: Path) -> Counter[str]:
    """How many examples of each part a file has that `write_examples` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return Counter(row["label"] for row in csv.DictReader(file))
