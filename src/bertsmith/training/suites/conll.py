"""CoNLL: entities found in a folder's own sets, strict F1, and a file of predictions that `conlleval` reads.

References:
    Tjong Kim Sang and De Meulder 2003; Devlin et al. 2019, section 5.3, table 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bertsmith.data.labelled.examples import TaggedText
from bertsmith.errors import CorpusError
from bertsmith.files import write_text
from bertsmith.tasks.tagging import Tagging
from bertsmith.text.sources import COMPRESSIONS
from bertsmith.training.suites.common import (
    NOTHING,
    FinetunedModel,
    Row,
    Suite,
    SuiteResult,
    examples_cell,
    listed,
    ours,
    paper_cells,
    percent,
    with_spread,
)
from bertsmith.training.summary import Summary

_ENDINGS = ("txt", "conll", "conllu", "bio", "iob", "iob2", "bioes", "tsv")
_ROLES: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("testa", "dev", "devel", "valid", "validation", "val"), "dev"),
    **dict.fromkeys(("testb", "test"), "test"),
}
_COLUMNS = ("BERT-base", "BERT-large")
_PAPER: Mapping[str, tuple[float, float]] = {"dev": (96.4, 96.6), "test": (92.4, 92.8)}  # F1
_NAMES = {"f1": "entity F1", "precision": "precision", "recall": "recall", "accuracy": "accuracy of words"}


def run_conll(suite: Suite) -> SuiteResult:
    """See `run_suite`."""
    found = find_sets(suite.folder)
    if "dev" not in found:
        suite.note(f"{suite.folder}: no development file; a share of the training examples is kept for evaluation")
    suite.reporter.say(f"task 1 of 1: {', '.join(path.name for path in found['train'])}")
    train, dev, test = ([str(path) for path in found.get(role, ())] for role in ("train", "dev", "test"))
    summary = suite.finetune("tagger", "tag", train, dev or None, suite.reading).summary
    rows = _rows("dev", examples_cell(summary.counts["dev"], not dev), summary.metrics, summary)
    metrics = {f"dev_{name}": value for name, value in summary.metrics.items()}
    files = []
    if test:
        model = FinetunedModel(suite.out / "tagger")
        examples: list[TaggedText] = suite.read(model.task, test, suite.reading)
        answers: list[Tagging] = model.answer(examples, _named(found["test"]), suite.reporter)
        figures = model.task.score(examples, answers)
        rows += _rows("test", examples_cell(len(examples)), figures, None)
        metrics |= {f"test_{name}": value for name, value in figures.items()}
        files.append(suite.out / "test.predictions.txt")
        write_text(files[0], conll_form(examples, answers))
    else:
        suite.note(f"{suite.folder}: no test file, so there are no test figures and no test.predictions.txt")
    return suite.finish(
        metrics,
        title="CoNLL, in percent: the paper's on CoNLL-2003 (Devlin et al. 2019, table 7), ours on this folder's sets",
        header=("set", "figure", *_COLUMNS, ours("here", suite.config), "examples"),
        rows=rows,
        files=files,
    )


def find_sets(folder: Path) -> dict[str, list[Path]]:
    """The files of each role that their names tell: eng.testa, train.txt, en_ewt-ud-train-00.conllu, valid.bio.gz.

    Raises:
        CorpusError: there is none to train on, or it is not clear which.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        role = _role(path.name) if path.is_file() and not path.name.startswith(".") else None
        if role is not None:
            found.setdefault(role, []).append(path)
    if "train" not in found:
        raise CorpusError(
            f"{folder}: nothing to train on is here. Looked for eng.train with eng.testa and eng.testb, or train, dev "
            f"(or valid) and test with the endings .{', .'.join(_ENDINGS)}. {listed(folder)}"
        )
    for role, paths in found.items():
        if len({re.sub(r"\d+", "", path.name.lower()) for path in paths}) > 1:
            raise CorpusError(
                f"{folder}: which is the {role} set: {', '.join(path.name for path in paths)}? Only files that are "
                "numbered, and otherwise named alike, are one. Move those away that are not meant."
            )
    return found


def _role(name: str) -> str | None:
    """train, dev or test, of a file that may hold words and tags."""
    words = re.findall("[a-z]+", name.lower())
    roles = {_ROLES[word] for word in words if word in _ROLES}
    if len(roles) != 1 or "predictions" in words:
        return None
    return roles.pop() if _kind(name) in _ENDINGS or _kind(name) in _ROLES else None


def _kind(name: str) -> str:
    """The ending, without that of a compression; of eng.train it is "train", and of a name without any the name."""
    name = name.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return name.rsplit(".", 1)[-1]


def _named(paths: Sequence[Path]) -> str:
    return paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _rows(which: str, on: str, figures: Mapping[str, float], summary: Summary | None) -> list[Row]:
    """A row a figure; `summary` tells those of several seeds."""
    rows = []
    for name, shown in _NAMES.items():
        if name in figures or name == "f1":
            cell = percent(figures.get(name)) if name in figures else NOTHING
            paper = _PAPER[which] if name == "f1" else None
            mine = with_spread(cell, summary, name) if summary else cell
            rows.append((which, shown, *paper_cells(paper, len(_COLUMNS)), mine, on))
    return rows


def conll_form(examples: Sequence[TaggedText], answers: Sequence[Tagging]) -> str:
    """Word, right tag and answer on each line, a blank line after each sentence; spans as BIO.

    White space in a word is written as "_", since spaces part the columns.
    """
    lines = []
    for example, answer in zip(examples, answers, strict=True):
        words = ("_".join(example.text[start:end].split()) or "_" for start, end in example.words)
        for word, right, said in zip(words, example.tags or (), answer.tags, strict=True):
            lines.append(f"{word} {right} {said}\n")
        lines.append("\n")
    return "".join(lines)
