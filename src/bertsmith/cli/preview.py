"""`bertsmith preview CORPUS --tokenizer my-bert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators
from rich.text import Text

from bertsmith.cli.common import (
    ConfigFile,
    Corpus,
    CorpusOptions,
    Json,
    PretrainOptions,
    answer,
    print_table,
    reporter,
    stdout,
)
from bertsmith.config import CorpusConfig, PretrainConfig

if TYPE_CHECKING:
    from bertsmith.data.preview import PreviewSequence, PreviewToken, RowsPreview

_NAMES = {
    "tokens_per_sentence": "tokens a sentence",
    "sequences_per_row": "sequences a row",
    "fill_share": "places that hold no padding",
    "unknown_share": "tokens unknown, [UNK]",
    "masked_share": "tokens to be guessed",
    "mask_token_share": "of these [MASK]",
    "random_share": "of these a random token",
    "kept_share": "of these as they were",
    "is_next_share": "pairs in which B follows A",
}
_SHORT_ROWS = (
    "Shown are rows of --max-length-tokens {}; {:.0%} of the budget before long rows goes to shorter ones, in which "
    "more is hidden. Give their length as --max-length-tokens, and --mask-share, to see such."
)
_LONG_ROWS = "The last {:.0%} of the budget goes to rows of {} tokens. Give that as --max-length-tokens to see such."


def preview(
    corpus: Corpus,
    *,
    tokenizer: Annotated[Path, Parameter(help="Folder of a tokenizer or of a model.")],
    rows: Annotated[int, Parameter(validator=validators.Number(gt=0), help="Rows to show.")] = 3,
    documents: Annotated[int, Parameter(validator=validators.Number(gt=0), help="Documents of the sample.")] = 500,
    reading: CorpusOptions = CorpusConfig(),
    training: PretrainOptions = PretrainConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.data.preview import preview_rows
    from bertsmith.text.wordpiece import WordPiece

    pieces = WordPiece.load(tokenizer)
    found = preview_rows(corpus, pieces, reading=reading, training=training, documents=documents, rows=rows)
    if training.early_share:
        reporter().say(_SHORT_ROWS.format(training.max_length_tokens, training.early_share))
    if training.long_share:
        reporter().say(_LONG_ROWS.format(training.long_share, training.long_length_tokens))
    if as_json:
        answer(found.values())
        return
    for number, row in enumerate(found.rows, start=1):
        _print_row(number, row, training.max_length_tokens)
    _print_figures(found)


def _print_row(number: int, row: "tuple[PreviewSequence, ...]", length: int) -> None:
    tokens = sum(len(sequence.tokens) for sequence in row)
    stdout().print(f"\nrow {number}: {tokens} of {length} tokens, {len(row)} sequence(s)", style="bold")
    for sequence in row:
        label = {None: "", True: "B follows A", False: "B is from elsewhere"}[sequence.is_next]
        if label:
            stdout().print(f"  {label}", style="dim")
        stdout().print(Text("  ").append(Text(" ").join(map(_drawn, sequence.tokens))), soft_wrap=True)


def _drawn(token: "PreviewToken") -> Text:
    """A piece; what is to be guessed as shown→hidden, or =kept."""
    if token.hidden is None:
        return Text(token.shown, style="dim" if token.shown in ("[CLS]", "[SEP]") else "")
    if token.shown == token.hidden:
        return Text(f"={token.shown}", style="yellow")
    return Text(f"{token.shown}→{token.hidden}", style="green" if token.shown == "[MASK]" else "red")


def _print_figures(found: "RowsPreview") -> None:
    rows = [
        (name, f"{value:.1%}" if key.endswith("share") else f"{value:.1f}")
        for key, name in _NAMES.items()
        if (value := found.figures[key]) is not None
    ]
    stdout().print()
    print_table(f"All rows of {found.documents:,} documents", ("", "figure"), rows)
