"""A model folder -> an exported one: made beside, measured, and only then given its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bertsmith.errors import ConfigError
from bertsmith.export.gate import SENTENCES, TEXTS, Material, Verdict, compare, material_for, sentences_of
from bertsmith.files import disk_full_named, make_folder, sync_folder
from bertsmith.finetune_config import LabelledConfig
from bertsmith.inference.predictor import Predictor, load
from bertsmith.progress import Reporter, Silent

FolderFormat = Literal["onnx", "onnx-int8", "sentence-transformers"]
MAX_LOSS = 0.01
CALIBRATION_TEXTS = 128


@dataclass(frozen=True)
class Exported:
    """An exported folder, and what it lost."""

    out: Path
    files: tuple[str, ...]
    bytes: int
    verdict: Verdict


def export(
    model: Path,
    to: FolderFormat,
    out: Path,
    *,
    dev: Sequence[str] = (),
    calibration: Sequence[str] = (),
    reading: LabelledConfig = LabelledConfig(),
    max_loss: float = MAX_LOSS,
    reporter: Reporter = Silent(),
) -> Exported:
    """Export a model folder; if it loses too much, nothing is left.

    Args:
        model: a run folder, or any Hugging Face BERT or ModernBERT folder.
        to: what it becomes.
        out: the folder to make.
        dev: data on which the score is measured before and after: labelled examples of a fine-tuned model's task, text
            for one that fills masks, and for vectors.
        calibration: text files; with their first CALIBRATION_TEXTS sentences "onnx-int8" scales what flows through the
            graph once for all.
        reading: how labelled examples are read.
        max_loss: of the figure that counts, such as accuracy, as a share of its best; a larger one is refused.
        reporter: told of progress.

    Raises:
        BertsmithError: it loses too much; with the numbers.
        ConfigError: `out` is there already, a package is missing, or an option has no use here.
        BertsmithError: as `load`, and as examples are read.
    """
    if calibration and to != "onnx-int8":
        raise ConfigError(f"--calibration has no use with --to {to}: it is for onnx-int8")
    if not max_loss >= 0:
        raise ConfigError(f"--max-loss {max_loss:g}: a loss is 0 or more, such as 0.01")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is there already. Choose another folder.")
    before = load(model)
    if to == "sentence-transformers":  # which has vectors and nothing else
        material = Material(tuple(sentences_of(dev, TEXTS)) if dev else SENTENCES)
    else:
        material = material_for(before, dev, reading, reporter)
    with _beside(out) as beside:
        reporter.say(f"writing {to}")
        _write(before, to, beside, calibration, name=out.name)
        reporter.say("comparing it with the model")
        verdict = compare(before, load(beside), material)
        verdict.check(max_loss, exact=to != "onnx-int8")
        if to != "sentence-transformers":
            from bertsmith.export.card import write_card

            write_card(beside, before, to, verdict, name=out.name)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    return Exported(out, tuple(str(path.relative_to(out)) for path in files), size, verdict)


def _write(predictor: Predictor, to: FolderFormat, folder: Path, calibration: Sequence[str], *, name: str) -> None:
    if to == "sentence-transformers":
        from bertsmith.export.sentence_folder import write_sentence_folder

        write_sentence_folder(predictor, folder, name=name)
        return
    from bertsmith.export.onnx_folder import write_onnx_folder

    texts = sentences_of(calibration, CALIBRATION_TEXTS) if calibration else []
    write_onnx_folder(predictor, folder, int8=to == "onnx-int8", calibration=texts)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder beside `out`, which becomes `out` if all went well, and is gone if not."""
    beside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    make_folder(beside)
    try:
        with disk_full_named(out):
            yield beside
            for path in beside.rglob("*"):
                if path.is_file():
                    with path.open("rb+") as written:
                        os.fsync(written.fileno())
            sync_folder(beside)
            if out.is_dir():
                out.rmdir()  # it is empty
            beside.rename(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_folder(out.parent)
