"""GLUE: every task that a folder has, the paper's table with ours beside it, and the files that its server takes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from bertsmith.errors import ConfigError
from bertsmith.files import atomic_path, make_folder, write_json, write_text
from bertsmith.finetune_config import LabelledConfig
from bertsmith.training.finetune import FinetuneResult
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.suites.common import (
    NOTHING,
    FinetunedModel,
    Row,
    Suite,
    SuiteResult,
    examples_cell,
    is_fresh,
    ours,
    paper_cells,
    percent,
    with_spread,
)
from bertsmith.training.suites.glue_files import TaskFiles, find_tasks, read_test
from bertsmith.training.suites.glue_tasks import (
    FIGURE_NAMES,
    PAPER_COLUMNS,
    PARTS,
    SUBMISSION,
    TASKS,
    Figure,
    GlueTask,
    Part,
)
from bertsmith.training.summary import Summary

_HIGHEST = 5.0  # of STS-B's scores, which begin at 0


@dataclass(frozen=True)
class Measured:
    """Our figures of a part of a task.

    Attributes:
        figures: GLUE's, as shares.
        on: how many examples, and of what if not of the development set.
        summary: of the run, where these are its own development examples.
    """

    figures: Mapping[Figure, float]
    on: str
    summary: Summary | None = None


def run_glue(suite: Suite) -> SuiteResult:
    """See `run_suite`."""
    if suite.reading.but(on_bad_input="stop") != LabelledConfig():
        raise ConfigError(
            "the columns and labels of GLUE's files are known: of the options that tell how examples are read, only "
            "--on-bad-input has a use with --suite glue"
        )
    found = find_tasks(suite.folder, suite.note)
    submission = suite.out / "submission"
    make_folder(submission)
    measured: dict[str, Measured] = {}
    files: list[Path] = []
    for number, task_files in enumerate(found, start=1):
        suite.reporter.say(f"task {number} of {len(found)}: {task_files.task.name}")
        run = _TaskRun(suite, task_files, submission)
        measured |= run.measure()
        files += run.write_answers()
    files.sort()
    missing = [name for name in SUBMISSION if name not in {file.stem for file in files}]
    if missing:
        suite.note(f"the GLUE server asks for a file of every task; not made here: {', '.join(missing)}")
    if files:
        files.append(_zipped(files, suite.out / "submission.zip"))
    return suite.finish(
        _metrics(measured),
        title="GLUE, in percent: the paper's (Devlin et al. 2019, table 1) on the test sets, ours on development sets",
        header=("task", "figure", *(f"{name}, test" for name in PAPER_COLUMNS), ours("dev", suite.config), "examples"),
        rows=[*_rows(measured), *_averages(measured)],
        files=files,
    )


class _TaskRun:
    """The fine-tuning of one task, and what its model says of other files.

    Args:
        suite, files: of which it is.
        submission: the folder for the answers.

    Raises:
        CorpusError: a test file is broken: it is known before hours are spent on training.
    """

    def __init__(self, suite: Suite, files: TaskFiles, submission: Path) -> None:
        self.suite, self.files, self.task = suite, files, files.task
        self.folder = RunFolder(suite.out / files.task.name)
        self._targets = {name: submission / f"{name}.tsv" for name in files.tests}
        self._tests = {  # not of what is answered already
            name: read_test(test, self.task.test_texts)
            for name, test in files.tests.items()
            if not is_fresh(self._targets[name], test, self.folder.result)
        }

    @cached_property
    def _model(self) -> FinetunedModel:
        return FinetunedModel(self.folder.out)

    def measure(self) -> dict[str, Measured]:
        """Fine-tune, and measure each part of the task that has development examples."""
        first, *others = self.task.parts
        reading = self.task.reading(self.suite.reading)
        result = self.suite.finetune(
            self.task.name,
            "classify" if self.task.labels else "regress",
            _named(self.files.train),
            _named(self.files.devs.get(first.name)),
            reading,
            headline=self.task.figures[0],
        )
        measured = {first.name: self._own(result, first)}
        for part in others:
            if part.name in self.files.devs:
                measured[part.name] = self._other(part, reading)
        return measured

    def _own(self, result: FinetuneResult, part: Part) -> Measured:
        summary = result.summary
        figures = _figures(self.task, summary.metrics)
        return Measured(figures, examples_cell(summary.counts["dev"], part.name not in self.files.devs), summary)

    def _other(self, part: Part, reading: LabelledConfig) -> Measured:
        """Figures on a development set that was not looked at in training; they are measured once."""
        data = self.files.devs[part.name]
        assert isinstance(data, Path)  # MNLI's
        kept = self.folder.training / f"{part.name}.json"
        if not is_fresh(kept, data, self.folder.result):
            task = self._model.task
            examples = self.suite.read(task, str(data), reading)
            answers = self._model.answer(examples, f"{part.name}, {data.name}", self.suite.reporter)
            figures = _figures(self.task, task.score(examples, answers))
            write_json(kept, {"examples": len(examples), "figures": figures})
        values: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return Measured(values["figures"], examples_cell(values["examples"]))

    def write_answers(self) -> list[Path]:
        """The file of answers to each test set that is there, unless it was written before."""
        for name, (indexes, examples) in self._tests.items():
            answers = self._model.answer(examples, f"{name}, {self.files.tests[name].name}", self.suite.reporter)
            lines = [f"{index}\t{_value(answer)}\n" for index, answer in zip(indexes, answers, strict=True)]
            write_text(self._targets[name], "".join(["index\tprediction\n", *lines]))
        return list(self._targets.values())


def _named(data: Any) -> Any:
    """Data as `finetune` keeps them in a run's settings: a path in words, so that its ending counts."""
    return str(data) if isinstance(data, Path) else data


def _value(answer: Any) -> str:
    """An answer as the server takes it."""
    if isinstance(answer, float):
        return f"{min(max(answer, 0.0), _HIGHEST):.3f}"
    label: str = answer.label
    return label


def _figures(task: GlueTask, metrics: Mapping[str, float]) -> dict[Figure, float]:
    """GLUE's figures of a task."""
    return {figure: metrics[figure] for figure in task.figures if figure in metrics}


def _zipped(files: Sequence[Path], target: Path) -> Path:
    with atomic_path(target) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return target


def _metrics(measured: Mapping[str, Measured]) -> dict[str, float]:
    """All our figures; the average if there is all that the paper's is over."""
    found = {
        part.key(figure): measured[part.name].figures[figure]
        for task in TASKS
        for part in task.parts
        if part.name in measured
        for figure in task.figures
        if figure in measured[part.name].figures
    }
    averaged = _averaged(measured)
    if len(averaged) == sum(part.paper is not None for part in PARTS):
        found["average"] = fmean(value for _, value in averaged)
    return found


def _averaged(measured: Mapping[str, Measured]) -> list[tuple[Part, float]]:
    """Ours of what the paper's average is over: the first figure of every part but WNLI, both of MNLI's counted."""
    return [
        (part, measured[part.name].figures[task.figures[0]])
        for task in TASKS
        for part in task.parts
        if part.paper is not None and part.name in measured and task.figures[0] in measured[part.name].figures
    ]


def _rows(measured: Mapping[str, Measured]) -> list[Row]:
    """All that the paper has, and all that is measured."""
    rows = []
    for task in TASKS:
        for part in task.parts:
            got = measured.get(part.name)
            for figure in task.figures:
                paper = part.paper if figure == task.figures[0] else None
                if paper is not None or got is not None:
                    cells = paper_cells(paper, len(PAPER_COLUMNS))
                    rows.append((part.name, FIGURE_NAMES[figure], *cells, *_our_cells(got, figure)))
    return rows


def _our_cells(got: Measured | None, figure: Figure) -> Row:
    if got is None:
        return NOTHING, ""
    cell = percent(got.figures.get(figure))
    return (with_spread(cell, got.summary, figure) if got.summary else cell), got.on


def _averages(measured: Mapping[str, Measured]) -> list[Row]:
    """The paper's average with ours, if ours is whole; else also that of what is measured."""
    every = [part for part in PARTS if part.paper is not None]
    averaged = _averaged(measured)
    whole = len(averaged) == len(every)
    mine = percent(fmean(value for _, value in averaged)) if averaged else NOTHING
    rows: list[Row] = [("average", "no WNLI", *_means(every), mine if whole else NOTHING, "")]
    if 1 < len(averaged) < len(every):
        parts = [part for part, _ in averaged]
        rows.append(("average", f"of these {len(parts)}", *_means(parts), mine, ""))
    return rows


def _means(parts: Sequence[Part]) -> Row:
    return paper_cells([fmean(column) for column in zip(*(part.paper for part in parts if part.paper), strict=True)], 0)
