"""A word a line, a blank line between sentences: CoNLL columns, and CoNLL-U with the text as it was written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

from bertsmith.data.labelled.conllu import is_universal, read_sentence, tag_column
from bertsmith.data.labelled.tagged import (
    Found,
    LineReport,
    NumberedLine,
    Report,
    TaggedSentence,
    column_named,
    join_words,
)
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.sources import Source
from bertsmith.text.streams import BadInput, BadInputs, read_lines

_DOCUMENT = "-DOCSTART-"
_SAMPLE_LINES = 10_000  # that tell how a file is laid out which is too large to be held whole
_BLANKS = re.compile("[ \t]+")  # no other white space: it may be part of a word
_TAG = re.compile(r"[BIESLUMW][-_].+|-?[A-Z]+[$-]?|\W+")
_WORD_NAMES = {"word", "words", "token", "tokens", "form", "text"}
_TAG_NAMES = {"tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "pos", "pos_tag", "upos", "iob"}


def read_conll(
    source: Source, config: LabelledConfig, skipped: list[BadInput], *, labelled: bool = True
) -> Iterator[TaggedSentence]:
    """The sentences of a file; broken ones are left out, and noted in `skipped`.

    Args:
        source, config: the file, and which of its columns are read.
        skipped: what is left out is appended here.
        labelled: whether tags are read; without them the file is read on the way, and its columns are told by its
            beginning.

    Raises:
        CorpusError: a column that the file does not have, or the first broken sentence, where the user chose to stop.
    """
    # When all files are read, more is said of the words of whole sentences: by a reporter with a count of its own.
    now, later = (_Reporter(BadInputs(source, config.on_bad_input, skipped)) for _ in range(2))
    coming = _blocks(source, now.bad)
    blocks = list(coming if labelled else islice(coming, _SAMPLE_LINES // 10))
    read: Callable[[list[NumberedLine], LineReport], Found | None]
    if is_universal(source, blocks):
        read = partial(read_sentence, column=tag_column(source, config) if labelled else None)
    else:
        read = _Columns(source, config, blocks, labelled=labelled).sentence
    for block in chain(blocks, coming):
        found = read(block, now.report)
        if found is not None:
            text, words, tags, lines = found
            yield TaggedSentence(text, words, tags if labelled else None, now.at(lines[0]), later.words(lines))


def _blocks(source: Source, bad: BadInputs, most_lines: int | None = None) -> Iterator[list[NumberedLine]]:
    """The lines of each sentence; one with a line that is no UTF-8 is left out."""
    block: list[NumberedLine] = []
    broken = False
    for line in islice(read_lines(source, bad), most_lines):
        text = line.decode(bad)
        broken = broken or text is None
        if text is not None and text.strip(" \t") and not text.startswith(_DOCUMENT):
            block.append((line.number, text))
        elif text is not None:
            if block and not broken:
                yield block
            block, broken = [], False
    if block and not broken:
        yield block


@dataclass(frozen=True)
class _Reporter:
    """Reports bad lines of a file."""

    bad: BadInputs

    def at(self, line: int) -> str:
        return self.bad.where(f"line {line:,}")

    def report(self, line: int, reason: str) -> None:
        self.bad.report(f"line {line:,}", reason)

    def words(self, lines: Sequence[int]) -> Report:
        """A function that reports a word by its number."""
        return lambda word, reason: self.report(lines[word or 0], reason)


class _Columns:
    """How the columns of a file are laid out: what separates them, which holds the word and which the tag.

    Args:
        source: the file.
        config: `text_column` and `label_column` are numbers from 1, or names of a first line of names.
        blocks: the lines of all sentences; a line of names is taken out.
        labelled: whether there must be a tag.
    """

    def __init__(
        self, source: Source, config: LabelledConfig, blocks: list[list[NumberedLine]], *, labelled: bool
    ) -> None:
        every = [line for block in blocks for _, line in block]
        lines = [line for line in every if not line.startswith("#")] or every or [""]
        self.labelled = labelled
        self.tabs = 2 * sum("\t" in line for line in lines) >= len(lines)
        widths = Counter(len(self.cells(line)) for line in lines)  # the first line may be the broken one
        self.count = max(widths, key=lambda width: (widths[width], width))
        names = self._names(blocks, config)
        word = column_named(source, config.text_column, names, self.count, "--text-column")
        tag = column_named(source, config.label_column, names, self.count, "--label-column") if labelled else None
        if word is None:
            named = [number for number, name in enumerate(names) if name.lower() in _WORD_NAMES]
            word = named[0] if named else 1 if self._numbered(blocks) else 0
        self.word, self.tag = word, self.count - 1 if tag is None else tag
        # A line of "#" may be a word: it is one where it has a tag that words have.
        self.tags = {"O"} | {cells[self.tag] for line in lines if len(cells := self.cells(line)) == self.count}

    def cells(self, line: str) -> list[str]:
        if self.tabs:
            return [cell.strip(" ") for cell in line.split("\t")]
        return _BLANKS.split(line.strip(" \t"))

    def _names(self, blocks: list[list[NumberedLine]], config: LabelledConfig) -> list[str]:
        """The line of names, taken out of the blocks, where there is one."""
        if not blocks or config.header is False:
            return []
        cells = self.cells(blocks[0][0][1])
        lower = [cell.lower() for cell in cells]
        if not (config.header or (len(cells) > 1 and _WORD_NAMES & set(lower) and _TAG_NAMES & set(lower))):
            return []
        blocks[0] = blocks[0][1:]
        if not blocks[0]:
            blocks.pop(0)
        return cells

    def _numbered(self, blocks: list[list[NumberedLine]]) -> bool:
        """Whether the first column counts the words of each sentence."""
        if self.count < 3:
            return False
        for block in blocks:
            firsts = [self.cells(line)[0] for _, line in block if not line.startswith("#")]
            if firsts not in ([str(n) for n in range(start, start + len(firsts))] for start in (0, 1)):
                return False
        return True

    def sentence(self, block: list[NumberedLine], report: LineReport) -> Found | None:
        """The words of a block, or None: there are none, or a line is broken and was reported."""
        numbers: list[int] = []
        words: list[str] = []
        tags: list[str] = []
        for number, line in block:
            cells = self.cells(line)
            if not words and line.startswith("#") and self._is_comment(line, cells):
                continue
            fault = self._fault(cells)
            if fault:
                report(number, fault)
                return None
            numbers.append(number)
            words.append(cells[self.word])
            tags.append(cells[self.tag])
        if not words:
            return None
        return *join_words(words), tuple(tags), numbers

    def _is_comment(self, line: str, cells: list[str]) -> bool:
        if len(cells) != self.count:
            return True
        return line[1:2] in (" ", "\t") and cells[self.tag] not in self.tags

    def _fault(self, cells: list[str]) -> str:
        if self.labelled and self.count < 2:
            return f'one column ("{cells[0][:40]}"), where a word and its tag are needed'
        if len(cells) != self.count:
            return f"{len(cells)} {'column' if len(cells) == 1 else 'columns'}, where the others have {self.count}"
        if not cells[self.word]:
            return f"an empty word, in column {self.word + 1}"
        if self.labelled and not cells[self.tag]:
            return f'the word "{cells[self.word]}" has no tag, in column {self.tag + 1}'
        return ""


def looks_like_text(source: Source, config: LabelledConfig) -> bool:
    """Whether a file's first lines are texts: not words alone, nor with columns of which the last is a tag."""
    blocks = list(_blocks(source, BadInputs(source, "skip", []), _SAMPLE_LINES))
    if is_universal(source, blocks):
        return False
    columns = _Columns(source, config.but(text_column=None, header=False), blocks, labelled=False)
    every = [columns.cells(line) for block in blocks for _, line in block if not line.startswith("#")]
    fitting = [cells for cells in every if len(cells) == columns.count]
    if columns.count > 1:
        fitting = [cells for cells in fitting if _TAG.fullmatch(cells[-1])]
    return len(fitting) < 0.9 * len(every) or max(map(len, blocks), default=0) < 2
