"""What a model may be compared with: a model folder, a checkpoint of a run, every checkpoint, the start of a run."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from bertsmith.config import PretrainConfig
from bertsmith.errors import ConfigError, ModelFolderError
from bertsmith.explain.predictor import Predictor
from bertsmith.model.bert import Bert
from bertsmith.model.config_json import CONFIG
from bertsmith.model.folder import read_model_folder
from bertsmith.tasks.pretraining import Pretraining
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.checkpoints import list_checkpoints, path_of
from bertsmith.training.new_model import new_model
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.start import Start

_STEP = re.compile(r"step-(\d+)")


def open_others(place: str | os.PathLike[str]) -> list[Predictor]:
    """The models at a place.

    Args:
        place: any model folder; `RUN/training/checkpoints/step-…`; `step-0` there, which is not kept but drawn again
            from the run's seed; or `RUN/training/checkpoints`, for the start and all that are kept.

    Raises:
        ModelFolderError: nothing of that kind is there.
    """
    path = Path(place)
    if path.name == "checkpoints" and not (path / CONFIG).exists():
        return [open_step(each) for each in steps_of(path)]
    if _STEP.fullmatch(path.name) and path.parent.name == "checkpoints":
        return [open_step(path)]
    return [Predictor.open(path)]


def steps_of(checkpoints: Path) -> list[Path]:
    """The steps of a run that can be opened: its start, where that can be drawn again, and those that are kept."""
    start = [path_of(checkpoints, 0)] if _settings(_run_of(checkpoints)) else []
    return [*start, *list_checkpoints(checkpoints)]


def open_step(path: Path) -> Predictor:
    """One step of a run: `checkpoints/step-…`; of the start nothing needs to be there.

    Raises:
        ModelFolderError: no such checkpoint, or no start that can be drawn again.
    """
    run = _run_of(path.parent)
    found = _STEP.fullmatch(path.name)
    if found and int(found[1]) == 0 and not path.exists():
        return Predictor(_start_of(run), WordPiece.load(run.out), name=f"{run.name}, step 0")
    if not path.is_dir():
        kept = ", ".join(each.name for each in list_checkpoints(path.parent)) or "none"
        raise ModelFolderError(f"{path}: no such checkpoint; kept are {kept}, and step-0 is drawn again")
    bert, _ = read_model_folder(run.out, weights_in=path)
    return Predictor(bert, WordPiece.load(run.out), name=f"{run.name}, step {int(path.name.removeprefix('step-')):,}")


def _run_of(checkpoints: Path) -> RunFolder:
    return RunFolder(checkpoints.parent.parent)


def _settings(run: RunFolder) -> PretrainConfig | None:
    """What a pretraining run was begun with; None of other runs, and of those that earlier builds began otherwise."""
    if not run.settings.exists():
        return None
    values = tomllib.loads(run.settings.read_text(encoding="utf-8"))
    if "objective" not in values:
        return None
    try:
        return PretrainConfig(**{name: values[name] for name in PretrainConfig.model_fields if name in values})
    except ConfigError:
        return None


def _start_of(run: RunFolder) -> Bert:
    config = _settings(run)
    if config is None:
        raise ModelFolderError(
            f"{run.out}: no pretraining run of this version, so its start cannot be drawn again. Compare with a "
            "checkpoint, or with the model that it was fine-tuned from."
        )
    tokenizer = WordPiece.load(run.out)
    task = Pretraining(config.objective)
    bert = new_model(config, task, vocab_size=tokenizer.vocab_size, pad_token_id=tokenizer.pad_id)
    if config.initial_weights == "counted":
        Start.read(run.start).give(bert)
    return bert
