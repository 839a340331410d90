"""The files of GLUE that are in a folder, and the examples in them that are read here: of test sets, of raw MRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertsmith.data.labelled.examples import TextExample
from bertsmith.errors import CorpusError
from bertsmith.text.columns import names_of, read_cells
from bertsmith.text.sources import list_sources
from bertsmith.text.streams import BadInput, BadInputs
from bertsmith.training.suites.common import beside, listed
from bertsmith.training.suites.glue_tasks import (
    DIAGNOSTIC,
    DIAGNOSTIC_FILES,
    DIAGNOSTIC_FOLDERS,
    MNLI,
    TASKS,
    GlueTask,
    plain,
)

Examples = Path | list[TextExample]

_RAW_TRAIN, _RAW_TEST, _RAW_DEV_IDS = "msr_paraphrase_train.txt", "msr_paraphrase_test.txt", "dev_ids.tsv"
_RAW_COLUMNS = ("#1 ID", "#2 ID", "#1 String", "#2 String", "Quality")
_INDEX_COLUMNS = ("index", "id")
_FORMATS = {".tsv": "tsv", ".txt": "tsv"}  # MRPC's raw files have tabs too, and the other ending


@dataclass(frozen=True)
class TaskFiles:
    """What there is of a task.

    Attributes:
        task: which.
        train: a file, or of raw MRPC the examples.
        devs, tests: of each part of the task that has them, by its name; AX among MNLI's tests.
        size_bytes: of the training file.
    """

    task: GlueTask
    train: Examples
    devs: dict[str, Examples]
    tests: dict[str, Path]
    size_bytes: int


def find_tasks(folder: Path, note: Callable[[str], None]) -> list[TaskFiles]:
    """The tasks of a folder, the smallest first, so that what is wrong with the files is soon known.

    Args:
        folder: with a sub-folder a task.
        note: told of what is missing.

    Raises:
        CorpusError: none is there, or two folders are the same task's.
    """
    found = [files for task in TASKS if (files := _files_of(task, folder, note)) is not None]
    if not found:
        names = ", ".join(task.name for task in TASKS)
        raise CorpusError(
            f"{folder}: no task of GLUE is here. Looked for the folders {names} (in any case), each with train.tsv, "
            "dev.tsv and test.tsv (MNLI: dev_matched.tsv, dev_mismatched.tsv, test_matched.tsv, test_mismatched.tsv). "
            + listed(folder)
        )
    diagnostic = _diagnostic(folder)
    if diagnostic is not None:
        mnli = next((files for files in found if files.task is MNLI), None)
        if mnli is None:
            note(f"{diagnostic}: MNLI's model answers it, and there is no MNLI; it is left out")
        else:
            mnli.tests[DIAGNOSTIC.name] = diagnostic
    return sorted(found, key=lambda files: files.size_bytes)


def _files_of(task: GlueTask, folder: Path, note: Callable[[str], None]) -> TaskFiles | None:
    inside = _sub_folder(folder, task.name)
    if inside is None:
        return None
    devs: dict[str, Examples] = {part.name: path for part in task.parts if (path := beside(inside, part.dev))}
    tests = {part.name: path for part in task.parts if (path := beside(inside, part.test))}
    train: Examples | None = beside(inside, "train.tsv")
    raw = beside(inside, _RAW_TRAIN) if task.name == "MRPC" else None
    if train is None and raw is not None:
        train, dev = _raw_mrpc(raw, beside(inside, _RAW_DEV_IDS))
        devs |= {"MRPC": dev} if dev else {}
        if "MRPC" not in tests and (test := beside(inside, _RAW_TEST)) is not None:
            tests["MRPC"] = test
    if train is None:
        note(f"{inside}: no train.tsv; {task.name} is left out. {listed(inside)}")
        return None
    for part in task.parts:
        if part.name not in devs:
            held = ": a share of the training examples is kept for evaluation" if part is task.parts[0] else ""
            note(f"{inside}: no {part.dev} for {part.name}{held}")
        if part.name not in tests:
            note(f"{inside}: no {part.test}, so there is no {part.name}.tsv to hand in")
    path = train if isinstance(train, Path) else raw
    assert path is not None
    return TaskFiles(task, train, devs, tests, path.stat().st_size)


def _sub_folder(folder: Path, *names: str) -> Path | None:
    """The sub-folder of any of these names, however they are written."""
    wanted = {plain(name) for name in names}
    found = sorted(each for each in folder.iterdir() if each.is_dir() and plain(each.name) in wanted)
    if len(found) > 1:
        raise CorpusError(f"{folder}: {' and '.join(each.name for each in found)} are the same task. Move one away.")
    return found[0] if found else None


def _diagnostic(folder: Path) -> Path | None:
    inside = _sub_folder(folder, *DIAGNOSTIC_FOLDERS)
    places = [folder, inside] if inside else [folder]
    return next((path for place in places for name in DIAGNOSTIC_FILES if (path := beside(place, name))), None)


def _raw_mrpc(train: Path, dev_ids: Path | None) -> tuple[list[TextExample], list[TextExample]]:
    """Training and development pairs of MRPC as Microsoft hands it out; none of the latter if nothing says which."""
    chosen = set()
    if dev_ids is not None:
        chosen = {tuple(cells[:2]) for _, cells in _rows(dev_ids)}
    learned: list[TextExample] = []
    measured: list[TextExample] = []
    for place, (first, second, text, pair, label) in _cells(train, _RAW_COLUMNS):
        example = TextExample(text, pair, labels=(label,), place=place)
        (measured if (first, second) in chosen else learned).append(example)
    return learned, measured


def read_test(path: Path, columns: Sequence[str]) -> tuple[list[str], list[TextExample]]:
    """The indexes and texts of a test file, every one of them: also where a text is empty.

    Args:
        path: with a line of names.
        columns: of the text and its partner.

    Raises:
        CorpusError: a column is missing, or a row is broken.
    """
    indexes, examples = [], []
    for number, (place, (index, text, *pair)) in enumerate(_cells(path, ("", *columns))):
        indexes.append(index.strip() or str(number))
        examples.append(TextExample(text, pair[0] if pair else None, place=place))
    return indexes, examples


def _cells(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """(place, cells of the columns) of each row; of column "" the index, which is empty where there is none.

    Raises:
        CorpusError: a column is missing, there is no row, or one is broken.
    """
    rows = _rows(path)
    _, header = next(rows, ("", []))
    header = [name.strip() for name in header]
    index = next((name for name in _INDEX_COLUMNS if name in header), "")
    wanted = [column or index for column in columns]
    for name in wanted:
        if name and name not in header:
            raise CorpusError(
                f'{path}, line 1: no column "{name}"; there are {names_of(header)}. Fetch the file again.'
            )
    places = [header.index(name) if name else -1 for name in wanted]
    count = 0
    for place, row in rows:
        if len(row) <= max(places):
            raise _broken(path, place, f"{len(row)} cells, where the first line has {len(header)}")
        count += 1
        yield f"{path}, {place}", ["" if column < 0 else row[column] for column in places]
    if not count:
        raise CorpusError(f"{path}: no rows. Fetch the file again.")


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(place, cells) of each row, the first line too.

    Raises:
        CorpusError: one is broken.
    """
    skipped: list[BadInput] = []
    (source,) = list_sources([str(path)], _FORMATS)
    for row in read_cells(source, BadInputs(source, "skip", skipped)):
        if skipped:
            break
        yield row
    if skipped:
        raise _broken(path, skipped[0].place, skipped[0].reason)


def _broken(path: Path, place: str, reason: str) -> CorpusError:
    return CorpusError(f"{path}, {place}: {reason}. Every row is needed: mend it, or fetch the file again.")
