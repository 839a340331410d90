"""What the command line does, as functions; options are keywords, named as the fields of the configs."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bertsmith.cleaning_config import CleaningConfig
from bertsmith.config import Config, CorpusConfig, PretrainConfig, TokenizerConfig
from bertsmith.errors import ConfigError
from bertsmith.finetune_config import FinetuneConfig, FinetuneName, LabelledConfig
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Reporter, Terminal

if TYPE_CHECKING:
    from bertsmith.data.shards import PreparedCorpus
    from bertsmith.training.finetune import FinetuneResult
    from bertsmith.training.pretrain import PretrainResult

AnyPath: TypeAlias = str | os.PathLike[str]


def pretrain(
    corpus: AnyPath | Sequence[AnyPath],
    *,
    out: AnyPath,
    tokenizer: AnyPath | None = None,
    reporter: Reporter | None = None,
    **options: Any,
) -> PretrainResult:
    """Pretrain a BERT on raw text, or on a prepared corpus; the same call again goes on where it stopped.

    Args:
        corpus: files, globs, folders, URLs; or the folder or URL of a prepared corpus.
        out: the run folder, a Hugging Face model folder when it is done.
        tokenizer: folder of a finished tokenizer; if not given, one is trained on the corpus.
        reporter: told of progress; stderr if not given.
        options: fields of PretrainConfig, CorpusConfig, TokenizerConfig, CleaningConfig, such as `size="mini"`.

    Raises:
        ConfigError: an unknown option, or a value that does not fit.
        BertsmithError: as `bertsmith.training.pretrain.pretrain`.
    """
    parts = split_options(options, PretrainConfig, CorpusConfig, TokenizerConfig, CleaningConfig)
    pretraining, reading, vocabulary, cleaning = parts
    from bertsmith.training.pretrain import pretrain as run

    return run(
        corpus_words(corpus),
        Path(out),
        config=PretrainConfig(**pretraining),
        corpus_config=CorpusConfig(**reading),
        tokenizer_config=TokenizerConfig(**vocabulary),
        cleaning_config=CleaningConfig(**cleaning),
        tokenizer=None if tokenizer is None else Path(tokenizer),
        reporter=reporter or Terminal(),
    )


def finetune(
    task: FinetuneName,
    *,
    model: AnyPath,
    train: Any,
    dev: Any = None,
    out: AnyPath,
    reporter: Reporter | None = None,
    **options: Any,
) -> FinetuneResult:
    """Fine-tune a model on labelled examples; the same call again goes on where it stopped.

    Args:
        task: "classify", "sentiment" (its preset), "regress", "tag", "answer" or "choose".
        model: a run folder, or any Hugging Face BERT or ModernBERT folder.
        train: labelled examples: files, or a DataFrame, a `datasets` table, a list.
        dev: examples to evaluate on; if not given, a share of the training examples is kept for that.
        out: the run folder, a Hugging Face model folder when it is done.
        reporter: told of progress; stderr if not given.
        options: fields of FinetuneConfig and LabelledConfig, such as `epochs=2`, `text_column="review"`.

    Raises:
        ConfigError: an unknown option, or a value that does not fit.
        BertsmithError: as `bertsmith.training.finetune.finetune`.
    """
    training, reading = split_options(options, FinetuneConfig, LabelledConfig)
    config, labelled = FinetuneConfig(**training), LabelledConfig(**reading)
    from bertsmith.training.finetune import finetune as run

    return run(
        task,
        train,
        Path(out),
        model=Path(model),
        dev=dev,
        config=config,
        reading=labelled,
        reporter=reporter or Terminal(),
    )


def prepare(
    corpus: AnyPath | Sequence[AnyPath],
    *,
    out: AnyPath,
    tokenizer: AnyPath | None = None,
    seed: int = 0,
    language_of: Callable[[str], str] | None = None,
    keep_languages: Sequence[str] = (),
    reporter: Reporter | None = None,
    **options: Any,
) -> PreparedCorpus:
    """Turn raw text into a prepared corpus; the same call again goes on where it stopped.

    Args:
        corpus: files, globs, folders, URLs.
        out: the folder of the prepared corpus, or a URL; its tokenizer is in `out/tokenizer`.
        tokenizer: folder of a finished tokenizer; if not given, one is trained on the corpus.
        seed: kept with the corpus.
        language_of: tells the language of a text, such as "de"; any function, called in this process.
        keep_languages: documents in other languages are dropped.
        reporter: told of progress; stderr if not given.
        options: fields of CorpusConfig, TokenizerConfig, CleaningConfig and PrepareConfig, such as `language="de"`,
            `cased=True`, `drop_duplicates="near"`, `engine="ray"`.

    Raises:
        ConfigError: an unknown option, or a value that does not fit.
        BertsmithError: as `bertsmith.data.prepare.prepare_corpus`.
    """
    parts = split_options(options, CorpusConfig, TokenizerConfig, CleaningConfig, PrepareConfig)
    reading, vocabulary, cleaning, making = parts
    config, reporter = CorpusConfig(**reading), reporter or Terminal()
    tokenizer_config, cleaning_config = TokenizerConfig(**vocabulary), CleaningConfig(**cleaning)
    from bertsmith.data.cleaning.passes import Cleaning, language_filter
    from bertsmith.data.prepare import prepare_corpus
    from bertsmith.text.wordpiece import WordPiece

    return prepare_corpus(
        corpus_words(corpus),
        out if isinstance(out, str) else Path(out),
        tokenizer=tokenizer_config if tokenizer is None else WordPiece.load(Path(tokenizer)),
        config=config,
        seed=seed,
        making=PrepareConfig(**making),
        cleaning=Cleaning(cleaning_config, language_filter(language_of, keep_languages)),
        reporter=reporter,
    )


def corpus_words(corpus: AnyPath | Sequence[AnyPath]) -> list[str]:
    """One path or several, as words of a command line."""
    several = [corpus] if isinstance(corpus, str | os.PathLike) else corpus
    return [os.fspath(path) for path in several]


def split_options(options: Mapping[str, Any], *configs: type[Config]) -> list[dict[str, Any]]:
    """Deal keywords out to the configs whose fields they are.

    Raises:
        ConfigError: a keyword that none of them has, with the nearest that one has.
    """
    known = [name for config in configs for name in config.model_fields]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"
            raise ConfigError(f'unknown option "{name}": {hint}')
    return [{name: options[name] for name in config.model_fields if name in options} for config in configs]
