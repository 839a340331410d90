"""`bertsmith import SOURCE --out my-bert`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertsmith.cli.common import ConfigFile, Json, answer, reporter
from bertsmith.errors import InputError


def import_(
    source: Annotated[
        Path, Parameter(help="Hugging Face BERT or ModernBERT folder: safetensors or pytorch_model.bin.")
    ],
    *,
    out: Annotated[Path, Parameter(help="The folder to write.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    from bertsmith.files import make_folder
    from bertsmith.model.folder import read_model_folder, write_model_folder
    from bertsmith.text.wordpiece import WordPiece

    if out.exists() and out.resolve() == source.resolve():
        raise InputError(f"--out {out} is the source itself; choose another folder")
    if (out / "model.safetensors").exists():
        raise InputError(f"--out {out} holds a model already; choose another folder")
    bert, report = read_model_folder(source, allow_pickle=True)
    tokenizer = WordPiece.load(source)
    make_folder(out)
    tokenizer.save(out)
    write_model_folder(bert, out)  # the weights last: with them the folder is whole, and refused to another import
    say = reporter().say
    say(f"{out}: {', '.join(('encoder', *bert.parts))}; {sum(p.numel() for p in bert.parameters()):,} weights")
    for label, names in (("absent", report.absent), ("task head left out", report.task_heads)):
        if names:
            say(f"{label}: {', '.join(names)}")
    if as_json:
        answer({"out": out, "parts": bert.parts, "absent": report.absent, "left_out": report.task_heads})
