"""`bertsmith prepare CORPUS… --out corpus/`."""

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter, validators

from bertsmith.api import prepare as run
from bertsmith.cleaning_config import CleaningConfig
from bertsmith.cli.common import (
    CleaningOptions,
    ConfigFile,
    Corpus,
    CorpusOptions,
    Json,
    PrepareOptions,
    TokenizerFolder,
    TokenizerOptions,
    answer,
    print_table,
    reporter,
    stdout,
)
from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.errors import ConfigError
from bertsmith.prepare_config import PrepareConfig

Preview = Annotated[
    int | None,
    Parameter(
        group="Cleaning text",
        validator=validators.Number(gt=0),
        help="Clean a sample of so many documents, show what would go, and write nothing.",
    ),
]


def prepare(
    corpus: Corpus,
    *,
    out: Annotated[str, Parameter(help="The folder of the prepared corpus, or a URL (s3://, gs://, …).")],
    tokenizer: TokenizerFolder = None,
    seed: Annotated[int, Parameter(help="Kept with the corpus.")] = 0,
    making: PrepareOptions = PrepareConfig(),
    reading: CorpusOptions = CorpusConfig(),
    cleaning: CleaningOptions = CleaningConfig(),
    preview_cleaning: Preview = None,
    vocabulary: TokenizerOptions = TokenizerConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    if preview_cleaning is not None:
        _preview(corpus, cleaning, reading, preview_cleaning, as_json)
        return
    prepared = run(
        corpus,
        out=out,
        tokenizer=tokenizer,
        seed=seed,
        reporter=reporter(),
        **making.model_dump(),
        **reading.model_dump(),
        **vocabulary.model_dump(),
        **cleaning.model_dump(),
    )
    account = prepared.manifest.get("cleaning")
    if as_json:
        cleaned = {"cleaning": account} if account else {}
        answer({"out": out, "counts": prepared.manifest["counts"], **cleaned})
    elif account:
        _print_account("Cleaning", account)


def _preview(corpus: list[str], cleaning: CleaningConfig, reading: CorpusConfig, documents: int, as_json: bool) -> None:
    """What would go of a sample, and examples."""
    from bertsmith.data.cleaning.passes import Cleaning
    from bertsmith.data.cleaning.preview import preview_cleaning

    asked = Cleaning(cleaning)
    if not asked.made_from():
        raise ConfigError(
            "--preview-cleaning: no step of cleaning is asked for. Say one, such as --drop-duplicates near"
        )
    found = preview_cleaning(corpus, cleaning=asked, reading=reading, documents=documents)
    if {"drop_boilerplate_lines", "drop_duplicates"} & asked.config.chosen().keys():
        reporter().say("repeated lines and duplicates are fewer in a sample than in the whole corpus")
    if as_json:
        answer({"cleaning": found.account, "examples": [asdict(example) for example in found.examples]})
        return
    _print_account("What cleaning would do to a sample; nothing is written", found.account)
    for example in found.examples:
        stdout().print(f"\n{example.step}", style="bold", markup=False)
        stdout().print(f"{example.source}\n  {example.text}", markup=False, soft_wrap=True)
        if example.beside:
            stdout().print(f"  {example.beside}", style="dim", markup=False, soft_wrap=True)


def _print_account(title: str, account: dict[str, Any]) -> None:
    from bertsmith.data.cleaning.counts import HEADER, table_rows

    print_table(title, HEADER, table_rows(account))
