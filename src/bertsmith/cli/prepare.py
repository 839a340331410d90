"""`bertsmith prepare CORPUS… --out corpus/`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertsmith.api import prepare as run
from bertsmith.cli.common import (
    ConfigFile,
    Corpus,
    CorpusOptions,
    Json,
    TokenizerFolder,
    TokenizerOptions,
    answer,
    reporter,
)
from bertsmith.config import CorpusConfig, TokenizerConfig


def prepare(
    corpus: Corpus,
    *,
    out: Annotated[Path, Parameter(help="The folder of the prepared corpus.")],
    tokenizer: TokenizerFolder = None,
    seed: Annotated[int, Parameter(help="Kept with the corpus.")] = 0,
    shard_tokens: Annotated[int, Parameter(help="About how many tokens a shard has.")] = 4_000_000,
    reading: CorpusOptions = CorpusConfig(),
    vocabulary: TokenizerOptions = TokenizerConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    prepared = run(
        corpus,
        out=out,
        tokenizer=tokenizer,
        seed=seed,
        shard_tokens=shard_tokens,
        reporter=reporter(),
        **reading.model_dump(),
        **vocabulary.model_dump(),
    )
    if as_json:
        answer({"out": out, "counts": prepared.manifest["counts"]})
