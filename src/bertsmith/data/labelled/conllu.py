"""CoNLL-U: words with their offsets in the text as it was written.

Reference:
    https://universaldependencies.org/format.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bertsmith.data.labelled.spans import WordSpans
from bertsmith.data.labelled.tagged import Found, LineReport, NumberedLine, column_named, locate
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.sources import Source

_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_ID = re.compile(r"\d+(-\d+|\.\d+)?")


def is_universal(source: Source, blocks: list[list[NumberedLine]]) -> bool:
    """Whether it is CoNLL-U, by its name or by what is in it."""
    first = next((line for block in blocks for _, line in block if not line.startswith("#")), "")
    cells = first.split("\t")
    return ".conllu" in source.url.lower() or (len(cells) == len(_COLUMNS) and bool(_ID.fullmatch(cells[0])))


def tag_column(source: Source, config: LabelledConfig) -> int:
    """The column of the tags, from 0: UPOS unless the user names another."""
    named = (config.label_column or "upos").lower()
    column = column_named(source, named, list(_COLUMNS), len(_COLUMNS), "--label-column")
    assert column is not None
    return column


def read_sentence(block: list[NumberedLine], report: LineReport, *, column: int | None) -> Found | None:
    """A sentence of CoNLL-U: comments, words, words in one token (1-2), words that are not in the text (1.1)."""
    written = None
    numbers, tags = [], []
    tokens: list[_Token] = []
    token_ends = 0  # the last word of a token of several
    for number, line in block:
        if line.startswith("#"):
            key, equals, value = line[1:].partition("=")
            written = value.strip() if equals and key.strip() == "text" else written
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        fault = _fault(cells, column)
        if fault:
            report(number, fault)
            return None
        first, dash, last = cells[0].partition("-")
        spaced = "SpaceAfter=No" not in cells[9].split("|")
        if dash:
            tokens.append(_Token(cells[1], [], spaced))
            token_ends = int(last)
        elif "." not in first:
            if int(first) > token_ends:
                tokens.append(_Token(cells[1], [], spaced))
            tokens[-1].forms.append(cells[1])
            numbers.append(number)
            tags.append(cells[column or 0])
    if not tags:
        return None
    return *_as_written(written, tokens), tuple(tags), numbers


@dataclass(frozen=True)
class _Token:
    """What stands in the text, the words that it is made of, and whether a space follows."""

    written: str
    forms: list[str]
    spaced: bool


def _fault(cells: list[str], column: int | None) -> str:
    if len(cells) != len(_COLUMNS):
        return f"{len(cells)} columns, where CoNLL-U has {len(_COLUMNS)}, with a tab between"
    if not _ID.fullmatch(cells[0]):
        return f'"{cells[0][:40]}" is no number of a word, such as 1, 1-2 or 1.1'
    if not cells[1]:
        return "an empty word"
    if column is not None and cells[0].isdecimal() and cells[column] in ("", "_"):
        return f'the word "{cells[1]}" has no tag, in column {_COLUMNS[column]}'
    return ""


def _as_written(written: str | None, tokens: list[_Token]) -> tuple[str, WordSpans]:
    """The text, and where each word stands in it; from the tokens where `written` does not fit them."""
    places = None if written is None else locate(written, [token.written for token in tokens])
    if written is None or places is None:
        written = "".join(token.written + " " * token.spaced for token in tokens).rstrip(" ")
        places = locate(written, [token.written for token in tokens])
        assert places is not None
    words: list[tuple[int, int]] = []
    for token, (start, end) in zip(tokens, places, strict=True):
        words += _shared(token, start, end) if len(token.forms) > 1 else [(start, end)] * len(token.forms)
    return written, tuple(words)


def _shared(token: _Token, start: int, end: int) -> list[tuple[int, int]]:
    """Which characters of a token are each word's: dámelo is dá, me, lo.

    Where the words are not spelled as in the token (French "au" is à and le), they share it by their lengths, and a
    token that is too short for that is each word's as a whole.
    """
    left, forms = token.written.lower(), [form.lower() for form in token.forms]
    if len(left) < len(forms) or len(left) != end - start:
        return [(start, end)] * len(forms)
    before: list[int] = []
    after: list[int] = []
    while len(forms) > 1 and left.startswith(forms[0]) and len(left) - len(forms[0]) >= len(forms) - 1:
        before.append(len(forms[0]))
        left, forms = left[len(forms[0]) :], forms[1:]
    while len(forms) > 1 and left.endswith(forms[-1]) and len(left) - len(forms[-1]) >= len(forms) - 1:
        after.insert(0, len(forms[-1]))
        left, forms = left[: len(left) - len(forms[-1])], forms[:-1]
    lengths = [*before, *_in_proportion(len(left), [len(form) for form in forms]), *after]
    ends = [start + sum(lengths[: number + 1]) for number in range(len(lengths))]
    return list(zip([start, *ends[:-1]], ends, strict=True))


def _in_proportion(total: int, weights: list[int]) -> list[int]:
    """Whole numbers of at least 1 with this sum, near the weights."""
    shares, left = [], total
    for number, weight in enumerate(weights):
        others = len(weights) - number - 1
        share = left if not others else round(left * weight / sum(weights[number:]))
        shares.append(min(max(share, 1), left - others))
        left -= shares[-1]
    return shares
