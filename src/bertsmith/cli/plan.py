"""`bertsmith plan --corpus-tokens 100e9 --size base --gpus 64`."""

from typing import Annotated

from cyclopts import Group, Parameter

from bertsmith.cli.common import ConfigFile, Json, PretrainOptions, answer, print_table, reporter, stdout
from bertsmith.config import PretrainConfig
from bertsmith.plan_config import PlanConfig


def plan(
    *,
    planning: Annotated[PlanConfig, Parameter(name="*", group=Group("Plan", sort_key=10))] = PlanConfig(),
    pretraining: PretrainOptions = PretrainConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.benchmarks.plan_inputs import plan_run

    found = plan_run(planning, pretraining, reporter())
    if as_json:
        answer(found.values())
        return
    table = found.table()
    print_table(table.title, table.header, table.rows)
    stdout().print(*table.notes, sep="\n", markup=False, soft_wrap=True)
