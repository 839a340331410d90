"""What a user types or has in files -> examples of a model's task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bertsmith.config import LabelledConfig
from bertsmith.data.labelled.examples import BadExamples, ChoiceExample, QuestionExample, TextExample
from bertsmith.data.labelled.words import tagged_text
from bertsmith.errors import ConfigError, CorpusError
from bertsmith.progress import Reporter
from bertsmith.tasks.finetuning import FinetuneTask


def examples_of_texts(
    task: FinetuneTask[Any, Any],
    texts: Sequence[str],
    *,
    pair: str | None = None,
    question: str | None = None,
    choices: Sequence[str] | None = None,
) -> list[Any]:
    """Examples of bare texts.

    Raises:
        ConfigError: something that the task needs is missing, or was given and has no use.
    """
    needs = {"answer": "question", "choose": "choices"}.get(task.name)
    given = {"pair": pair, "question": question, "choices": choices}
    allowed = {"classify": "pair", "regress": "pair"}.get(task.name, needs)
    for name, value in given.items():
        if value is not None and name != allowed:
            raise ConfigError(f"--{name} has no use here: the model was fine-tuned for {task.name}")
    if needs and given[needs] is None:
        raise ConfigError(f"the model was fine-tuned for {task.name}: give --{needs} too")
    if task.name == "answer":
        return [QuestionExample(question or "", text) for text in texts]
    if task.name == "choose":
        if len(choices or ()) < 2:
            raise ConfigError("--choices needs at least two")
        return [ChoiceExample(text, tuple(choices or ())) for text in texts]
    if task.name == "tag":
        return [tagged_text(text) for text in texts]
    return [TextExample(text, pair) for text in texts]


def examples_of_files(
    task: FinetuneTask[Any, Any], files: Sequence[str], reading: LabelledConfig, reporter: Reporter
) -> list[Any]:
    """Examples of files, labelled or not; says which columns were taken, and what was left out.

    Raises:
        CorpusError: broken or empty files.
    """
    read = task.read(files, reading, labelled=False)
    examples = list(task.readable(read.examples, BadExamples(reading.on_bad_input, read.skipped)))
    replace(read, examples=examples).tell(reporter)
    if not examples:
        raise CorpusError(f"{', '.join(files)}: no examples")
    return examples


def lines_of_stdin(data: bytes) -> list[str]:
    """The lines of what was piped in, empty ones too: answer n is that of line n.

    Raises:
        CorpusError: a line is no UTF-8.
    """
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(line.decode().rstrip("\r"))
        except UnicodeDecodeError as error:
            raise CorpusError(f"stdin, line {number:,}: byte {error.start} is no UTF-8 ({error.reason})") from None
    return texts
