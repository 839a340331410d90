"""Which files a corpus is made of: files, globs, folders and URLs, listed in a fixed order."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith.errors import CorpusError
from bertsmith.remote import is_refusal

FORMATS = {
    ".txt": "txt",
    ".text": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
COMPRESSIONS = {".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst"}


def known_endings(formats: Mapping[str, str] = FORMATS) -> str:
    """The endings that are read, in words."""
    return f"{', '.join(formats)}, each also with .gz, .bz2, .xz or .zst"


# Read as text these would give rubbish in silence; any other unknown ending of a named file is read as text.
NOT_TEXT = {".json", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".zip", ".tar", ".tgz", ".arrow", ".feather"}


CORPUS_MARKS = ("token_counts.npy", "index.arrow")  # of a finished prepared corpus; others have a manifest.json too
# What tells a run folder, an unfinished prepared corpus, a finished one, and the folder of a tokenizer or a model.
OWN_MARKS: tuple[tuple[str, ...], ...] = (
    ("training/lock",),
    ("building/made-from.json",),
    *((mark,) for mark in CORPUS_MARKS),
    ("vocab.txt", "tokenizer_config.json"),
)


@dataclass(frozen=True)
class Source:
    """One file of a corpus.

    Attributes:
        url: path or URL, as messages show it and as it is opened.
        format: txt, jsonl, csv, tsv or parquet; or one that the caller of `list_sources` knows.
        compression: gz, bz2, xz, zst or None.
        size_bytes: size as stored (compressed); None where the place does not tell.
        fingerprint: changes when the file changes; made of size and time or etag, without reading the file.
    """

    url: str
    format: str
    compression: str | None
    size_bytes: int | None
    fingerprint: str


def list_sources(corpus: Sequence[str], formats: Mapping[str, str] = FORMATS) -> list[Source]:
    """The files of a corpus, each once, in the order given; inside a folder or glob sorted by path.

    A folder is searched with its sub-folders for files of known endings; hidden ones are left out. A file
    that is named, by itself or by a glob, is taken whatever its ending: an unknown one is read as text.

    Args:
        corpus: files, globs, folders and URLs.
        formats: the known endings and the format of each; those of text, if not given.

    Raises:
        CorpusError: nothing is there, a glob or folder is empty, or a place cannot be read.
    """
    if not corpus:
        raise CorpusError("no corpus given: name at least one file, glob, folder or URL")
    sources: dict[str, Source] = {}
    for item in corpus:
        remote = "://" in item or "::" in item
        for source in _remote_sources(item, formats) if remote else _local_sources(item, formats):
            key = source.url if remote else os.path.realpath(source.url)
            sources.setdefault(key, source)
    return list(sources.values())


def kind_of(name: str, formats: Mapping[str, str] = FORMATS) -> tuple[str | None, str | None]:
    """Format and compression that a file's name tells; the format is None where the ending is unknown."""
    stem, ending = os.path.splitext(name.lower())
    compression = COMPRESSIONS.get(ending)
    if compression:
        ending = os.path.splitext(stem)[1]
    return formats.get(ending), compression


def _local_sources(item: str, formats: Mapping[str, str]) -> Iterator[Source]:
    path = os.path.expanduser(item)
    if os.path.isdir(path):
        yield from _local_folder(path, formats)
    elif os.path.lexists(path):
        yield _local_file(path, formats)
    elif glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True))
        if not matches:
            raise CorpusError(f'{item}: no file fits this pattern. {_beside(path)}Quote "**" to go into folders.')
        # `a/**` yields folders too, and their files once more by themselves.
        for match in [m for m in matches if "**" not in item or not os.path.isdir(m)]:
            yield from _local_sources(match, formats)
    else:
        raise CorpusError(f"{item}: there is no such file or folder. {_beside(path)}Check the name.")


def _local_file(path: str, formats: Mapping[str, str]) -> Source:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be opened ({error.strerror}). Mend it or leave it out.") from None
    return _source(path, formats, size_bytes=stat.st_size, fingerprint=f"{stat.st_size}-{stat.st_mtime_ns}")


def _local_folder(folder: str, formats: Mapping[str, str]) -> Iterator[Source]:
    if _is_own(folder):
        raise CorpusError(
            f"{folder}: this is a folder of bertsmith's own, a run, a model, a tokenizer or a prepared corpus. Give "
            "the text, or one prepared corpus that is finished and nothing beside it."
        )
    found, others = [], 0
    for parent, folders, names in os.walk(folder, onerror=_unreadable_folder):
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_own(os.path.join(parent, name))]
        shown = [name for name in names if not name.startswith(".")]
        known = [name for name in shown if kind_of(name, formats)[0]]
        found += [os.path.join(parent, name) for name in known]
        others += len(shown) - len(known)
    if not found:
        raise CorpusError(
            f"{folder}: no text file in this folder ({others} files of other kinds). "
            f"Read are {known_endings(formats)}; a file named by itself is read as text whatever its ending."
        )
    yield from (_local_file(path, formats) for path in sorted(found))


def _is_own(folder: str) -> bool:
    """Whether it is a folder that bertsmith makes: what it writes beside the text is no text to learn from."""
    return any(all(os.path.exists(os.path.join(folder, mark)) for mark in marks) for marks in OWN_MARKS)


def _unreadable_folder(error: OSError) -> None:
    raise CorpusError(f"{error.filename}: this folder cannot be listed ({error.strerror}).") from None


def _source(url: str, formats: Mapping[str, str], *, size_bytes: int | None, fingerprint: str) -> Source:
    name = url.split("::")[0].rsplit("/", 1)[-1]
    if "://" in url and url.startswith("http"):
        name = name.split("?")[0]
    text_format, compression = kind_of(name, formats)
    stem = name[: -len(compression) - 1] if compression else name
    ending = os.path.splitext(stem.lower())[1]
    if ending in NOT_TEXT and text_format is None:
        hint = " (.jsonl, one object a line, is)" if ending == ".json" else ""
        raise CorpusError(f"{url}: {ending} is not read{hint}. Turn it into one of {known_endings(formats)}.")
    return Source(url, text_format or "txt", compression, size_bytes, fingerprint)


def _beside(path: str) -> str:
    """A sentence that tells what lies where a missing path was looked for, the nearest names first."""
    folder, name = os.path.split(path.rstrip("/"))
    if not os.path.isdir(folder or "."):
        return f'The folder "{folder}" does not exist either. '
    try:
        names = sorted(entry for entry in os.listdir(folder or ".") if not entry.startswith("."))
    except OSError:
        return ""
    near = difflib.get_close_matches(name, names, n=3)
    if near:
        return f"Did you mean {' or '.join(str(Path(folder) / entry) for entry in near)}? "
    some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"There are: {some}. " if names else f'The folder "{folder or "."}" is empty. '


def _remote_sources(item: str, formats: Mapping[str, str]) -> Iterator[Source]:
    """Files behind an fsspec URL: one file, a glob or a folder."""
    import fsspec  # 0.1 s, and only URLs need it

    try:
        fs, path = fsspec.core.url_to_fs(item)
        paths = _remote_paths(fs, path, item, formats)
        chain = "::" + item.split("::", 1)[1] if "::" in item else ""
        for found in paths:
            info = fs.info(found)
            url = item if found == path else fs.unstrip_protocol(found) + chain
            yield _source(url, formats, size_bytes=info.get("size"), fingerprint=str(fs.ukey(found)))
    except CorpusError:
        raise
    except FileNotFoundError:
        raise CorpusError(f"{item}: there is no such file or folder. Check the URL.") from None
    except ImportError as error:
        raise CorpusError(f"{item}: {error}. Install the named package to read such URLs.") from None
    except ValueError as error:
        raise CorpusError(f"{item}: no URL of a known kind ({error}). Check it.") from None
    except Exception as error:  # each file system has errors of its own
        if is_refusal(error):
            raise CorpusError(
                f"{item}: must not be listed ({error}). Check your credentials and rights there."
            ) from None
        raise CorpusError(
            f"{item}: cannot be listed ({type(error).__name__}: {error}). Check the URL, the store and the network."
        ) from None


def _remote_paths(fs: Any, path: str, item: str, formats: Mapping[str, str]) -> list[str]:
    # In an http address "?" begins the query; elsewhere it stands for one character.
    magic = "*" in path or (not item.startswith("http") and glob.has_magic(path))
    if magic:
        paths = [found for found in fs.glob(path) if fs.isfile(found)]
        if not paths:
            raise CorpusError(f"{item}: no file fits this pattern. Check the URL.")
        return sorted(found for found in paths if not found.rsplit("/", 1)[-1].startswith("."))
    if fs.info(path)["type"] != "directory":
        return [path]
    every = fs.find(path)
    own = _own_folders(every)
    inside = {found: found.removeprefix(path).split("/") for found in every if not (own and found.startswith(own))}
    paths = sorted(
        found
        for found, parts in inside.items()
        if kind_of(parts[-1], formats)[0] and not any(part.startswith(".") for part in parts)
    )
    if not paths:
        raise CorpusError(f"{item}: no text file in this folder. Read are {known_endings(formats)}.")
    return paths


def _own_folders(paths: Sequence[str]) -> tuple[str, ...]:
    """As `_is_own`, those among a store's paths; each ends with a slash."""
    there = set(paths)
    found = []
    for path in paths:
        for mark, *others in OWN_MARKS:
            home = path.removesuffix(mark)
            if path.endswith(f"/{mark}") and all(home + other in there for other in others):
                found.append(home)
    return tuple(found)
