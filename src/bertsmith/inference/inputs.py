"""What a user types or has in files -> examples of a model's task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bertsmith.data.labelled.examples import BadExamples, ChoiceExample, QuestionExample, TextExample, tell_left_out
from bertsmith.data.labelled.words import tagged_text
from bertsmith.errors import ConfigError, CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.progress import Reporter
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.text.streams import BadInput


def examples_of_texts(
    task: FinetuneTask[Any, Any],
    texts: Iterable[str],
    *,
    pair: str | None = None,
    question: str | None = None,
    choices: Sequence[str] | None = None,
) -> Iterator[Any]:
    """Examples of bare texts, as they come.

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
        return (QuestionExample(question or "", text) for text in texts)
    if task.name == "choose":
        if len(choices or ()) < 2:
            raise ConfigError("--choices needs at least two")
        return (ChoiceExample(text, tuple(choices or ())) for text in texts)
    if task.name == "tag":
        return map(tagged_text, texts)
    return (TextExample(text, pair) for text in texts)


def no_task_words(question: str | None, choices: Sequence[str] | None) -> None:
    """Raise a ConfigError for what only a fine-tuned model has a use for."""
    for name, value in {"question": question, "choices": choices}.items():
        if value is not None:
            raise ConfigError(f"--{name} has no use here: the model was not fine-tuned")


def examples_of_files(
    task: FinetuneTask[Any, Any], files: Sequence[str], reading: LabelledConfig, reporter: Reporter
) -> Iterator[Any]:
    """Examples of files, labelled or not, as they are read; says which columns are taken, and at the end what was left
    out.

    Raises:
        CorpusError: a broken example, when it is reached; or there is none.
    """
    skipped: list[BadInput] = []
    notes: list[str] = []
    kept = 0
    examples = task.stream(files, reading, skipped, notes)
    for example in task.readable(examples, BadExamples(reading.on_bad_input, skipped)):
        _tell(notes, reporter)
        kept += 1
        yield example
    _tell(notes, reporter)
    tell_left_out(skipped, kept, reporter)
    if not kept:
        raise CorpusError(f"{', '.join(files)}: no example is left")


def _tell(notes: list[str], reporter: Reporter) -> None:
    """Say what is to be said, once."""
    while notes:
        reporter.say(f"examples: {notes.pop(0)}")


def lines_of_stdin(piped: Iterable[bytes]) -> Iterator[str]:
    """The lines of what is piped in, as they come, empty ones too: answer n is that of line n.

    Raises:
        CorpusError: a line is no UTF-8.
    """
    for number, line in enumerate(piped, start=1):
        try:
            yield line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise CorpusError(f"stdin, line {number:,}: byte {error.start} is no UTF-8 ({error.reason})") from None
