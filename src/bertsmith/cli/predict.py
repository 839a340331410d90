"""`bertsmith predict MODEL TEXT…`."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import Parameter

from bertsmith.cli.common import ConfigFile, Json, LabelledOptions, Model, PrecisionOption, answer, reporter, stdout
from bertsmith.config import LabelledConfig
from bertsmith.errors import ConfigError


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
        Parameter(consume_multiple=True, help="Files of examples, as for finetune; labels need not be there."),
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

    predictor = load(model, precision=precision)
    if file:
        examples = examples_of_files(predictor.task, file, reading, reporter())
    else:
        examples = examples_of_texts(
            predictor.task,
            list(_texts(texts or [], predictor.task.name)),
            pair=pair,
            question=question,
            choices=choices,
        )
    answers = predictor.predict(examples)
    if as_json:
        placed = [{"place": example.place} if file else {} for example in examples]
        said = [{**place, **answer_values(each)} for place, each in zip(placed, answers, strict=True)]
        answer({"predictions": said})
        return
    for example, each in zip(examples, answers, strict=True):
        _print(predictor.task.name, example, each)


def _texts(words: list[str], task: str) -> Iterator[str]:
    from bertsmith.inference.inputs import lines_of_stdin

    for word in words:
        if word != "-":
            yield word
        elif task == "answer":
            yield "\n".join(lines_of_stdin(sys.stdin.buffer.read()))
        else:
            yield from lines_of_stdin(sys.stdin.buffer.read())


def _print(task: str, example: Any, given: Any) -> None:
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
    stdout().print(
        Text(lines[task](), style="green"), Text(shown if len(shown) < 100 else f"{shown[:97]}…", style="dim")
    )
