"""Questions with their contexts and answers: SQuAD's JSON, tables (.jsonl, .csv, .tsv, .parquet), Python objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bertsmith.config import LabelledConfig
from bertsmith.data.labelled.examples import GoldAnswer, Labelled, QuestionExample
from bertsmith.data.labelled.gold_answers import QuestionFault, check_placed, given_answers, search
from bertsmith.data.labelled.rows import BadData, paths_of, read_tables
from bertsmith.data.labelled.squad_json import is_squad, read_squad, squad_questions
from bertsmith.errors import CorpusError
from bertsmith.text.chunks import encodable
from bertsmith.text.columns import kind_of_value, names_of
from bertsmith.text.sources import FORMATS, Source, list_sources
from bertsmith.text.streams import BadInput, BadInputs

_FORMATS = {".json": "json", **{ending: name for ending, name in FORMATS.items() if name != "txt"}}


def read_questions(
    data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None, labelled: bool = True
) -> Labelled[QuestionExample]:
    """Questions of files or Python objects.

    A question has `question`, `context`, perhaps `id`, and its answers: `answers`, a list of `{"text", "answer_start"}`
    or `{"text": […], "answer_start": […]}`, empty where the context has none; or one `answer`, with or without its
    `answer_start`. An answer whose start is not given is searched for. `is_impossible` says that there is none;
    `plausible_answers` are passed over. `text_column`, `pair_column` and `label_column` of the config are other names
    of `context`, `question` and `answers`.

    Args:
        data: a path, glob, folder or URL, or several: .json in any layout of SQuAD, tables with a row a question;
            or Python objects: what such a .json holds, a DataFrame or the like, a list of dicts or of examples.
        config: columns, and what to do with what is broken.
        labels: not used: answers are no labels.
        labelled: False reads no answers.

    Raises:
        CorpusError: the first broken question, with its place; or there is none at all.
    """
    reader = _Reader(config, labelled)
    bad = BadData(config, reader.skipped)
    if paths := paths_of(data):
        for source in list_sources(paths, _FORMATS):
            if source.format == "json":
                reader.take_json(source)
            else:
                reader.take_tables(source.url)
    elif isinstance(data, Mapping) and is_squad(data):
        for within, values in squad_questions(data):
            reader.take(values, bad.where(within), partial(bad.report, within))
    elif isinstance(data, list | tuple) and data and all(isinstance(item, QuestionExample) for item in data):
        for number, example in enumerate(data, start=1):
            within = f"question {number:,}"
            reader.keep(replace(example, place=example.place or bad.where(within)), partial(bad.report, within))
    else:
        reader.take_tables(data)
    return reader.finished()


class _Reader:
    """Gathers questions, and what is wrong with others."""

    def __init__(self, config: LabelledConfig, labelled: bool) -> None:
        self.config, self.labelled = config, labelled
        self.examples: list[QuestionExample] = []
        self.skipped: list[BadInput] = []
        self._places: dict[str, str] = {}  # of each id
        self._ambiguous = 0  # answers without a start that stand several times in their context

    def take_json(self, source: Source) -> None:
        """The questions of a .json file."""
        bad = BadInputs(source, self.config.on_bad_input, self.skipped)
        for within, values in read_squad(source, bad):
            self.take(values, bad.where(within), partial(bad.report, within))

    def take_tables(self, data: Any) -> None:
        """The questions of tables, a row each."""
        for table in read_tables(data, self.config, self.skipped):
            names = {
                "context": table.column(self.config.text_column),
                "question": table.column(self.config.pair_column),
                "answers": table.column(self.config.label_column) if self.labelled else None,
            }
            for row in table.rows:
                named = {name: row.values.get(column) for name, column in names.items() if column is not None}
                self.take({**row.values, **named}, row.place, row.report)

    def take(self, values: Mapping[str, Any], place: str, report: Callable[[str], None]) -> None:
        """One question as the data has it."""
        try:
            question, context = _text(values, "question").strip(), _text(values, "context")
            given = given_answers(values) if self.labelled else None
            answers = None if given is None else tuple(self._placed(text, start, context) for text, start in given)
        except QuestionFault as fault:
            report(str(fault))
            return
        name = values.get("id")
        self.keep(QuestionExample(question, context, answers, "" if name is None else str(name), place), report)

    def _placed(self, text: str, start: int | None, context: str) -> GoldAnswer:
        if start is None:
            start, count = search(text, context)
            self._ambiguous += count > 1
        return GoldAnswer(text, start)

    def keep(self, example: QuestionExample, report: Callable[[str], None]) -> None:
        """An example, if nothing is wrong with it."""
        try:
            self._check(example)
        except QuestionFault as fault:
            report(str(fault))
            return
        if example.id:
            self._places[example.id] = example.place
        answers = example.answers if self.labelled else None
        self.examples.append(replace(example, answers=answers, id=example.id or example.place))

    def _check(self, example: QuestionExample) -> None:
        if not example.question.strip():
            raise QuestionFault("the question is empty")
        if not example.context.strip():
            raise QuestionFault("the context is empty")
        if example.id in self._places:
            raise QuestionFault(f'the id "{example.id}" is also that of {self._places[example.id]}; each needs its own')
        if not self.labelled:
            return
        if example.answers is None:
            raise QuestionFault('no "answers"; of a question that has none, they are an empty list')
        for answer in example.answers:
            check_placed(answer, example.context)

    def finished(self) -> Labelled[QuestionExample]:
        """What was read.

        Raises:
            CorpusError: nothing was.
        """
        if not self.examples:
            count = sum(bad.count for bad in self.skipped)
            first = f" ({count:,} left out, first {self.skipped[0].place}: {self.skipped[0].reason})" if count else ""
            raise CorpusError(f"no question found{first}. Give SQuAD's .json, or rows with question, context, answers.")
        notes = []
        if self._ambiguous:
            notes.append(
                f"{self._ambiguous:,} answer(s) without answer_start stand several times in their contexts; the first "
                "place was taken"
            )
        return Labelled(self.examples, self.skipped, notes)


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if isinstance(value, str):
        return encodable(value)
    if name not in values:
        raise QuestionFault(f'no "{name}"; there are {names_of(list(values))}')
    raise QuestionFault(f'"{name}" must be a text, found {kind_of_value(value)}')
