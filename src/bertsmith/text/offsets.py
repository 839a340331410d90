"""Texts -> token ids, and of each token the characters that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bertsmith.text.chunks import encodable
from bertsmith.text.wordpiece import WordPiece

Int32s = NDArray[np.int32]

_PIECE_CHARS = 1 << 15  # encoded at once: the library needs some 500 bytes a token while it works
_BATCH_CHARS = 1 << 18


class OffsetEncoder:
    """Encodes texts of any length; special tokens in a text are plain text.

    Args:
        tokenizer: whose ids these are, the same as those of `encode_sentences`.
    """

    def __init__(self, tokenizer: WordPiece) -> None:
        self._library = Tokenizer.from_str(tokenizer.tokenizer.to_str())
        self._library.encode_special_tokens = True
        added = self._library.get_added_tokens_decoder().values()
        self._spaces_cut = all(token.special for token in added)  # any other may span white space

    def encode(self, texts: Sequence[str]) -> list[tuple[Int32s, Int32s]]:
        """Ids (T,) of each text, and the first character of each token and the one after its last, (T, 2)."""
        pieces = [(index, start, piece) for index, text in enumerate(texts) for start, piece in self._pieces(text)]
        ids: list[list[Int32s]] = [[] for _ in texts]
        offsets: list[list[Int32s]] = [[] for _ in texts]
        for batch in _batches(pieces):
            encodings = self._library.encode_batch([piece for *_, piece in batch], add_special_tokens=False)
            for (index, start, _), made in zip(batch, encodings, strict=True):
                ids[index].append(np.array(made.ids, np.int32))
                offsets[index].append(np.array(made.offsets, np.int32).reshape(-1, 2) + np.int32(start))
        return [(np.concatenate(mine), np.concatenate(theirs)) for mine, theirs in zip(ids, offsets, strict=True)]

    def _pieces(self, text: str) -> Iterator[tuple[int, str]]:
        """A text cut at spaces and line ends, where BERT cuts before anything else; with the place of each piece."""
        text = encodable(text)
        start = 0
        while self._spaces_cut and len(text) - start > _PIECE_CHARS:
            stop = start + _PIECE_CHARS
            end = max(text.rfind(" ", start, stop), text.rfind("\n", start, stop)) + 1
            if not end:  # a script without spaces: the next one, wherever it is
                end = min(place % (len(text) + 1) for place in (text.find(" ", stop), text.find("\n", stop)))
            yield start, text[start:end]
            start = end
        yield start, text[start:]


def _batches(pieces: Sequence[tuple[int, int, str]]) -> Iterator[list[tuple[int, int, str]]]:
    """Neighbouring pieces of together about _BATCH_CHARS characters."""
    batch: list[tuple[int, int, str]] = []
    chars = 0
    for piece in pieces:
        if batch and chars + len(piece[2]) > _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
        batch.append(piece)
        chars += len(piece[2])
    if batch:
        yield batch
