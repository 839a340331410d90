"""The tokenizer of a corpus: the one that is given, or one trained on its documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.progress import Reporter
from bertsmith.text.train import kept_tokenizer
from bertsmith.text.wordpiece import WordPiece


def obtain_tokenizer(
    corpus: Sequence[str],
    prepared: Path,
    given: Path | None,
    config: TokenizerConfig,
    corpus_config: CorpusConfig,
    reporter: Reporter,
) -> WordPiece:
    """The tokenizer that was given, the one that a stopped build had made already, or one trained on the corpus."""
    if given is not None:
        return WordPiece.load(given)
    return kept_tokenizer(prepared / "tokenizer", corpus, config=config, corpus_config=corpus_config, reporter=reporter)
