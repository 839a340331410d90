"""What each side of a prediction measurement is given: a model folder, what it is for, and texts of mixed lengths."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from bertsmith.config import CorpusConfig
from bertsmith.errors import InputError
from bertsmith.text.corpus import list_sources, read_corpus
from bertsmith.text.offsets import OffsetEncoder
from bertsmith.text.wordpiece import WordPiece

What = Literal["embed", "fill", "classify", "regress", "tag"]

MOST_TEXTS = 2000
SHORT_TOKENS = 12  # of the text that is answered alone
# Texts that are made: [CLS] and [SEP] included, evenly spread.
SHORTEST, LONGEST = 8, 256
SPECIALS = 2  # [CLS] and [SEP]
_CHARS = 32  # of a text that are encoded for each token that is kept


@dataclass(frozen=True)
class Job:
    """What a side does.

    Attributes:
        what: what is asked of each text.
        folder: the model.
        texts: in the order of their arrival.
        short: the text that is answered alone.
        tokens: of each text, [CLS] and [SEP] included.
        short_tokens: of the short one, likewise.
    """

    what: What
    folder: str
    texts: list[str]
    short: str
    tokens: list[int]
    short_tokens: int = 0

    def write(self, path: Path) -> None:
        """Keep it for the sides' processes."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Job:
        """What `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def make_job(what: What, folder: Path, texts: Sequence[str], tokenizer: WordPiece, *, longest: int) -> Job:
    """Texts as all sides can read them: none longer than the model, and with a mask where one is to be filled.

    Args:
        what: what is asked.
        folder: the model's.
        texts: not empty; longer ones are cut.
        tokenizer: the model's.
        longest: tokens that the model reads at once.
    """
    room = longest - SPECIALS - (what == "fill")
    encoder = OffsetEncoder(tokenizer)
    texts = [cut(text, encoder, room) for text in texts]
    lengths = tokenizer.encode_sentences(texts)[1]
    short_room = min(room, SHORT_TOKENS - SPECIALS)
    short = cut(texts[int((lengths >= short_room).argmax() or lengths.argmax())], encoder, short_room)
    asked = with_masks([*texts, short]) if what == "fill" else [*texts, short]
    tokens = [len(tokenizer.encode(text).input_ids) for text in asked]
    return Job(what, str(folder), asked[:-1], asked[-1], tokens[:-1], tokens[-1])


def cut(text: str, encoder: OffsetEncoder, most: int) -> str:
    """The beginning of a text, of at most so many tokens."""
    text = text[: most * _CHARS]
    _, offsets = encoder.encode([text])[0]
    return text if len(offsets) <= most else text[: offsets[most - 1][1]]


def with_masks(texts: Sequence[str]) -> list[str]:
    """Each text with one of its words hidden; where it is one word, with a mask after it."""
    rng, masked = random.Random(1), []
    for text in texts:
        words = text.split()
        place = rng.randrange(len(words)) if len(words) > 1 else 1
        words[place : place + 1] = ["[MASK]"]
        masked.append(" ".join(words))
    return masked


def texts_of_file(file: str) -> list[str]:
    """The first texts of a file, a line each; or of any other corpus that `bertsmith prepare` reads.

    Raises:
        CorpusError: there is none, or the file cannot be read.
    """
    config = CorpusConfig(document_per="line")
    documents = read_corpus(list_sources([file]), config, skipped=[])
    return [document.text for document in islice(documents, MOST_TEXTS)]


def texts_of_vocabulary(tokenizer: WordPiece, *, longest: int, seed: int = 0) -> list[str]:
    """Texts of common and rare words of a vocabulary, SHORTEST to LONGEST tokens long, evenly spread.

    Args:
        tokenizer: the model's; of its WordPieces those are taken that are words by themselves.
        longest: tokens that the model reads at once.
        seed: of the draw.

    Raises:
        InputError: the vocabulary has no such word.
    """
    words = np.array(whole_words(tokenizer))
    if not len(words):
        raise InputError("the vocabulary has no whole words to make texts of: give --texts, a text a line")
    rng = np.random.default_rng(seed)
    most = min(LONGEST, longest)
    lengths = rng.integers(min(SHORTEST, most), most + 1, MOST_TEXTS) - SPECIALS
    # Zipf's law: the share of the k-th word is proportional to 1 / k.
    ranks = np.exp(rng.random(int(lengths.sum())) * np.log(len(words))).astype(np.int64) - 1
    return [" ".join(part) for part in np.split(words[ranks], np.cumsum(lengths)[:-1])]


def whole_words(tokenizer: WordPiece) -> list[str]:
    """The WordPieces that are read as themselves where they stand alone, by rising id."""
    special = set(tokenizer.special_ids.tolist())
    known = [
        (index, token)
        for index, token in enumerate(tokenizer.tokens)
        if token and index not in special and not tokenizer.continuation[index]
    ]
    ids, lengths = tokenizer.encode_sentences([token for _, token in known])
    first = np.cumsum(lengths) - lengths
    alone = zip(known, first.tolist(), lengths.tolist(), strict=True)
    return [token for (index, token), at, count in alone if count == 1 and ids[at] == index]
