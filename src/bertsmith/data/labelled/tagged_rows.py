"""Rows of a table -> tagged sentences: a list of words and one of tags, or a text and spans of its characters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bertsmith.data.labelled.rows import Row, Table, read_tables
from bertsmith.data.labelled.spans import Span, SpanError, WordSpans, split_words, words_with_tags
from bertsmith.data.labelled.tagged import TaggedSentence, join_words, locate
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.chunks import encodable
from bertsmith.text.streams import BadInput

_WORDS = ("tokens", "words")
_TEXTS = ("text", "sentence", "content", "data")
_TAGS = ("tags", "ner_tags", "pos_tags", "upos", "ner", "pos")
_SPANS = ("spans", "entities", "ents", "label", "labels")
_STARTS, _ENDS = ("start", "start_offset", "begin"), ("end", "end_offset", "stop")
_LABELS = ("label", "type", "entity", "entity_group", "tag")


def read_tagged_rows(
    data: Any, config: LabelledConfig, skipped: list[BadInput], notes: list[str], *, labelled: bool = True
) -> Iterator[TaggedSentence]:
    """The sentences of tables; broken ones are left out, and noted in `skipped`.

    Args:
        data, config, skipped: as `read_tables` takes them.
        notes: what the user should know is appended here.
        labelled: whether tags are read.

    Raises:
        CorpusError: a column that is not there, or the first broken row, where the user chose to stop.
    """
    for table in read_tables(data, config, skipped):
        named = table.column(config.text_column)
        usual = tuple(name for name in (_first(_WORDS, table), _first(_TEXTS, table)) if name)
        content = (named,) if named else usual
        said = None
        if labelled:
            said = table.column(config.label_column) or _tags_column(table, notes, spans=not {*_WORDS} & {*content})
        if not content or (labelled and said is None):
            table.report(
                f"there must be columns of words ({' or '.join(_WORDS)}) and tags ({', '.join(_TAGS)}), or of text "
                f"({', '.join(_TEXTS)}) and spans ({', '.join(_SPANS)}); found are {', '.join(table.columns)}: "
                "name them with --text-column and --label-column"
            )
            continue
        reader = _RowReader(content, said)
        yield from filter(None, map(reader.sentence, table.rows))


def _first(names: Iterable[str], table: Table) -> str | None:
    return next((name for name in names if name in table.columns), None)


def _tags_column(table: Table, notes: list[str], *, spans: bool) -> str | None:
    """The column of tags or spans by its usual names; where there are several, a note says which was taken."""
    order = (*_SPANS, *_TAGS) if spans else (*_TAGS, *_SPANS)
    there = [name for name in order if name in table.columns]
    if len(there) > 1:
        notes.append(
            f"the tags are those of column {there[0]}; name another with --label-column ({', '.join(there[1:])})"
        )
    return there[0] if there else None


@dataclass(frozen=True)
class _RowReader:
    """Makes sentences of rows.

    Attributes:
        content: the columns in which words or the text may be, the first that fits wins.
        said: the column of tags or spans; None for words or text alone.
    """

    content: tuple[str, ...]
    said: str | None

    def sentence(self, row: Row) -> TaggedSentence | None:
        """None where the row is broken and was reported."""
        try:
            text, words, tags = self._read(row)
        except SpanError as error:
            row.report(str(error))
            return None

        def report(word: int | None, reason: str) -> None:
            row.report(reason if word is None else f"word {word + 1}: {reason}")

        return TaggedSentence(text, words, tags, row.place, report)

    def _read(self, row: Row) -> tuple[str, WordSpans, tuple[str, ...] | None]:
        cells = [row.values.get(column) for column in self.content]
        words = next((found for cell in cells if (found := _as_list(cell)) is not None), None)
        text = next((encodable(cell) for cell in cells if isinstance(cell, str) and cell.strip()), None)
        said = None if self.said is None else _as_list(row.values.get(self.said))
        if self.said is not None and said is None:
            raise SpanError(f'no list of tags or spans in "{self.said}"')
        spans = said is not None and (not said or isinstance(said[0], dict | list | tuple))
        if text is not None and (words is None or spans):
            if said is None:
                return text, split_words(text), None
            return text, *words_with_tags(text, list(map(_span, said)))
        if not words:
            raise SpanError(f"no words and no text in {' or '.join(self.content)}")
        if not all(isinstance(word, str) and word.strip() for word in words):
            raise SpanError("a word that is empty, or no text")
        if said is not None and len(words) != len(said):
            raise SpanError(f"{len(words)} words and {len(said)} tags")
        places = None if text is None else locate(text, words)
        if text is None or places is None:
            text, places = join_words([encodable(word) for word in words])
        return text, places, None if said is None else tuple(map(_tag, said))


def _tag(said: Any) -> str:
    """A tag; a number is one too."""
    if isinstance(said, int) and not isinstance(said, bool):
        return str(said)
    if not isinstance(said, str) or not said.strip():
        raise SpanError(f"a word without a tag: found {said!r}")
    return said.strip()


def _as_list(cell: Any) -> list[Any] | None:
    """A list, also of numpy; None for anything else."""
    if isinstance(cell, list | tuple):
        return list(cell)
    return cell.tolist() if hasattr(cell, "tolist") and getattr(cell, "ndim", 0) == 1 else None


def _span(said: Any) -> Span:
    """A span, of its object or of [start, end, label]."""
    if isinstance(said, dict):
        parts = [_value(said, names) for names in (_STARTS, _ENDS, _LABELS)]
    else:
        parts = list(said) if isinstance(said, list | tuple) else []
    if (
        len(parts) == 3
        and all(type(part) is int for part in parts[:2])
        and isinstance(parts[2], str)
        and parts[2].strip()
    ):
        return Span(parts[0], parts[1], parts[2].strip())
    raise SpanError(
        f'a span is {{"start": …, "end": …, "label": …}} or [start, end, label], in characters; found {said!r}'
    )


def _value(said: dict[str, Any], names: Iterable[str]) -> Any:
    return next((said[name] for name in names if name in said), None)
