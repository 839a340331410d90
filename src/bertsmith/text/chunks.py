"""The fast way from sentences to token ids: cut at white space, and look each chunk up in a cache."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

MAX_CHUNK_CHARS = 32  # longer chunks (addresses, sentences without spaces) hardly repeat
_MAX_CACHED = 1 << 18  # chunks; about 40 MB

# str.split() cuts at these, while BERT's normaliser removes them and so joins what stands beside them.
_REMOVED = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"
_REMOVE = dict.fromkeys(map(ord, _REMOVED))

# BERT cuts printable ASCII into words of letters and digits, and each other mark by itself.
_PRINTABLE = re.compile(r"[!-~]+").fullmatch
_ASCII_WORDS = re.compile(r"[0-9A-Za-z]+|[!-~]").findall

# Elsewhere, what stands alone for BERT whatever is beside it: punctuation marks and ideographs. Of these only
# those of old Unicode versions: the library removes characters that its tables do not know, and joins the rest.
_MARKS = r"!-/:-@\[-`{-~、。！，：；？"
_IDEOGRAPHS = "\u3400-\u4db5\u4e00-\u9fa5"

_SURROGATES = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, as U+FFFD; the length stays the same."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text


def split_chunks(text: str) -> list[str]:
    """The parts of a text between white space, as BERT's normaliser sees white space."""
    text = encodable(text)
    if any(character in text for character in _REMOVED):
        text = text.translate(_REMOVE)
    return text.split()


class ChunkEncoder(dict[str, bytes]):
    """Chunk -> its token ids, as the bytes of an int32 array; a missing chunk is encoded and kept.

    BERT cuts at white space before anything else, so that a sentence's ids are its chunks' ids in a row.
    Bytes, because joining them is the fastest way to one array.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._library = Tokenizer.from_str(tokenizer.to_str())
        self._library.encode_special_tokens = True  # "[MASK]" in a corpus is plain text
        self._lowercase = bool(tokenizer.normalizer.lowercase)
        alone = _MARKS + (_IDEOGRAPHS if tokenizer.normalizer.handle_chinese_chars else "")
        self._parts = re.compile(f"[{alone}]|[^{alone}]+").findall
        self._exact = _chunks_are_exact(tokenizer)
        self._max_word_chars = tokenizer.model.max_input_chars_per_word
        vocab = tokenizer.get_vocab(with_added_tokens=False)
        self._ids = {token: _packed([index]) for token, index in vocab.items()}
        self._unknown = self._ids[tokenizer.model.unk_token]

    def encode(self, sentences: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Ids of all sentences in a row, and how many each has."""
        if not self._exact:
            encoded = [self._by_library(sentence) for sentence in sentences]
        else:
            joined = "\n".join(sentences)
            if any(character in joined for character in _REMOVED):
                sentences = [sentence.translate(_REMOVE) for sentence in sentences]
            look_up = self.__getitem__
            encoded = [b"".join(map(look_up, sentence.split())) for sentence in sentences]
        lengths = np.fromiter(map(len, encoded), np.int32, len(encoded)) // 4
        return np.frombuffer(b"".join(encoded), np.int32), lengths

    def __missing__(self, chunk: str) -> bytes:
        if _PRINTABLE(chunk):
            ids = b"".join(map(self._word, _ASCII_WORDS(chunk.lower() if self._lowercase else chunk)))
        elif len(parts := self._parts(chunk)) > 1:
            ids = b"".join(map(self.__getitem__, parts))
        else:
            ids = self._by_library(chunk)
        if len(chunk) <= MAX_CHUNK_CHARS:
            if len(self) >= _MAX_CACHED:
                self.clear()
            self[chunk] = ids
        return ids

    def _by_library(self, text: str) -> bytes:
        return _packed(self._library.encode(encodable(text), add_special_tokens=False).ids)

    def _word(self, word: str) -> bytes:
        """WordPiece, longest piece first; calling the library for one word costs several times as much."""
        ids = self._ids
        if word in ids and len(word) <= self._max_word_chars:
            return ids[word]
        if len(word) > self._max_word_chars:
            return self._unknown
        pieces, prefix, start, end = [], "", 0, len(word)
        while start < len(word):
            if piece := ids.get(prefix + word[start:end]):
                pieces.append(piece)
                prefix, start, end = "##", end, len(word)
            elif (end := end - 1) == start:
                return self._unknown
        return b"".join(pieces)


def _chunks_are_exact(tokenizer: Tokenizer) -> bool:
    """False where a token may span white space, or white space is not BERT's."""
    added = tokenizer.get_added_tokens_decoder().values()
    return bool(tokenizer.normalizer.clean_text) and all(token.special for token in added)


def _packed(ids: list[int]) -> bytes:
    return np.array(ids, np.int32).tobytes()
