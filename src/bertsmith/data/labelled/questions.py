"""Questions with their contexts and answers: SQuAD's JSON, tables (.jsonl, .csv, .tsv, .parquet), Python objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bertsmith.data.labelled.examples import GoldAnswer, Labelled, QuestionExample
from bertsmith.data.labelled.gold_answers import QuestionFault, check_placed, given_answers, search
from bertsmith.data.labelled.rows import BadData, paths_of, read_tables
from bertsmith.data.labelled.squad_json import is_squad, read_squad, squad_questions
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.chunks import encodable
from bertsmith.text.columns import kind_of_value, names_of
from bertsmith.text.sources import FORMATS, Source, list_sources
from bertsmith.text.streams import BadInput, BadInputs

_FORMATS = {".json": "json", **{ending: name for ending, name in FORMATS.items() if name != "txt"}}


def read_questions(
    data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None
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

    Raises:
        CorpusError: the first broken question, with its place; or there is none at all.
    """
    reader = _Reader(config, [], labelled=True)
    examples = list(reader.read(data))
    notes = []
    if reader.ambiguous:
        notes.append(
            f"{reader.ambiguous:,} answer(s) without answer_start stand several times in their contexts; the first "
            "place was taken"
        )
    return Labelled(examples, reader.skipped, notes)


def stream_questions(
    data: Any, config: LabelledConfig, skipped: list[BadInput], notes: list[str]
) -> Iterator[QuestionExample]:
    """Questions to be answered, one by one; of tables in bounded memory, while a .json is held whole.

    Args:
        data, config: as `read_questions` takes them; answers are not read.
        skipped: what is left out is appended here on the way.
        notes: nothing is to be said of questions.

    Raises:
        CorpusError: a broken question, when it is reached; or there is none.
    """
    return _Reader(config, skipped, labelled=False).read(data)


class _Reader:
    """Reads questions.

    Args:
        config: columns, and what to do with what is broken.
        skipped: what is left out is appended here.
        labelled: False reads no answers.
    """

    def __init__(self, config: LabelledConfig, skipped: list[BadInput], *, labelled: bool) -> None:
        self.config, self.skipped, self.labelled = config, skipped, labelled
        self.ambiguous = 0  # answers without a start that stand several times in their context
        self._places: dict[str, str] = {}  # of each id

    def read(self, data: Any) -> Iterator[QuestionExample]:
        """The questions of any data.

        Raises:
            CorpusError: there is none.
        """
        empty = True
        for example in filter(None, self._each(data)):
            empty = False
            yield example
        if empty:
            count = sum(bad.count for bad in self.skipped)
            first = f" ({count:,} left out, first {self.skipped[0].place}: {self.skipped[0].reason})" if count else ""
            raise CorpusError(f"no question found{first}. Give SQuAD's .json, or rows with question, context, answers.")

    def _each(self, data: Any) -> Iterator[QuestionExample | None]:
        """As `read`, with None for each that is broken."""
        bad = BadData(self.config, self.skipped)
        if paths := paths_of(data):
            for source in list_sources(paths, _FORMATS):
                yield from self._of_json(source) if source.format == "json" else self._of_tables(source.url)
        elif isinstance(data, Mapping) and is_squad(data):
            for within, values in squad_questions(data):
                yield self._made(values, bad.where(within), partial(bad.report, within))
        elif isinstance(data, list | tuple) and data and all(isinstance(item, QuestionExample) for item in data):
            for number, example in enumerate(data, start=1):
                within = f"question {number:,}"
                placed = replace(example, place=example.place or bad.where(within))
                yield self._checked(placed, partial(bad.report, within))
        else:
            yield from self._of_tables(data)

    def _of_json(self, source: Source) -> Iterator[QuestionExample | None]:
        bad = BadInputs(source, self.config.on_bad_input, self.skipped)
        for within, values in read_squad(source, bad):
            yield self._made(values, bad.where(within), partial(bad.report, within))

    def _of_tables(self, data: Any) -> Iterator[QuestionExample | None]:
        for table in read_tables(data, self.config, self.skipped):
            names = {
                "context": table.column(self.config.text_column),
                "question": table.column(self.config.pair_column),
                "answers": table.column(self.config.label_column) if self.labelled else None,
            }
            for row in table.rows:
                named = {name: row.values.get(column) for name, column in names.items() if column is not None}
                yield self._made({**row.values, **named}, row.place, row.report)

    def _made(self, values: Mapping[str, Any], place: str, report: Callable[[str], None]) -> QuestionExample | None:
        """A question of what the data has of it; None after a report."""
        try:
            question, context = _text(values, "question").strip(), _text(values, "context")
            given = given_answers(values) if self.labelled else None
            answers = None if given is None else tuple(self._placed(text, start, context) for text, start in given)
        except QuestionFault as fault:
            report(str(fault))
            return None
        name = values.get("id")
        example = QuestionExample(question, context, answers, "" if name is None else str(name), place)
        return self._checked(example, report)

    def _placed(self, text: str, start: int | None, context: str) -> GoldAnswer:
        if start is None:
            start, count = search(text, context)
            self.ambiguous += count > 1
        return GoldAnswer(text, start)

    def _checked(self, example: QuestionExample, report: Callable[[str], None]) -> QuestionExample | None:
        """The example, or None after a report."""
        try:
            self._check(example)
        except QuestionFault as fault:
            report(str(fault))
            return None
        return replace(example, answers=example.answers if self.labelled else None, id=example.id or example.place)

    def _check(self, example: QuestionExample) -> None:
        if not example.question.strip():
            raise QuestionFault("the question is empty")
        if not example.context.strip():
            raise QuestionFault("the context is empty")
        if not self.labelled:
            return
        if example.id in self._places:
            raise QuestionFault(f'the id "{example.id}" is also that of {self._places[example.id]}; each needs its own')
        if example.answers is None:
            raise QuestionFault('no "answers"; of a question that has none, they are an empty list')
        for answer in example.answers:
            check_placed(answer, example.context)
        if example.id:
            self._places[example.id] = example.place


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if isinstance(value, str):
        return encodable(value)
    if name not in values:
        raise QuestionFault(f'no "{name}"; there are {names_of(list(values))}')
    raise QuestionFault(f'"{name}" must be a text, found {kind_of_value(value)}')
