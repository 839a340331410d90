"""The models of a server, by name. What clients say is looked up here and never becomes a path."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import TypeAlias

from bertsmith.config import PredictionPrecision
from bertsmith.errors import ConfigError
from bertsmith.explain.predictor import Predictor, load
from bertsmith.server.refusals import BadRequestError, NotFoundError
from bertsmith.server.runs import is_waiting

Models: TypeAlias = MutableMapping[str, Predictor]


def load_models(words: Sequence[str], *, precision: PredictionPrecision = "float32") -> dict[str, Predictor]:
    """Open model folders; of a run that has not written a model yet there is none to open.

    Args:
        words: folders, each known by its own name; or NAME=FOLDER.
        precision: of the products.

    Raises:
        ConfigError: none, or two of the same name.
        ModelFolderError, TokenizerError: as `load`.
    """
    folders = named_folders(words)
    models = {name: load(folder, precision=precision) for name, folder in folders.items() if not is_waiting(folder)}
    for name, predictor in models.items():
        predictor.name = name  # what clients are told of it; where it lies is not their business
    return models


def named_folders(words: Sequence[str]) -> dict[str, Path]:
    """Folders by the name that each is to have, as `load_models` reads them.

    Raises:
        ConfigError: none, or two of the same name.
    """
    folders: dict[str, Path] = {}
    for word in words:
        name, folder = _named(word)
        if name in folders:
            raise ConfigError(f'two models have the name "{name}": {folders[name]} and {folder}. Give NAME=FOLDER.')
        folders[name] = folder
    if not folders:
        raise ConfigError("give at least one model folder to serve")
    return folders


def _named(word: str) -> tuple[str, Path]:
    name, equals, folder = word.partition("=")
    if equals and name and not Path(word).exists():
        return name, Path(folder)
    return Path(word).resolve().name, Path(word)


def find_model(models: Models, name: str | None, able: Callable[[Predictor], bool], what: str) -> tuple[str, Predictor]:
    """The model that a request names; if it names none, the first that can do it.

    Raises:
        NotFoundError: no such model.
        BadRequestError: it cannot do that, or none can.
    """
    can = [each for each, predictor in models.items() if able(predictor)]
    if name is None:
        if not can:
            raise BadRequestError(f"no model here can {what}; /v1/models lists what each can", field="model")
        return can[0], models[can[0]]
    if name not in models:
        raise NotFoundError(f"no model of that name; there are {', '.join(models) or 'none yet'}", field="model")
    if name not in can:
        others = f"; {', '.join(can)} can" if can else ""
        raise BadRequestError(f"{name} cannot {what}{others}", field="model")
    return name, models[name]
