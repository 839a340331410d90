"""The demo's corpus: the documentation of the Python that runs it, read from source and never imported.

It is the language reference and the standard library alone: a model that reads for two minutes learns more from a
little text of one kind, read often, than from much of many kinds, and the demo is the same whatever is installed.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
import tokenize
import warnings
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bertsmith.progress import Reporter

MIN_WORDS = 5  # of a paragraph; shorter ones are headings, names and code
MIN_PARAGRAPHS = 3  # of a document; next-sentence prediction needs some

_SKIPPED_FOLDERS = {"test", "tests", "testing", "idle_test", "_vendor", "vendor", "site-packages"}
_UNDERLINE = re.compile(r"^\s*([=\-~^\"'`#*+.:_|])\1{2,}[\s=\-+|]*$")
_ROLE = re.compile(r":(?:[a-z]+:)?[a-z]+:`")
_TARGET = re.compile(r"\s*<[^<>]*>`_*")
_DIRECTIVE = re.compile(r"^\s*(\.\. .*|:[a-z]+:)$")
_BULLET = re.compile(r"^\s*([*+\-•]|\d+[.)]|:\w+[^:]*:|@\w+)\s")


def write_corpus(
    folder: Path,
    reporter: Reporter,
    *,
    without: Collection[str] = (),
    roots: Sequence[tuple[str, Path]] | None = None,
) -> int:
    """Write the documentation of this Python as text files, blank lines between documents.

    Args:
        folder: gets `topics.txt` (the language) and `standard-library.txt`.
        reporter: shows the progress.
        without: paragraphs that are left out wherever they stand.
        roots: (name, folder of source) pairs to read instead of this Python's.

    Returns:
        Bytes written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, seen = 0, set(without)
    with reporter.track("reading documentation", total=None, unit="documents") as track:
        for count, (name, document) in enumerate(_documents(roots)):
            text = "\n".join(_fresh(document, seen))
            if text.count("\n") + 1 >= MIN_PARAGRAPHS:
                with (folder / f"{name}.txt").open("a", encoding="utf-8") as file:
                    file.write(text + "\n\n")
                written += len(text.encode()) + 2
            track.update(count, f"{written / 1e6:.1f} MB")
    return written


def _documents(roots: Sequence[tuple[str, Path]] | None) -> Iterator[tuple[str, list[str]]]:
    """(name of the file it goes to, paragraphs), a document at a time, always in the same order."""
    if roots is None:
        yield from (("topics", document) for document in _topics())
        roots = [("standard-library", standard_library())]
    names, paths = [], []
    for name, root in roots:
        for path in sources(root):
            names.append(name)
            paths.append(path)
    # Parsing takes nearly all the time; spawned, because forked processes and torch's threads do not agree.
    pool = ProcessPoolExecutor(mp_context=get_context("spawn"))
    try:
        yield from zip(names, pool.map(_module, paths, chunksize=32), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _module(path: Path) -> list[str]:
    return [line for docstring in docstrings(path) for line in paragraphs(docstring)]


def _topics() -> Iterator[list[str]]:
    """The language reference that `help()` shows."""
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield list(paragraphs(topics[name]))


def standard_library() -> Path:
    """The folder of its source."""
    return Path(sysconfig.get_paths()["stdlib"])


def sources(root: Path) -> Iterator[Path]:
    """The source files under a folder, in order, without tests and foreign packages."""
    for path in sorted(root.rglob("*.py")):
        if not _SKIPPED_FOLDERS.intersection(path.relative_to(root).parts):
            yield path


def docstrings(path: Path) -> Iterator[str]:
    """The docstrings of a source file, in order; none if it cannot be read or parsed."""
    try:
        with tokenize.open(path) as file:  # in the encoding that the file declares
            source = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring


def paragraphs(docstring: str) -> Iterator[str]:
    """The prose of a docstring, a paragraph or list item a line, without examples, code and underlines."""
    lines: list[str] = []
    in_example = in_code = False
    for line in [*inspect.cleandoc(docstring).splitlines(), ""]:
        stripped = line.strip()
        in_example = bool(stripped) and (in_example or stripped.startswith((">>>", "In [", "$ ")))
        if stripped and not line.startswith((" ", "\t")):
            in_code = False
        if not stripped or in_example or in_code or _UNDERLINE.match(line) or _DIRECTIVE.match(line):
            yield from _prose(lines)
            lines = []
        elif _BULLET.match(line):
            yield from _prose(lines)
            lines = [stripped]
        else:
            lines.append(stripped)
        in_code = in_code or stripped.endswith("::")


def _prose(lines: list[str]) -> Iterator[str]:
    text = _TARGET.sub("", _ROLE.sub("", " ".join(lines)))
    text = text.replace("`", "").replace("**", "").replace("::", ":").strip("*-• ")
    words = re.findall(r"[A-Za-z]{2,}", text)
    if len(words) >= MIN_WORDS and sum(map(len, words)) > 0.6 * len(text.replace(" ", "")):
        yield text


def _fresh(document: list[str], seen: set[str]) -> Iterator[str]:
    """The paragraphs that no document had before: licences and inherited docstrings stand once."""
    for text in document:
        if text not in seen:
            seen.add(text)
            yield text
