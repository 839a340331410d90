"""`bertsmith fill MODEL TEXT`."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertsmith.cli.common import ConfigFile, Json, Model, PrecisionOption, answer, stdout

if TYPE_CHECKING:
    from bertsmith.tasks.fill_mask import Fill


def fill(
    model: Model,
    text: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="A text with [MASK], one or several; - reads a text a line from stdin.",
        ),
    ],
    *,
    pair: Annotated[str | None, Parameter(help="A second text.")] = None,
    top_k: Annotated[int | None, Parameter(help="Answers a mask; 5 if not given, or all candidates.")] = None,
    candidates: Annotated[str | None, Parameter(help="Answer only among these words: pain,fever.")] = None,
    precision: PrecisionOption = "float32",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.inference.predictor import load

    predictor = load(model, precision=precision)
    words = [word.strip() for word in candidates.split(",")] if candidates else None

    def blank(line: str) -> bool:
        """Whether it is answered by nothing: answer n is that of line n."""
        return text == "-" and not line.strip()

    if as_json:
        texts = list(_texts(text))
        asked = [each for each in texts if not blank(each)]
        filled = iter(predictor.fill_texts(asked, pair, top_k=top_k, candidates=words))
        found = [[] if blank(each) else next(filled) for each in texts]
        shown = [[[asdict(fill) for fill in mask] for mask in masks] for masks in found]
        answer({"answers": [{"text": each, "pair": pair, "masks": m} for each, m in zip(texts, shown, strict=True)]})
        return
    for each in _texts(text):  # line by line: someone may be typing them
        masks = [] if blank(each) else predictor.fill_each(each, pair, top_k=top_k, candidates=words)
        print_masks(each if pair is None else f"{each} | {pair}", masks)


def _texts(text: str) -> Iterable[str]:
    from bertsmith.inference.inputs import lines_of_stdin

    return lines_of_stdin(sys.stdin.buffer) if text == "-" else [text]


def print_masks(text: str, masks: Sequence[Sequence["Fill"]]) -> None:
    """A table a mask: the word, its probability, the filled text."""
    from rich.table import Table
    from rich.text import Text

    console = stdout()
    console.print(Text(text, style="bold"))
    for number, fills in enumerate(masks, start=1):
        table = Table("word", "probability", "text", box=None, padding=(0, 2), header_style="dim")
        for fill in fills:
            table.add_row(Text(fill.token, style="green"), f"{fill.probability:.4f}", Text(fill.text))
        if len(masks) > 1:
            console.print(f"mask {number} of {len(masks)}", style="cyan")
        console.print(table)
