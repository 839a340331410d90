"""`bertsmith tokenizer train CORPUS… --out tok/` and `bertsmith tokenizer report TOKENIZER CORPUS…`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertsmith.cli.common import (
    ConfigFile,
    Corpus,
    CorpusOptions,
    Json,
    TokenizerOptions,
    answer,
    reporter,
    stdout,
)
from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.errors import InputError

if TYPE_CHECKING:
    from bertsmith.text.report import TokenizerReport


def train(
    corpus: Corpus,
    *,
    out: Annotated[Path, Parameter(help="The folder for tokenizer.json and its companions.")],
    vocabulary: TokenizerOptions = TokenizerConfig(),
    reading: CorpusOptions = CorpusConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.files import folder_for
    from bertsmith.text.train import train_tokenizer

    if (out / "tokenizer.json").exists():
        raise InputError(f"--out {out} holds a tokenizer already; choose another folder")
    say = reporter()
    with folder_for(out):
        tokenizer = train_tokenizer(corpus, config=vocabulary, corpus_config=reading, reporter=say)
        tokenizer.save(out)
    say.say(f"{out}: transformers.AutoTokenizer opens it as it is")
    if as_json:
        answer({"out": out, "vocab_size": tokenizer.vocab_size})


def report(
    tokenizer: Annotated[Path, Parameter(help="Folder of a tokenizer or of a model.")],
    corpus: Corpus,
    *,
    reading: CorpusOptions = CorpusConfig(),
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.text.report import tokenizer_report
    from bertsmith.text.train import reading as texts_of
    from bertsmith.text.wordpiece import WordPiece

    pieces = WordPiece.load(tokenizer)
    with texts_of(corpus, "reading", config=reading, reporter=reporter()) as texts:
        found = tokenizer_report(pieces, texts)
    if as_json:
        answer({"tokenizer": tokenizer, "metrics": found.to_dict()})
    else:
        _print_report(found)


def _print_report(found: "TokenizerReport") -> None:
    from rich.table import Table
    from rich.text import Text

    console = stdout()
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("WordPieces in the vocabulary", f"{found.vocab_size:,}")
    table.add_row("words read", f"{found.words:,}, {found.distinct_words:,} different")
    table.add_row("tokens a word", f"{found.tokens_per_word:.3f}")
    table.add_row("words kept whole", f"{found.whole_word_share:.2%}")
    table.add_row("words unknown, [UNK]", f"{found.unk_word_share:.4%}")
    console.print(table, markup=False)
    if found.worst_cut_words:
        cut = Table("word", "times", "cut into", box=None, padding=(0, 2), header_style="dim")
        for word in found.worst_cut_words:
            cut.add_row(Text(word.word), f"{word.count:,}", Text(" ".join(word.pieces)))
        console.print("\nwords whose cutting costs most tokens", style="bold")
        console.print(cut)
    if found.uncovered_characters:
        shown = "  ".join(f"{c.character} {c.code_point} ({c.count:,})" for c in found.uncovered_characters[:20])
        console.print("\ncharacters that no WordPiece has", style="bold")
        console.print(shown, markup=False, soft_wrap=True)
