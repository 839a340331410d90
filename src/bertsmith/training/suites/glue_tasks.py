"""GLUE: the files, columns, labels and figures of each task, and what BERT's paper reports.

References:
    Wang et al. 2018, GLUE; Devlin et al. 2019, section 4.1 and table 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bertsmith.finetune_config import LabelledConfig

Figure = Literal["accuracy", "f1", "mcc", "pearson", "spearman"]
FIGURE_NAMES: Mapping[Figure, str] = {
    "accuracy": "accuracy",
    "f1": "F1",
    "mcc": "MCC",
    "pearson": "Pearson",
    "spearman": "Spearman",
}
PAPER_COLUMNS = ("OpenAI GPT", "BERT-base", "BERT-large")
_BINARY = ("0", "1")
_ENTAILS = ("entailment", "not_entailment")


@dataclass(frozen=True)
class Part:
    """A development and a test set of a task: one, and of MNLI two.

    Attributes:
        name: of its row in the table, and of the file that the server takes.
        dev, test: names of its files.
        paper: the task's first figure on the test set, in percent, for each of PAPER_COLUMNS; None where it has none.
    """

    name: str
    dev: str = "dev.tsv"
    test: str = "test.tsv"
    paper: tuple[float, float, float] | None = None

    def key(self, figure: Figure) -> str:
        """What a figure is called in `metrics`."""
        return f"{self.name.lower().replace('-', '_')}_{figure}"


@dataclass(frozen=True)
class GlueTask:
    """A task of GLUE.

    Attributes:
        name: of its folder.
        texts: columns of the text and, if there is one, of its partner.
        label: column of the label or score.
        labels: what the server takes; of Hugging Face's copies, which count them from 0, in the same order. Empty for
            numbers from 0 to 5.
        figures: GLUE's; the first is the paper's, and what weights, seeds and trials are chosen by.
        parts: its development and test sets.
        test_text: the column of the text in the test file, where it has another name there.
    """

    name: str
    texts: tuple[str, ...]
    label: str
    labels: tuple[str, ...]
    figures: tuple[Figure, ...]
    parts: tuple[Part, ...]
    test_text: str | None = None

    @property
    def test_texts(self) -> tuple[str, ...]:
        """Columns of the texts in the test file."""
        return (self.test_text,) if self.test_text else self.texts

    def reading(self, given: LabelledConfig) -> LabelledConfig:
        """How the task's training and development files are read."""
        return LabelledConfig(
            text_column=self.texts[0],
            pair_column=self.texts[1] if len(self.texts) > 1 else None,
            label_column=self.label,
            labels=",".join(self.labels) or None,
            header=not self.texts[0].isdecimal(),
            # Of the published QQP a few questions have a line break in them, so that their rows are none. Every reader
            # of it leaves them out.
            on_bad_input="skip" if self.name == "QQP" else given.on_bad_input,
        )


# In the order of the paper's table.
TASKS = (
    GlueTask(
        "MNLI",
        ("sentence1", "sentence2"),
        "gold_label",
        ("entailment", "neutral", "contradiction"),
        ("accuracy",),
        (
            Part("MNLI-m", "dev_matched.tsv", "test_matched.tsv", (82.1, 84.6, 86.7)),
            Part("MNLI-mm", "dev_mismatched.tsv", "test_mismatched.tsv", (81.4, 83.4, 85.9)),
        ),
    ),
    GlueTask(
        "QQP",
        ("question1", "question2"),
        "is_duplicate",
        _BINARY,
        ("f1", "accuracy"),
        (Part("QQP", paper=(70.3, 71.2, 72.1)),),
    ),
    GlueTask(
        "QNLI",
        ("question", "sentence"),
        "label",
        _ENTAILS,
        ("accuracy",),
        (Part("QNLI", paper=(87.4, 90.5, 92.7)),),
    ),
    GlueTask("SST-2", ("sentence",), "label", _BINARY, ("accuracy",), (Part("SST-2", paper=(91.3, 93.5, 94.9)),)),
    GlueTask("CoLA", ("4",), "2", _BINARY, ("mcc",), (Part("CoLA", paper=(45.4, 52.1, 60.5)),), test_text="sentence"),
    GlueTask(
        "STS-B",
        ("sentence1", "sentence2"),
        "score",
        (),
        ("spearman", "pearson"),
        (Part("STS-B", paper=(80.0, 85.8, 86.5)),),
    ),
    GlueTask(
        "MRPC",
        ("#1 String", "#2 String"),
        "Quality",
        _BINARY,
        ("f1", "accuracy"),
        (Part("MRPC", paper=(82.3, 88.9, 89.3)),),
    ),
    GlueTask(
        "RTE",
        ("sentence1", "sentence2"),
        "label",
        _ENTAILS,
        ("accuracy",),
        (Part("RTE", paper=(56.0, 66.4, 70.1)),),
    ),
    GlueTask("WNLI", ("sentence1", "sentence2"), "label", _BINARY, ("accuracy",), (Part("WNLI"),)),
)
MNLI = TASKS[0]

# The diagnostic set has no labels here: MNLI's model answers it, and the server compares.
DIAGNOSTIC = Part("AX", test="diagnostic.tsv")
DIAGNOSTIC_FOLDERS = ("AX", "diagnostic", "diagnostics")
DIAGNOSTIC_FILES = ("diagnostic.tsv", "AX.tsv", "test.tsv")

PARTS = tuple(part for task in TASKS for part in task.parts)
SUBMISSION = tuple(sorted((*(part.name for part in PARTS), DIAGNOSTIC.name)))


def plain(name: str) -> str:
    """A folder's name as it is compared: SST-2, sst2 and sst_2 are one."""
    return re.sub(r"[\W_]+", "", name.lower())
