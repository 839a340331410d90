"""Word vectors: what is counted, against counting by hand; what they tell; that text and seed decide."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data import word_vectors as module
from bertsmith.data.prepare import prepare_corpus
from bertsmith.data.shards import PreparedCorpus, open_corpus
from bertsmith.data.word_vectors import neighbour_counts, word_vectors
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Silent
from bertsmith.text.wordpiece import WordPiece

ANIMALS, METALS = ("cat", "dog", "cow", "fox"), ("iron", "zinc", "lead", "gold")


def sentences(count: int) -> list[str]:
    """Animals eat and sleep, metals melt and shine; which of them does it is drawn."""
    rng = np.random.default_rng(0)
    said = []
    for _ in range(count):
        kind, verbs, ends = ((ANIMALS, ("eats", "sleeps"), "home"), (METALS, ("melts", "shines"), "fire"))[
            rng.integers(2)
        ]
        said.append(f"a {rng.choice(kind)} {rng.choice(verbs)} near the {ends}")
    return said


def prepared(folder: Path, documents: list[str], **making: int) -> PreparedCorpus:
    (folder / "text.txt").write_text("\n".join(documents))
    prepare_corpus(
        [str(folder / "text.txt")],
        folder / "corpus",
        tokenizer=TokenizerConfig(vocab_size=300),
        config=CorpusConfig(document_per="line", held_out_share=0.0, workers=1),
        seed=0,
        making=PrepareConfig(**making),
        reporter=Silent(),
    )
    return open_corpus(folder / "corpus")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return prepared(tmp_path_factory.mktemp("vectors"), sentences(400), shard_tokens=1000)


def ids_of(corpus: PreparedCorpus, words: tuple[str, ...]) -> list[int]:
    tokens = WordPiece.load(corpus.tokenizer_folder).tokens
    return [tokens.index(word) for word in words]


def test_neighbours_are_those_of_the_same_document(corpus: PreparedCorpus) -> None:
    expected: Counter[tuple[int, int]] = Counter()
    shards = [corpus.open(entry) for entry in corpus.of("train")]
    assert len(shards) > 1
    for shard in shards:
        edges = shard.sentence_starts[shard.document_starts]
        for first, end in itertools.pairwise(edges):
            document = shard.tokens[first:end].tolist()
            for place, token in enumerate(document):
                for other in document[max(0, place - 1) : place] + document[place + 1 : place + 2]:
                    expected[token, other] += 1
    counted = neighbour_counts(corpus).tocoo()
    pairs = zip(*(axis.tolist() for axis in counted.coords), strict=True)
    assert dict(zip(pairs, counted.data.tolist(), strict=True)) == expected


def test_words_of_a_kind_point_one_way(corpus: PreparedCorpus) -> None:
    vectors = word_vectors(corpus, 16, seed=0)
    alike = vectors @ vectors.T
    animals, metals = ids_of(corpus, ANIMALS), ids_of(corpus, METALS)
    assert alike[np.ix_(animals, animals)].min() > 0.9
    assert alike[np.ix_(animals, metals)].max() < 0.5


def test_rows_are_of_length_one_or_nothing(corpus: PreparedCorpus) -> None:
    vectors = word_vectors(corpus, 16, seed=0)
    lengths = np.linalg.norm(vectors, axis=1)
    seen = corpus.token_counts() > 0
    assert lengths[seen] == pytest.approx(1.0)
    assert not lengths[~seen].any()
    tells = np.square(vectors).sum(0)
    assert tells.min() > 0.1 * tells.mean()  # each number something, though so small a language has few directions


def test_text_and_seed_decide(corpus: PreparedCorpus) -> None:
    one, again, other = (word_vectors(corpus, 16, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)
    assert one @ one.T == pytest.approx(other @ other.T, abs=0.1)  # the same picture in another basis


def test_wider_than_the_vocabulary(corpus: PreparedCorpus) -> None:
    size = len(corpus.token_counts())
    vectors = word_vectors(corpus, 2 * size, seed=0)
    assert vectors.shape == (size, 2 * size)
    assert np.isfinite(vectors).all()


def test_text_without_neighbours_has_no_vectors(tmp_path: Path) -> None:
    assert not word_vectors(prepared(tmp_path, ["one", "two", "one"]), 8, seed=0).any()


def test_no_more_is_read_than_serves(corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = neighbour_counts(corpus).sum()
    monkeypatch.setattr(module, "MOST_TOKENS", 1200)
    opened = []
    open_shard = PreparedCorpus.open
    monkeypatch.setattr(PreparedCorpus, "open", lambda self, entry: opened.append(entry) or open_shard(self, entry))
    assert 0 < neighbour_counts(corpus).sum() <= whole / 2
    assert len(opened) == 2
