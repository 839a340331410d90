"""`bertsmith bench train`, `bertsmith bench infer MODEL` and `bertsmith bench prepare CORPUS…`."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bertsmith.cli.common import (
    ConfigFile,
    Corpus,
    CorpusOptions,
    Json,
    Model,
    PrecisionOption,
    PretrainOptions,
    TokenizerFolder,
    TokenizerOptions,
    answer,
    print_table,
    reporter,
    stdout,
)
from bertsmith.config import CorpusConfig, PretrainConfig, TokenizerConfig

if TYPE_CHECKING:
    from bertsmith.benchmarks.figures import Table

Append = Annotated[Path | None, Parameter(help="A Markdown file to which the figures are added, with the machine.")]
IDLE = {"steps", "epochs", "minutes", "shard"}


def train(
    *,
    peer: Annotated[
        bool,
        Parameter(
            negative="",
            help="Measure BertForPreTraining of transformers (with --objective mlm BertForMaskedLM) in turn with ours, "
            "as it comes and at its best; of all sizes mini and base, if no --size is given.",
        ),
    ] = False,
    tokens: Annotated[float, Parameter(help="The tokens whose hours are told.")] = 100e6,
    seconds: Annotated[
        float, Parameter(help="About how long to measure; sizes that do not fit in are estimated.")
    ] = 60.0,
    vocab_size: Annotated[int, Parameter(help="WordPieces; BERT's own had 30,522.")] = 30_522,
    append: Append = None,
    pretraining: PretrainOptions = PretrainConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.benchmarks.train import Plan, bench_train

    given = pretraining.model_fields_set
    if idle := [f"--{name}" for name in sorted(IDLE & given) if getattr(pretraining, name)]:
        reporter().warn(f"{', '.join(idle)}: idle, since one process measures, for as long as --seconds says")
    size = pretraining.size if "size" in given else None
    found = bench_train(Plan(pretraining, size, vocab_size, seconds, peer), reporter())
    _tell(found.tables(tokens), found.values(tokens), ("torch", "transformers"), append, as_json)


def infer(
    model: Model,
    *,
    texts: Annotated[
        str | None,
        Parameter(help="A file of texts, one a line; if not given, texts of 8 to 256 tokens of the model's own words."),
    ] = None,
    peer: Annotated[
        bool,
        Parameter(
            negative="",
            help="Measure transformers in turn with ours, as it comes, in float32: its pipeline, for vectors its "
            "model and the mean over the tokens.",
        ),
    ] = False,
    precision: PrecisionOption = "auto",
    runs: Annotated[int, Parameter(help="Of each side, in turn.")] = 5,
    embed: Annotated[bool, Parameter(negative="", help="Measure vectors, whatever the model is for.")] = False,
    append: Append = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.benchmarks.infer import InferPlan, bench_infer

    found = bench_infer(InferPlan(model, texts, precision, runs, peer, embed), reporter())
    _tell([found.table()], found.values(), ("torch", "transformers"), append, as_json)


def prepare(
    corpus: Corpus,
    *,
    runs: Annotated[int, Parameter(help="Of each side, in turn.")] = 3,
    tokenizer: TokenizerFolder = None,
    append: Append = None,
    reading: CorpusOptions = CorpusConfig(),
    vocabulary: TokenizerOptions = TokenizerConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.benchmarks.prepare import bench_prepare

    found = bench_prepare(
        corpus,
        runs=runs,
        corpus_config=reading,
        tokenizer_config=vocabulary,
        tokenizer=tokenizer,
        reporter=reporter(),
    )
    _tell([found.table()], found.values(), ("tokenizers", "sentencex"), append, as_json)


def _tell(
    tables: "Sequence[Table]", values: dict[str, Any], packages: Sequence[str], append: Path | None, as_json: bool
) -> None:
    """The figures on stdout, and in the file that keeps them."""
    from bertsmith.benchmarks.figures import append_results
    from bertsmith.benchmarks.machine import describe

    machine = describe(packages)
    if append:
        append_results(append, tables, command=shlex.join(["bertsmith", *sys.argv[1:]]), machine=machine)
        reporter().say(f"{append}: the figures were added")
    if as_json:
        answer({**values, "machine": machine})
        return
    for table in tables:
        print_table(table.title, table.header, table.rows)
        stdout().print(*table.notes, sep="\n", markup=False, soft_wrap=True)
