"""Raw files -> a trained tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.progress import Reporter, Track
from bertsmith.text.corpus import BadInput, Document, Source, list_sources, read_corpus
from bertsmith.text.wordpiece import WordPiece


def as_read(documents: Iterable[Document]) -> Iterator[str]:
    """The texts of documents."""
    return (document.text for document in documents)


def train_tokenizer(
    corpus: Sequence[str],
    *,
    config: TokenizerConfig,
    corpus_config: CorpusConfig,
    reporter: Reporter,
    texts_of: Callable[[Iterable[Document]], Iterator[str]] = as_read,
) -> WordPiece:
    """Train a WordPiece vocabulary on every document of a corpus, read once.

    Args:
        corpus: files, globs, folders, URLs.
        config: of the vocabulary.
        corpus_config: how the files are read.
        reporter: told of progress and of what was left out.
        texts_of: what of the documents it learns from.

    Raises:
        CorpusError: a broken input, or no document at all.
        TokenizerError: the documents hold no word.
    """
    with _documents(corpus, "learning WordPieces", config=corpus_config, reporter=reporter) as documents:
        tokenizer = WordPiece.train(texts_of(documents), config)
    reporter.say(f"learned {tokenizer.vocab_size:,} WordPieces")
    return tokenizer


@contextmanager
def reading(corpus: Sequence[str], label: str, *, config: CorpusConfig, reporter: Reporter) -> Iterator[Iterator[str]]:
    """The texts of a corpus, to be read once under a bar; what was left out is said at the end.

    Raises:
        CorpusError: a broken input, or no document at all.
    """
    with _documents(corpus, label, config=config, reporter=reporter) as documents:
        yield as_read(documents)


@contextmanager
def _documents(
    corpus: Sequence[str], label: str, *, config: CorpusConfig, reporter: Reporter
) -> Iterator[Iterator[Document]]:
    sources = list_sources(corpus)
    skipped: list[BadInput] = []
    with reporter.track(label, total=plain_megabytes(sources), unit="MB") as track:
        yield _read(sources, config, skipped, track)
    if skipped:
        first = skipped[0]
        reporter.warn(
            f"{sum(bad.count for bad in skipped)} broken inputs were left out, "
            f"the first in {first.source}, {first.place}: {first.reason}"
        )


def _read(sources: Sequence[Source], config: CorpusConfig, skipped: list[BadInput], track: Track) -> Iterator[Document]:
    done = 0
    for document in read_corpus(sources, config, skipped=skipped):
        yield document
        done += len(document.text) if document.text.isascii() else len(document.text.encode(errors="replace"))
        track.update(done / 1e6)


def plain_megabytes(sources: Sequence[Source]) -> float | None:
    """What there is to read, if it is known: of plain text files alone, where the text is the file."""
    plain = all(source.compression is None and source.format == "txt" for source in sources)
    sizes = [source.size_bytes for source in sources if source.size_bytes]
    return sum(sizes) / 1e6 if plain and len(sizes) == len(sources) else None
