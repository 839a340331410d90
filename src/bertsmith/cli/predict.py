"""`bertsmith predict MODEL TEXT…`."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from bertsmith.cli.common import ConfigFile, Json, LabelledOptions, Model, PrecisionOption, answer, reporter, stdout
from bertsmith.errors import ConfigError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.progress import Reporter


def predict(
    model: Model,
    texts: Annotated[
        list[str] | None,
        Parameter(
            allow_leading_hyphen=True,
            help="Texts; - reads stdin, a text a line (for questions: one text, the whole of it).",
        ),
    ] = None,
    *,
    pair: Annotated[str | None, Parameter(help="The second text of a pair.")] = None,
    question: Annotated[str | None, Parameter(help="What is asked of the text.")] = None,
    choices: Annotated[
        list[str] | None, Parameter(consume_multiple=True, help="Continuations of the text to choose from.")
    ] = None,
    file: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            help="Files of examples, as for finetune; labels need not be there. They are answered as they are read, "
            "however many there are; with --json the answers are one object, which is printed when all are there.",
        ),
    ] = None,
    precision: PrecisionOption = "auto",
    reading: LabelledOptions = LabelledConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    if bool(texts) == bool(file):
        raise ConfigError("give texts to predict, - for stdin, or --file: one of them")
    for name, value in (("pair", pair), ("question", question), ("choices", choices)):
        if file and value is not None:
            raise ConfigError(f"--{name} has no use with --file, which holds it")
    from bertsmith.inference.evaluate import answer_values
    from bertsmith.inference.inputs import examples_of_files, examples_of_texts
    from bertsmith.inference.predictor import load

    predictor, console = load(model, precision=precision), stdout()
    task = predictor.task
    if file:
        told = reporter()
        answered = predictor.predict_beside(examples_of_files(task, file, reading, told))
        if as_json or not console.is_terminal:  # else the answers show how far it is
            answered = _tracked(answered, told)
    else:
        given = _texts(texts or [], task.name)
        examples = examples_of_texts(task, given, pair=pair, question=question, choices=choices)
        answered = predictor.predict_beside(examples, soon="-" in (texts or []) and not as_json)
    if as_json:
        placed = (({"place": example.place} if file else {}, each) for example, each in answered)
        answer({"predictions": [{**place, **answer_values(each)} for place, each in placed]})
        return
    for example, each in answered:
        _print(console, task.name, example, each)


def _tracked(answered: Iterator[tuple[Any, Any]], told: Reporter) -> Iterator[tuple[Any, Any]]:
    """The same, with a bar."""
    with told.track("answering", total=None, unit="examples") as track:
        for count, pair in enumerate(answered, start=1):
            track.update(count)
            yield pair


def _texts(words: list[str], task: str) -> Iterator[str]:
    from bertsmith.inference.inputs import lines_of_stdin

    for word in words:
        if word != "-":
            yield word
        elif task == "answer":
            yield "\n".join(lines_of_stdin(sys.stdin.buffer))
        else:
            yield from lines_of_stdin(sys.stdin.buffer)


def _print(console: Console, task: str, example: Any, given: Any) -> None:
    """An answer for people: a line or two."""
    from rich.text import Text

    lines = {
        "classify": lambda: (
            f"{', '.join(f'{name} {given.probabilities[name]:.3f}' for name in given.labels) or 'none'}"
        ),
        "regress": lambda: f"{given:.4f}",
        "tag": lambda: "  ".join(f"{span.text} [{span.label}]" for span in given.spans) or " ".join(given.tags),
        "answer": lambda: "no answer in the text" if given.no_answer else f"{given.text}  ({given.start}–{given.end})",
        "choose": lambda: f"{given.index}: {given.text}",
    }
    shown = getattr(example, "question", None) or example.text
    console.print(
        Text(lines[task](), style="green"), Text(shown if len(shown) < 100 else f"{shown[:97]}…", style="dim")
    )
