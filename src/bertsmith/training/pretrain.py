"""Pretraining from one end to the other: raw text or a prepared corpus in, a run folder out.

The same call again goes on where it stopped: preparing by its units, training by its last good checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith.cleaning_config import CleaningConfig
from bertsmith.config import Config, CorpusConfig, PretrainConfig, TokenizerConfig
from bertsmith.data.cleaning.passes import Cleaning
from bertsmith.data.prepare import prepare_corpus
from bertsmith.data.remote_corpus import is_prepared_place, open_place
from bertsmith.data.shards import PreparedCorpus, open_corpus
from bertsmith.errors import ConfigError
from bertsmith.model.compiling import check_compiler
from bertsmith.model.device import choose_device
from bertsmith.model.precision import choose_precision
from bertsmith.progress import Reporter, Silent
from bertsmith.text.corpus import look_for_text
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.pretraining_run import PretrainingRun, PretrainResult
from bertsmith.training.ranks import joined_ranks
from bertsmith.training.run_folder import RunFolder

__all__ = ["PretrainResult", "pretrain"]


def pretrain(
    corpus: Sequence[str],
    out: Path,
    *,
    config: PretrainConfig,
    corpus_config: CorpusConfig = CorpusConfig(),
    tokenizer_config: TokenizerConfig = TokenizerConfig(),
    cleaning_config: CleaningConfig = CleaningConfig(),
    tokenizer: Path | None = None,
    reporter: Reporter = Silent(),
) -> PretrainResult:
    """Pretrain a BERT.

    Args:
        corpus: files, globs, folders and URLs of raw text, or the folder or URL of one prepared
            corpus.
        out: the run folder.
        config: model, objective, budget, optimizer.
        corpus_config: how raw text is read.
        tokenizer_config: how a tokenizer is trained, where none is given.
        cleaning_config: what of raw text is left out.
        tokenizer: the folder of a finished tokenizer, for raw text.
        reporter: told of progress.

    Raises:
        ConfigError: settings that contradict each other, the machine, or the run that the folder holds.
        CorpusError, PreparedCorpusError, TokenizerError: what is to be read is wrong.
        StoreError: the store of a remote corpus fails for good; the same call goes on.
        StoppedError: the user stopped the run; it was saved.
    """
    _check_machine(config)  # before text is prepared for what cannot be
    run = RunFolder(out)
    ready = _open_prepared(corpus, config) if len(corpus) == 1 else None
    if ready and tokenizer:
        raise ConfigError(f"{corpus[0]} is prepared, and has its tokenizer inside: leave --tokenizer out.")
    text = _Text(corpus, corpus_config, tokenizer_config, cleaning_config, tokenizer)
    settings = {**config.model_dump(), **text.settings(prepared=ready is not None)}

    def look() -> None:
        run.check_same(settings)
        if not ready and not run.corpus.exists():
            text.look()

    def prepare() -> None:
        run.check_same(settings)
        if idle := text.idle(prepared=ready is not None):
            reporter.warn(f"{', '.join(idle)}: decided when the corpus or the tokenizer was made, and idle now")
        if not ready:
            text.prepare(run.corpus, config.seed, reporter)
        run.keep(settings)  # not before: a mistake in the words so far should not stay in the folder

    with joined_ranks(config.device, config.batch_size, shard=config.shard) as ranks:
        told = reporter if ranks.first else Silent()
        ranks.once(look)
        with run.locked(wait_s=ranks.patience_s) if ranks.first else nullcontext():
            ranks.once(prepare)
            return PretrainingRun(run, ready or open_corpus(run.corpus), config, told, ranks).run()


def _check_machine(config: PretrainConfig) -> None:
    device = choose_device(config.device)
    if config.compile:
        check_compiler(device)
    if config.precision != "auto":
        choose_precision(config.precision, device)


@dataclass(frozen=True)
class _Text:
    """What is read, and how raw text becomes a prepared corpus; the arguments of `pretrain`."""

    corpus: Sequence[str]
    config: CorpusConfig
    tokenizer_config: TokenizerConfig
    cleaning: CleaningConfig
    tokenizer: Path | None

    def settings(self, *, prepared: bool) -> dict[str, Any]:
        """What of it a run was begun with."""
        values = {name: value for part in self._deciding(prepared) for name, value in part.model_dump().items()}
        values |= {} if prepared else self.cleaning.chosen()
        return {**values, "corpus": list(self.corpus), "tokenizer": self.tokenizer and str(self.tokenizer)}

    def idle(self, *, prepared: bool) -> list[str]:
        """Options that were chosen and decide nothing any more."""
        raw = (self.config, self.tokenizer_config, *([self.cleaning] if prepared else []))
        return [name for part in raw if part not in self._deciding(prepared) for name in _changed(part)]

    def look(self) -> None:
        """Look for what was named, before a folder is made: a mistake leaves none behind.

        Raises:
            CorpusError, TokenizerError: it is not there, or holds no text.
        """
        look_for_text(self.corpus, self.config)
        self._tokenizer()

    def _tokenizer(self) -> WordPiece | TokenizerConfig:
        """The tokenizer that was given, or how one is trained."""
        return WordPiece.load(self.tokenizer) if self.tokenizer else self.tokenizer_config

    def prepare(self, out: Path, seed: int, reporter: Reporter) -> None:
        """Make the prepared corpus, or find it made."""
        prepare_corpus(
            self.corpus,
            out,
            tokenizer=self._tokenizer(),
            config=self.config,
            seed=seed,
            cleaning=Cleaning(self.cleaning),
            reporter=reporter,
        )

    def _deciding(self, prepared: bool) -> tuple[Config, ...]:
        if prepared:
            return ()
        return (self.config,) if self.tokenizer else (self.config, self.tokenizer_config)


def _open_prepared(corpus: Sequence[str], config: PretrainConfig) -> PreparedCorpus | None:
    """The prepared corpus, if that is what there is."""
    if not is_prepared_place(corpus[0]):
        return None
    cache = Path(config.cache_folder) if config.cache_folder else None
    return open_place(corpus[0], cache=cache, cache_gb=config.cache_gb)


def _changed(config: Config) -> list[str]:
    """The options that are not as they are by default."""
    usual = type(config)()
    return [name for name in type(config).model_fields if getattr(config, name) != getattr(usual, name)]
