"""Plain text whose label is the name of its file or folder: a folder a class, or a file a class."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from bertsmith.data.labelled.rows import Row, Table
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.sources import COMPRESSIONS, NOT_TEXT, Source, kind_of, list_sources
from bertsmith.text.streams import BadInput, BadInputs, read_lines, text_blocks, undecodable

TEXT, LABEL = "text", "label"  # the columns of the tables that are made here

_MOST_FILES = 100  # more classes than this, one a file, are a mistake: the files are texts
_NO_TEXTS = {"readme", "license", "licence", "copying", "changelog"}
_SPLIT = re.compile(r"^(train|dev|val|valid|validation|test)[._-]|[._-](train|dev|val|valid|validation|test)$", re.I)


@dataclass(frozen=True)
class TextFile:
    """A file of plain text.

    Attributes:
        label: what its name or its folder's says; None where neither tells.
        whole: it is one text; otherwise each line is.
    """

    source: Source
    label: str | None
    whole: bool


def text_files(
    paths: Sequence[str], labels: Collection[str] | None, notes: list[str], *, labelled: bool
) -> list[TextFile]:
    """The files, if they are plain text; empty where there are tables among them.

    Args:
        paths: a folder with a sub-folder a class, each of its files one text; or files, globs or a folder with a file
            a class, a text a line.
        labels: those that there are; None if the names tell.
        notes: what the user should know is appended here.
        labelled: without it a file is read even where its name tells no label.

    Raises:
        CorpusError: files are missing, or their names tell no labels.
    """
    paths = [os.path.expanduser(path) for path in paths]
    folders = [path for path in paths if os.path.isdir(path)]
    if len(paths) == len(folders) == 1:
        return _of_folder(folders[0], labels, notes, labelled)
    if any(_has_tables(folder) for folder in folders):
        return []
    files = list_sources([item for path in paths for item in (_inside(path) or [path])])
    return _a_file_a_class(files, labels, notes, labelled) if all(file.format == "txt" for file in files) else []


def read_text_files(files: Sequence[TextFile], config: LabelledConfig, skipped: list[BadInput]) -> Iterator[Table]:
    """One table for each file, with the columns "text" and, where it is known, "label"."""
    for file in files:
        bad = BadInputs(file.source, config.on_bad_input, skipped)
        values = {} if file.label is None else {LABEL: file.label}
        read = _whole(file.source, bad) if file.whole else _lines(file.source, bad)
        rows = (
            Row({TEXT: text, **values}, file.source.url if file.whole else bad.where(place), place, bad)
            for place, text in read
        )
        yield Table(file.source.url, (TEXT, *values), rows, bad)


def _whole(source: Source, bad: BadInputs) -> Iterator[tuple[str, str]]:
    data = b"".join(block for _, block in text_blocks(source, bad))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        bad.report(*undecodable(error, line=1, offset=0))
    else:
        if not bad.broken_off:
            yield "the file", text


def _lines(source: Source, bad: BadInputs) -> Iterator[tuple[str, str]]:
    for line in read_lines(source, bad):
        text = line.decode(bad)
        if text is not None and text.strip():
            yield f"line {line.number:,}", text


def _of_folder(folder: str, labels: Collection[str] | None, notes: list[str], labelled: bool) -> list[TextFile]:
    if _has_tables(folder):
        return []
    inside = {os.path.basename(path): names for path in _sub_folders(folder) if (names := _inside(path))}
    for path in _sub_folders(folder):
        if deeper := [each for each in _sub_folders(path) if _inside(each)]:
            raise CorpusError(
                f"{folder}: the folders in it hold folders of texts, such as {deeper[0]}. Give the one whose "
                f"sub-folders are the classes, such as {path}."
            )
    beside = _inside(folder)
    if not inside:
        return _a_file_a_class(list_sources(beside or [folder]), labels, notes, labelled)
    if beside:
        notes.append(f"{folder}: {len(beside):,} file(s) beside the sub-folders are left out")
    strange = [name for name in inside if labels and name not in labels]
    if 0 < len(strange) < len(inside):
        notes.append(f"{folder}: the sub-folders {_some(strange)} are left out, since there are no such labels")
        inside = {name: files for name, files in inside.items() if name not in strange}
    if labelled:
        notes.append(f"{folder}: the label is the sub-folder's name, {_some(list(inside))}")
    return [
        TextFile(source, name if labelled else None, whole=True)
        for name, files in inside.items()
        for source in list_sources(files)
    ]


def _sub_folders(folder: str) -> list[str]:
    return sorted(entry.path for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _inside(folder: str) -> list[str]:
    """The text files right in a folder: its .txt, or where it has none, all that may be text; nothing if it is none."""
    if not os.path.isdir(folder):
        return []
    names = [entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith(".")]
    names = [name for name in names if re.split(r"\W", name.lower())[0] not in _NO_TEXTS]
    texts = [name for name in names if kind_of(name)[0] == "txt"]
    others = [name for name in names if kind_of(name)[0] is None and _ending(name) not in NOT_TEXT]
    return sorted(os.path.join(folder, name) for name in texts or others)


def _has_tables(folder: str) -> bool:
    return any(kind_of(name)[0] not in (None, "txt") for _, _, names in os.walk(folder) for name in names)


def _a_file_a_class(
    files: Sequence[Source], labels: Collection[str] | None, notes: list[str], labelled: bool
) -> list[TextFile]:
    if not labelled:
        return [TextFile(file, None, whole=False) for file in files]
    names = [file.url.rsplit("/", 1)[-1] for file in files]
    told = [_named_in(name, labels) for name in names] if labels else _what_differs(names)
    if len(files) > _MOST_FILES and len(set(told)) > _MOST_FILES:
        raise CorpusError(
            f"{files[0].url}: {len(files):,} files of plain text, and a file a class would make as many classes. Put "
            "the texts of each class into a sub-folder of its name, and give the folder that holds them."
        )
    for file, label in zip(files, told, strict=True):
        if label is None:
            known = f" ({_some(sorted(labels))})" if labels else ""
            raise CorpusError(
                f"{file.url}: the name of this text file tells no label{known}. Give a table (.csv, .tsv, .jsonl, "
                ".parquet), a file a class (pos.txt neg.txt), or a folder with a sub-folder a class."
            )
    notes.append(f"the label is the file's name, {_some([label for label in told if label])}; a line is a text")
    return [TextFile(file, label, whole=False) for file, label in zip(files, told, strict=True)]


def _what_differs(names: Sequence[str]) -> Sequence[str | None]:
    """The label that each file's name tells: its ending if the stems agree, else its stem without "train" or such."""
    stems, endings = zip(*(os.path.splitext(_unpacked(name)) for name in names), strict=True)
    if len(set(stems)) == 1:
        return [ending[1:] or None for ending in endings] if len(set(endings)) > 1 else [None] * len(names)
    bare = [_SPLIT.sub("", stem) for stem in stems]
    return bare if all(bare) and len(set(bare)) > 1 else stems


def _named_in(name: str, labels: Collection[str]) -> str | None:
    """The label that a file's name is; no part of it, since not-spam.txt is no spam."""
    stem, ending = os.path.splitext(_unpacked(name))
    return next((each for each in (stem, _SPLIT.sub("", stem), ending[1:]) if each in labels), None)


def _unpacked(name: str) -> str:
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in COMPRESSIONS else name


def _ending(name: str) -> str:
    return os.path.splitext(_unpacked(name).lower())[1]


def _some(labels: Sequence[str]) -> str:
    shown = list(Counter(labels))
    return ", ".join(shown[:10]) + (", …" if len(shown) > 10 else "")
