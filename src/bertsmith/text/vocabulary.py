"""Training a WordPiece vocabulary: count words, choose the alphabet, merge; same text, same ids."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer
from tokenizers.models import WordPiece as WordPieceModel
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, WhitespaceSplit
from tokenizers.trainers import WordPieceTrainer

from bertsmith.errors import TokenizerError
from bertsmith.text.chunks import MAX_CHUNK_CHARS, split_chunks

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4
MAX_WORD_CHARS = 100  # BERT's: a longer word is [UNK]

# Rare characters (a stray emoji, one Thai name) are left to [UNK]: each would cost two places of V.
# With fewer of the text's words in known letters, most of the text would be [UNK].
LEAST_COVERAGE = 0.5
_ALPHABET_COVERAGE = 0.9999
_ALPHABET_SHARE = 0.5  # of the vocabulary at most, so that Chinese fits in and words still have room

# Bounds of memory, about 100 bytes each; past them the rarest are forgotten.
_MAX_CHUNKS = 1_000_000
_MAX_WORDS = 4_000_000


def train_vocabulary(
    texts: Iterable[str], *, normalizer: BertNormalizer, vocab_size: int, min_frequency: int
) -> list[str]:
    """WordPieces by id, special tokens first; fewer than `vocab_size` where the text has no more.

    The library's trainer numbers continuing letters in the order of a hash table that differs from run to
    run, and breaks ties by these numbers. So here the words are counted and sorted first, and the letters are
    given to it in order. That is faster as well: each distinct word is normalised once.

    Raises:
        TokenizerError: the texts hold no word, or `vocab_size` has no room for an alphabet.
    """
    words = count_words(texts, normalizer)
    if not words:
        raise TokenizerError("no word in the text to train a tokenizer on. Give files that hold text.")
    alphabet = _choose_alphabet(words, vocab_size, min_frequency)
    kept = {word: n for word, n in words.items() if len(word) <= MAX_WORD_CHARS and alphabet.issuperset(word)}
    if all(len(word) > MAX_WORD_CHARS for word in words):
        raise TokenizerError(
            f"every word of the text is longer than {MAX_WORD_CHARS} characters, and BERT reads such a word as [UNK]. "
            "Give text with spaces between its words."
        )
    if sum(kept.values()) < LEAST_COVERAGE * sum(words.values()):
        raise TokenizerError(
            f"a vocabulary of {vocab_size} has no room for the letters of most words of this text. "
            f"Give --vocab-size at least {4 * len(set().union(*words))}."
        )
    return _merge(kept, vocab_size, min_frequency)


def count_words(texts: Iterable[str], normalizer: BertNormalizer) -> Counter[str]:
    """How often each word occurs, normalised and cut at punctuation as BERT does."""
    words: Counter[str] = Counter()
    chunks: Counter[str] = Counter()
    for text in texts:
        parts = split_chunks(text)
        if len(text) > MAX_CHUNK_CHARS * len(parts):  # hardly a space, as in Chinese: chunks do not repeat
            _add_words(words, parts, 1, normalizer)
            continue
        chunks.update(parts)
        if len(chunks) > _MAX_CHUNKS:
            _empty_into(words, chunks, normalizer)
    _empty_into(words, chunks, normalizer)
    return words


def _empty_into(words: Counter[str], chunks: Counter[str], normalizer: BertNormalizer) -> None:
    """Move the counts of chunks to their words; chunks that occur equally often are cut together."""
    by_count = sorted(chunks, key=lambda chunk: (chunks[chunk], chunk))
    for count, group in itertools.groupby(by_count, key=chunks.__getitem__):
        while batch := list(itertools.islice(group, 10_000)):
            _add_words(words, batch, count, normalizer)
    chunks.clear()
    floor = 1
    while len(words) > _MAX_WORDS:
        for word in [word for word, count in words.items() if count <= floor]:
            del words[word]
        floor *= 2


def _add_words(words: Counter[str], chunks: Iterable[str], count: int, normalizer: BertNormalizer) -> None:
    normalized = normalizer.normalize_str(" ".join(chunks))
    found = Counter(word for word, _ in BertPreTokenizer().pre_tokenize_str(normalized))
    for word, n in found.items():
        words[word] += n * count


def _choose_alphabet(words: Counter[str], vocab_size: int, min_frequency: int) -> set[str]:
    """The most frequent characters that cover the text, and of ASCII all; they leave room for pieces."""
    total: Counter[str] = Counter()
    continuing: set[str] = set()
    for word, count in words.items():
        continuing.update(word[1:])
        for character in word:
            total[character] += count
    room = _ALPHABET_SHARE * (vocab_size - len(SPECIAL_TOKENS))
    uncovered = sum(total.values())
    limit = uncovered * (1 - _ALPHABET_COVERAGE)
    alphabet: set[str] = set()
    for character in sorted(total, key=lambda character: (-total[character], character)):
        if uncovered <= limit and not character.isascii():
            continue
        room -= 2 if character in continuing else 1
        if room < 0 or total[character] < min_frequency:
            break
        alphabet.add(character)
        uncovered -= total[character]
    return alphabet


def _merge(words: dict[str, int], vocab_size: int, min_frequency: int) -> list[str]:
    """Let the library merge letters to pieces; special tokens and continuing letters get their ids first."""
    continuing = sorted({f"##{character}" for word in words for character in word[1:]})
    known = [*SPECIAL_TOKENS, *continuing]
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=known,  # the only way to fix ids before training
        limit_alphabet=0x110000,
        show_progress=False,
    )
    bare = Tokenizer(WordPieceModel(unk_token="[UNK]"))
    bare.pre_tokenizer = WhitespaceSplit()
    bare.train_from_iterator(_repeated(words), trainer)
    ids = bare.get_vocab(with_added_tokens=False)
    return sorted(ids, key=ids.__getitem__)


def _repeated(words: dict[str, int]) -> Iterator[str]:
    """The words, each as often as it occurs, in lines of bounded length: the trainer counts for itself."""
    for word in sorted(words):
        for start in range(0, words[word], 1000):
            yield " ".join([word] * min(1000, words[word] - start))
