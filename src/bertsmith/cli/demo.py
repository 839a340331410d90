"""`bertsmith demo`."""

from pathlib import Path
from shlex import quote
from typing import Annotated

from cyclopts import Parameter

from bertsmith.cli.common import ConfigFile, Json, answer, reporter, stdout


def demo(
    *,
    out: Annotated[Path, Parameter(help="The folder for corpus and model.")] = Path("demo-bert"),
    minutes: Annotated[float, Parameter(help="Minutes of pretraining.")] = 2.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.cli.fill import print_masks
    from bertsmith.cli.pretrain import what_next
    from bertsmith.demo import run_demo

    result = run_demo(out, minutes=minutes, reporter=reporter())
    if as_json:
        answer({"out": result.model, "metrics": result.metrics})
        return
    for text, masks in result.fills.items():
        print_masks(text, masks)
    stdout().print(f"\n{result.corpus}  the text it was made from, yours to look at", markup=False)
    loss, guessing = result.metrics["mlm_loss"], result.metrics["frequency_loss"]
    stdout().print(f"held-out loss {loss:.2f} nats; always guessing by word frequency has {guessing:.2f}", markup=False)
    stdout().print(
        "The answers are mostly the commonest words: two minutes teach a BERT little more. Longer runs teach context.",
        markup=False,
        soft_wrap=True,
    )
    stdout().print(what_next(result.model, "The [MASK] is sorted in place."), markup=False, soft_wrap=True)
    longer = f"bertsmith pretrain {quote(str(result.corpus))} --out better-bert --size mini --minutes 30"
    stdout().print(f"  {longer}    # larger, and longer", markup=False, soft_wrap=True)
