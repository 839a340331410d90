"""`bertsmith pretrain CORPUS… --out my-bert`."""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertsmith.cleaning_config import CleaningConfig
from bertsmith.cli.common import (
    CleaningOptions,
    ConfigFile,
    Corpus,
    CorpusOptions,
    Json,
    PretrainOptions,
    TokenizerFolder,
    TokenizerOptions,
    answer,
    reporter,
    stdout,
)
from bertsmith.config import CorpusConfig, PretrainConfig, TokenizerConfig


def pretrain(
    corpus: Corpus,
    *,
    out: Annotated[Path, Parameter(help="The run folder: a Hugging Face model folder when it is done.")],
    tokenizer: TokenizerFolder = None,
    pretraining: PretrainOptions = PretrainConfig(),
    reading: CorpusOptions = CorpusConfig(),
    cleaning: CleaningOptions = CleaningConfig(),
    vocabulary: TokenizerOptions = TokenizerConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.training.pretrain import pretrain as run
    from bertsmith.training.ranks import is_first_process

    result = run(
        corpus,
        out,
        config=pretraining,
        corpus_config=reading,
        tokenizer_config=vocabulary,
        cleaning_config=cleaning,
        tokenizer=tokenizer,
        reporter=reporter(),
    )
    if not is_first_process():
        return
    if as_json:
        answer({"out": result.out, "metrics": result.metrics})
    else:
        stdout().print(what_next(result.out), markup=False, soft_wrap=True)


def what_next(out: Path, sentence: str = "A sentence of yours with a [MASK].") -> str:
    """Where things lie in a finished run folder, and what to try with them."""
    folder = shlex.quote(str(out))
    return f"""
{out}  is your BERT; transformers opens it as it is
  README.md  the model card, with figures and curves
  training/report.html  the curves; training/metrics.jsonl has their numbers

Try next:
  bertsmith fill {folder} "{sentence}"
  bertsmith embed {folder} texts.txt --out vectors.npy"""
