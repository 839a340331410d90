"""`bertsmith evaluate MODEL DATA`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from pydantic import Field

from bertsmith.cli.common import (
    PRECISION_HELP,
    ConfigFile,
    Json,
    LabelledOptions,
    Model,
    answer,
    print_table,
    reporter,
    stdout,
)
from bertsmith.config import PredictionPrecision
from bertsmith.errors import ConfigError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig

Suite = Literal["glue", "squad", "conll"]


class EvaluateConfig(FinetuneConfig):
    """The recipe of a suite; its precision is that of answers too, which know one more."""

    precision: PredictionPrecision = Field("auto", description=PRECISION_HELP)  # type: ignore[assignment]


EvaluateOptions = Annotated[EvaluateConfig, Parameter(name="*", group=Group("Fine-tuning", sort_key=20))]
_USUAL = EvaluateConfig()


def evaluate(
    model: Model,
    data: Annotated[list[str], Parameter(help="Labelled examples, as for finetune; with --suite its folder.")],
    *,
    suite: Annotated[
        Suite | None,
        Parameter(
            help="Fine-tune MODEL on every task of the folder DATA, which has the official layout, and measure it "
            "beside the paper's figures. The options of fine-tuning are for this; --precision is for both, but "
            "float16 for answers alone."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(
            help="With --suite: folder for its runs and for the files that its server takes. Else a file for "
            "the predictions, a JSON object a line."
        ),
    ] = None,
    training: EvaluateOptions = _USUAL,
    reading: LabelledOptions = LabelledConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    if suite:
        _suite(suite, model, data, out, training, reading, as_json)
        return
    if changed := training.but(precision="auto").model_dump().items() - _USUAL.model_dump().items():
        names = ", ".join(sorted(f"--{name.replace('_', '-')}" for name, _ in changed))
        # Not refused: it may come from the environment, for other commands.
        reporter().warn(f"{names}: idle, since nothing is trained without --suite")
    from bertsmith.inference.evaluate import evaluate as measure

    result = measure(model, data, reading=reading, precision=training.precision, predictions=out, reporter=reporter())
    if as_json:
        answer({"task": result.task, "examples": result.examples, "metrics": result.metrics})
        return
    print_figures(result.metrics, f"on {result.examples:,} examples")
    for table in result.findings.tables:
        print_table(table.title, table.header, table.rows)


def _suite(
    name: Suite,
    model: Path,
    data: list[str],
    out: Path | None,
    training: EvaluateConfig,
    reading: LabelledConfig,
    as_json: bool,
) -> None:
    if len(data) != 1:
        raise ConfigError(f"--suite {name} takes one folder, and {len(data)} were given")
    if training.precision == "float16":
        raise ConfigError("--precision float16 is for answers, and --suite trains: take another one, or auto")
    from bertsmith.training.suites import run_suite

    out = out or Path(f"{name}-results")
    recipe = FinetuneConfig(**training.model_dump())
    result = run_suite(name, model, Path(data[0]), out, config=recipe, reading=reading, reporter=reporter())
    if as_json:
        answer({"out": result.out, "metrics": result.metrics, "files": list(map(str, result.files))})
        return
    print_table(result.title, result.header, result.rows)
    stdout().print("", *result.notes, sep="\n", markup=False, soft_wrap=True)
    stdout().print(f"{result.out}  the runs, and results.json", markup=False, soft_wrap=True)
    for file in result.files:
        stdout().print(f"  {file.relative_to(result.out)}", markup=False, soft_wrap=True)


def print_figures(metrics: Mapping[str, float], where: str) -> None:
    """Figures for people."""
    from rich.table import Table

    table = Table("", where, box=None, padding=(0, 2), header_style="dim")
    for name, value in metrics.items():
        table.add_row(name, f"{value:,.4f}")
    stdout().print(table)
