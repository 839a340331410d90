"""What the commands share: their common options, and how they answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter
from rich.console import Console

from bertsmith.cleaning_config import CleaningConfig
from bertsmith.config import CorpusConfig, PredictionPrecision, PretrainConfig, TokenizerConfig
from bertsmith.errors import InputError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Terminal

COMMON = Group("Common options", sort_key=100)

ConfigFile = Annotated[
    Path | None,
    Parameter(
        name="--config",
        group=COMMON,
        help="TOML file with options of this command. Flags win over BERTSMITH_… variables, these over it.",
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative="", group=COMMON, help="Print one JSON object on stdout.")]
Corpus = Annotated[
    list[str],
    Parameter(
        help="Files, globs, folders, URLs: .txt, .jsonl, .csv, .tsv, .parquet; plain, .gz, .bz2, .xz, .zst.",
    ),
]
TokenizerFolder = Annotated[
    Path | None,
    Parameter(help="Folder of a finished tokenizer; if not given, one is trained on the corpus."),
]
Model = Annotated[Path, Parameter(help="A run folder, or any Hugging Face BERT or ModernBERT folder.")]
PRECISION_HELP = (
    "float32 gives the numbers of transformers; bfloat16, on processors made for it, is 1.6 to 3 times as fast "
    "and right to about three digits; int16, for BERT on other processors, is 1.2 to 1.7 times as fast and right to "
    "four digits; float16 keeps the weights so, for ModernBERT there; auto takes what is fastest here, bfloat16 by a "
    "measurement, int16 and float16 where a processor has AVX2 alone."
)
PrecisionOption = Annotated[PredictionPrecision, Parameter(help=PRECISION_HELP)]

PrepareOptions = Annotated[PrepareConfig, Parameter(name="*", group=Group("Preparing", sort_key=20))]
CorpusOptions = Annotated[CorpusConfig, Parameter(name="*", group=Group("Reading text", sort_key=30))]
CleaningOptions = Annotated[CleaningConfig, Parameter(name="*", group=Group("Cleaning text", sort_key=35))]
TokenizerOptions = Annotated[TokenizerConfig, Parameter(name="*", group=Group("Vocabulary", sort_key=40))]
LabelledOptions = Annotated[LabelledConfig, Parameter(name="*", group=Group("Reading examples", sort_key=30))]
PretrainOptions = Annotated[PretrainConfig, Parameter(name="*", group=Group("Pretraining", sort_key=20))]


def answer(values: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(values, ensure_ascii=False, default=str))


def reporter() -> Terminal:
    """Where progress and remarks go: stderr."""
    return Terminal()


def stdout() -> Console:
    """Where tables for people go."""
    return Console(highlight=False)


def print_table(title: str, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """A table for people; floats have three places."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, title=title, box=None, padding=(0, 1), header_style="dim", title_justify="left")
    for row in rows:
        table.add_row(*(Text(f"{cell:.3f}" if isinstance(cell, float) else str(cell)) for cell in row))
    stdout().print(table)


def lines_of_file(file: str) -> list[str]:
    """The lines of a text file; of stdin where it is "-"."""
    name = "stdin" if file == "-" else file
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        lines = data.decode("utf-8").removesuffix("\n").split("\n")  # splitlines() would split at more
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: byte {error.start} is not UTF-8 ({error.reason})") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from None
    if not data:
        raise InputError(f"{name} is empty; write a text a line")
    return [line.rstrip("\r") for line in lines]
