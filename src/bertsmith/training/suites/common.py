"""What the suites share: a task's fine-tuning, the answers of the model that came of it, tables and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertsmith.files import write_json
from bertsmith.finetune_config import FinetuneConfig, FinetuneName, LabelledConfig
from bertsmith.model.folder import read_model_folder
from bertsmith.progress import Reporter
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.tasks.registry import task_class_of
from bertsmith.text.sources import COMPRESSIONS
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.finetune import FinetuneResult, finetune
from bertsmith.training.summary import Summary

NOTHING = "–"  # in a cell: not measured, or not reported

Row = tuple[str, ...]


@dataclass(frozen=True)
class SuiteResult:
    """A finished suite.

    Attributes:
        out: its folder.
        metrics: ours.
        title, header, rows: a table of the paper's figures and ours, in percent.
        files: what to hand in, or to give to official scripts.
        notes: what is not there, and why.
    """

    out: Path
    metrics: dict[str, float]
    title: str
    header: Row
    rows: tuple[Row, ...]
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Suite:
    """A suite on its way; the arguments are those of `run_suite`.

    Attributes:
        done: what the run of each task came to, for `results.json`.
        notes: what is not there, and why.
    """

    name: str
    model: Path
    folder: Path
    out: Path
    config: FinetuneConfig
    reading: LabelledConfig
    reporter: Reporter
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def finetune(
        self,
        name: str,
        task: FinetuneName,
        train: Any,
        dev: Any,
        reading: LabelledConfig,
        *,
        headline: str | None = None,
    ) -> FinetuneResult:
        """Fine-tune into a folder of this name, go on there, or take what is finished there; see `finetune`."""
        result = finetune(
            task,
            train,
            self.out / name,
            model=self.model,
            dev=dev,
            config=self.config,
            reading=reading,
            reporter=self.reporter,
            headline=headline,
        )
        summary = result.summary
        self.done[name] = {
            "run": name,
            "metrics": summary.metrics,
            "counts": summary.counts,
            "recipe": summary.recipe,
            "seeds": {str(seed): metrics for seed, metrics in summary.seeds.items()},
        }
        return result

    def read(self, task: FinetuneTask[Any, Any], data: Any, reading: LabelledConfig) -> list[Any]:
        """Labelled examples that the run itself did not read; says what was left out."""
        labelled = task.read_to_measure(data, reading)
        if count := labelled.tell(self.reporter):
            self.notes.append(f"{count:,} broken example(s) left out, {len(labelled.examples):,} kept")
        return labelled.examples

    def note(self, message: str) -> None:
        """Say what is missing, and keep it."""
        self.reporter.warn(message)
        self.notes.append(message)

    def finish(
        self,
        metrics: dict[str, float],
        *,
        title: str,
        header: Row,
        rows: Sequence[Row],
        files: Sequence[Path],
    ) -> SuiteResult:
        """Write `results.json`."""
        result = SuiteResult(self.out, metrics, title, header, tuple(rows), tuple(files), tuple(self.notes))
        values = {
            "suite": self.name,
            "model": str(self.model),
            "data": str(self.folder),
            "metrics": metrics,
            "table": {"title": title, "header": header, "rows": rows},
            "tasks": self.done,
            "files": [str(file.relative_to(self.out)) for file in files],
            "notes": self.notes,
        }
        write_json(self.out / "results.json", values)
        return result


class FinetunedModel:
    """The model of a finished run, with its task.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self.model, _ = read_model_folder(folder)
        assert self.model.head is not None  # `finetune` wrote it
        longest = self.model.config.max_position_embeddings
        kind = task_class_of(self.model.head)
        self.task: FinetuneTask[Any, Any] = kind(self.model.head, WordPiece.load(folder), longest=longest)

    def answer(self, examples: Sequence[Any], what: str, reporter: Reporter) -> list[Any]:
        """An answer to each example, in order."""
        answers = []
        with reporter.track(f"answering {what}", total=len(examples), unit="examples") as track:
            for answer in self.task.answer_each(self.model, examples):
                answers.append(answer)
                track.update(len(answers))
        return answers


def beside(folder: Path, name: str) -> Path | None:
    """The file of this name in a folder, plain or compressed; None if there is none."""
    names = (name, *(f"{name}{ending}" for ending in COMPRESSIONS))
    return next((folder / each for each in names if (folder / each).is_file()), None)


def is_fresh(made: Path, *sources: Path) -> bool:
    """Whether a file is there and not older than what it is made of, so that it need not be made again."""
    files = (*sources, made)
    if not all(file.is_file() for file in files):
        return False
    times = [file.stat().st_mtime_ns for file in files]
    return max(times) == times[-1]


def listed(folder: Path) -> str:
    """What a folder holds, in words."""
    names = sorted(each.name + "/" * each.is_dir() for each in folder.iterdir() if not each.name.startswith("."))
    return "There are: " + ", ".join(names[:20]) + (", …" if len(names) > 20 else ".") if names else "It is empty."


def percent(value: float | None) -> str:
    """A share as a cell in percent."""
    return NOTHING if value is None else f"{100 * value:.1f}"


def examples_cell(count: int, kept_back: bool = False) -> str:
    """How many examples ours was measured on, and whether they are some of the training file."""
    return f"{count:,}" + " of train" * kept_back


def with_spread(cell: str, summary: Summary, name: str, *, scale: float = 100.0) -> str:
    """A cell, with mean and standard deviation over the seeds where there were several."""
    if len(summary.seeds) < 2 or name not in summary.metrics:
        return cell
    mean, deviation = summary.spread(name)
    return f"{cell} ({scale * mean:.1f} ± {scale * deviation:.1f})"


def ours(where: str, config: FinetuneConfig) -> str:
    """The head of the column of our figures."""
    return f"ours, {where}" + (f": best (mean ± sd of {config.seeds} seeds)" if config.seeds > 1 else "")


def paper_cells(figures: Sequence[float | None] | None, columns: int) -> Row:
    """The paper's figures of a row, which are in percent; as many empty cells where it has none."""
    return tuple(NOTHING if value is None else f"{value:.1f}" for value in figures or (None,) * columns)
