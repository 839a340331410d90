"""What a model reads of a user's words: tokens, each with the characters that it stands for.

Letters: T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bertsmith.data.labelled.examples import ChoiceExample, QuestionExample, TaggedText, TextExample
from bertsmith.data.labelled.spans import split_words
from bertsmith.errors import InputError
from bertsmith.text.offsets import OffsetEncoder
from bertsmith.text.wordpiece import WordPiece


@dataclass(frozen=True)
class Token:
    """One WordPiece as the model reads it.

    Attributes:
        text: as the vocabulary has it; `##` in front says that it goes on with the word before.
        id: its id.
        segment: 0 in the first text, 1 in the second.
        start, end: the characters that it stands for, of the text of its segment; both 0 for [CLS] and [SEP].
        word: the number of its word, from 0 through both texts; None for [CLS] and [SEP].
    """

    text: str
    id: int
    segment: int
    start: int
    end: int
    word: int | None


_Piece = tuple[int, int, int]  # id, start, end


class Reader:
    """Texts -> tokens with offsets, the ids those of `fill` and `predict`, but that [MASK] is one for every model; all
    other special tokens are plain text."""

    def __init__(self, tokenizer: WordPiece) -> None:
        self.tokenizer = tokenizer
        self._offsets = OffsetEncoder(tokenizer.reading_masks)

    def text(self, text: str, pair: str | None) -> list[Token]:
        """A text or a pair."""
        return self._tokens([self._pieces(each) for each in (text, pair) if each is not None])

    def example(self, example: Any, choice: int = 0) -> list[Token]:
        """As a fine-tuned task reads an example of its own; of several choices the given one."""
        match example:
            case TextExample(text=text, pair=pair):
                return self.text(text, pair)
            case QuestionExample(question=question, context=context):
                return self.text(question, context)
            case ChoiceExample(text=text, choices=choices):
                return self.text(text, choices[choice])
            case TaggedText():
                return self._tokens([self._words(example)])
        raise InputError(f"nothing is known of how a {type(example).__name__} is read")

    def _pieces(self, text: str, shift: int = 0) -> list[_Piece]:
        ((ids, offsets),) = self._offsets.encode([text])
        return [(int(i), int(start) + shift, int(end) + shift) for i, (start, end) in zip(ids, offsets, strict=True)]

    def _words(self, example: TaggedText) -> list[_Piece]:
        """Word by word, as taggers are trained; one of which nothing is left is an unknown one."""
        pieces: list[_Piece] = []
        for start, end in example.words:
            pieces += self._pieces(example.text[start:end], start) or [(self.tokenizer.unk_id, start, end)]
        return pieces

    def _tokens(self, segments: Sequence[list[_Piece]]) -> list[Token]:
        """[CLS] text [SEP], or [CLS] text [SEP] pair [SEP]."""
        tokenizer, word = self.tokenizer, -1
        tokens = [self._special(tokenizer.cls_id, 0)]
        for segment, pieces in enumerate(segments):
            for index, (token_id, start, end) in enumerate(pieces):
                word += index == 0 or not tokenizer.continuation[token_id]
                tokens.append(Token(tokenizer.tokens[token_id], token_id, segment, start, end, word))
            tokens.append(self._special(tokenizer.sep_id, segment))
        return tokens

    def _special(self, token_id: int, segment: int) -> Token:
        return Token(self.tokenizer.tokens[token_id], token_id, segment, 0, 0, None)


def with_hidden_words(example: Any, mask: str) -> Any:
    """An example of which each [MASK] in a text to be tagged is a word; of other tasks as it is."""
    if not isinstance(example, TaggedText) or mask not in example.text:
        return example
    words, place = list[tuple[int, int]](), 0
    for part in example.text.split(mask):
        words += [(place - len(mask), place)] if place else []
        words += [(place + start, place + end) for start, end in split_words(part)]
        place += len(part) + len(mask)
    return replace(example, words=tuple(words))
