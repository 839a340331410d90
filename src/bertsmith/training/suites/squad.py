"""SQuAD, 1.1 and 2.0: EM and F1 as the official scripts count them, and the files of predictions that those read.

References:
    Rajpurkar et al. 2016 and 2018; Devlin et al. 2019, sections 4.2 and 4.3, tables 2 and 3 (single models).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bertsmith.errors import CorpusError
from bertsmith.files import write_json
from bertsmith.tasks.question_answering import QuestionAnsweringTask
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.suites.common import (
    FinetunedModel,
    Row,
    Suite,
    SuiteResult,
    examples_cell,
    is_fresh,
    listed,
    ours,
    paper_cells,
    with_spread,
)
from bertsmith.training.summary import Summary

_FILES = re.compile(r"(train|dev)([-_.].*)?\.json(\.(gz|bz2|xz|zst))?", re.IGNORECASE)
_COLUMNS = ("BERT-base", "BERT-large")
_PAPER: Mapping[str, Mapping[str, tuple[float | None, float]]] = {  # on the development sets
    "SQuAD 1.1": {"exact_match": (80.8, 84.1), "f1": (88.5, 90.9)},
    "SQuAD 2.0": {"exact_match": (None, 78.7), "f1": (None, 81.9)},
}
_NAMES = {
    "exact_match": "EM",
    "f1": "F1",
    "has_answer_exact_match": "EM, has answer",
    "has_answer_f1": "F1, has answer",
    "no_answer_exact_match": "EM, no answer",
}


def run_squad(suite: Suite) -> SuiteResult:
    """See `run_suite`."""
    versions = _versions(suite.folder)
    metrics: dict[str, float] = {}
    rows: list[Row] = []
    files: list[Path] = []
    for number, (ending, (train, dev)) in enumerate(versions.items(), start=1):
        name = f"squad{ending}"
        tag = ending if len(versions) > 1 else ""
        suite.reporter.say(f"task {number} of {len(versions)}: {train.name}, {dev.name}")
        result = suite.finetune(name, "answer", str(train), str(dev), suite.reading)
        kind, written = _write_predictions(suite, suite.out / name, dev, tag)
        prefix = f"{tag.strip('-_.')}_" if tag else ""
        metrics |= {f"{prefix}{figure}": value for figure, value in result.metrics.items()}
        rows += _rows(kind, result.summary)
        files += written
    return suite.finish(
        metrics,
        title="SQuAD, in percent: the paper's (Devlin et al. 2019, tables 2 and 3) and ours on development sets",
        header=("like", "figure", *(f"{name}, dev" for name in _COLUMNS), ours("dev", suite.config), "examples"),
        rows=rows,
        files=files,
    )


def _versions(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Training and development file of each version, by what their names have in common: "-v1.1", or "".

    Raises:
        CorpusError: there is no such pair.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        match = _FILES.fullmatch(path.name)
        if match and path.is_file():
            found.setdefault((match[2] or "").lower(), {})[match[1].lower()] = path
    pairs = {ending: (files["train"], files["dev"]) for ending, files in found.items() if len(files) == 2}
    if not pairs:
        raise CorpusError(
            f"{folder}: no SQuAD is here. Looked for train-v1.1.json with dev-v1.1.json, train-v2.0.json with "
            f"dev-v2.0.json, or train.json with dev.json. {listed(folder)}"
        )
    return pairs


def _write_predictions(suite: Suite, run: Path, dev: Path, tag: str) -> tuple[str, list[Path]]:
    """Which SQuAD the model is for; the files of its answers to the development set, written unless they are there."""
    model = FinetunedModel(run)
    task = model.task
    assert isinstance(task, QuestionAnsweringTask)
    said, odds = suite.out / f"predictions{tag}.json", suite.out / f"null_odds{tag}.json"
    files = [said] if task.head.no_answer_threshold is None else [said, odds]
    if not all(is_fresh(file, dev, RunFolder(run).result) for file in files):
        examples = suite.read(task, str(dev), suite.reading)
        answers = model.answer(examples, dev.name, suite.reporter)
        for file, values in zip(files, task.predictions(examples, answers), strict=False):
            write_json(file, values)
    return "SQuAD 1.1" if len(files) == 1 else "SQuAD 2.0", files


def _rows(kind: str, summary: Summary) -> list[Row]:
    return [
        (
            kind,
            shown,
            *paper_cells(_PAPER[kind].get(figure), len(_COLUMNS)),
            with_spread(f"{summary.metrics[figure]:.1f}", summary, figure, scale=1.0),  # SQuAD's are in percent
            examples_cell(summary.counts["dev"]),
        )
        for figure, shown in _NAMES.items()
        if figure in summary.metrics
    ]
