"""How well a tokenizer fits a text: what it cuts, and what it does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from bertsmith.errors import TokenizerError
from bertsmith.text.vocabulary import count_words
from bertsmith.text.wordpiece import WordPiece

_WORST = 20
_BATCH = 10_000


@dataclass(frozen=True)
class CutWord:
    """A word, how often it occurs, and its pieces."""

    word: str
    count: int
    pieces: list[str]


@dataclass(frozen=True)
class UncoveredCharacter:
    """A character that no piece has, how often it occurs, and its name as U+XXXX."""

    character: str
    count: int
    code_point: str


@dataclass(frozen=True)
class TokenizerReport:
    """How a tokenizer cuts a text. Words are what BERT's pre-tokeniser makes: punctuation marks count too.

    Attributes:
        vocab_size: V.
        words: words of the text, repeats counted.
        distinct_words: different words.
        tokens: tokens that they become.
        tokens_per_word: `tokens / words`; 1 is a tokenizer that knows every word.
        unk_word_share: share of the words that become [UNK], in [0, 1].
        unk_token_share: share of the tokens that are [UNK], in [0, 1].
        whole_word_share: share of the words that are kept as one known token, in [0, 1].
        worst_cut_words: at most 20, by (pieces - 1) x count: the words whose cutting costs most tokens.
        uncovered_characters: all characters in no piece, the most frequent first.
    """

    vocab_size: int
    words: int
    distinct_words: int
    tokens: int
    tokens_per_word: float
    unk_word_share: float
    unk_token_share: float
    whole_word_share: float
    worst_cut_words: list[CutWord]
    uncovered_characters: list[UncoveredCharacter]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and dicts, for JSON."""
        return asdict(self)


def tokenizer_report(tokenizer: WordPiece, texts: Iterable[str]) -> TokenizerReport:
    """Count how a tokenizer cuts texts.

    Raises:
        TokenizerError: the texts hold no word.
    """
    counts = count_words(texts, tokenizer.tokenizer.normalizer)
    if not counts:
        raise TokenizerError("no word in the text to report on. Give files that hold text.")
    words = total = tokens = unknown = whole = 0
    cut: list[tuple[int, str, list[str]]] = []
    for word, ids in _cut_words(tokenizer, sorted(counts)):
        count = counts[word]
        total += count
        words += 1
        tokens += count * len(ids)
        unknown += count * (ids == [tokenizer.unk_id])
        whole += count * (len(ids) == 1 and ids != [tokenizer.unk_id])
        if len(ids) > 1:
            cut.append((-(len(ids) - 1) * count, word, [tokenizer.tokens[index] for index in ids]))
    worst = [CutWord(word, counts[word], pieces) for _, word, pieces in sorted(cut)[:_WORST]]
    return TokenizerReport(
        vocab_size=tokenizer.vocab_size,
        words=total,
        distinct_words=words,
        tokens=tokens,
        tokens_per_word=tokens / total,
        unk_word_share=unknown / total,
        unk_token_share=unknown / tokens,
        whole_word_share=whole / total,
        worst_cut_words=worst,
        uncovered_characters=_uncovered(tokenizer, counts),
    )


def _cut_words(tokenizer: WordPiece, words: list[str]) -> Iterable[tuple[str, list[int]]]:
    for start in range(0, len(words), _BATCH):
        batch = words[start : start + _BATCH]
        ids, lengths = tokenizer.encode_sentences(batch)
        flat, place = ids.tolist(), 0
        for word, length in zip(batch, lengths.tolist(), strict=True):
            yield word, flat[place : place + length]
            place += length


def _uncovered(tokenizer: WordPiece, counts: Counter[str]) -> list[UncoveredCharacter]:
    special = {tokenizer.tokens[index] for index in tokenizer.special_ids}
    covered = {c for token in tokenizer.tokens if token not in special for c in token}
    found: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            if character not in covered:
                found[character] += count
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [UncoveredCharacter(c, count, f"U+{ord(c):04X}") for c, count in ranked]
