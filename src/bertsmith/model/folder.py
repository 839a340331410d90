"""Model folders: `config.json` and weights, as Hugging Face lays them out, read and written."""

import pickle
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertsmith.config import HeadConfig, ModelConfig
from bertsmith.errors import ModelFolderError
from bertsmith.files import atomic_path, write_json
from bertsmith.model.bert import TASK_PARTS, Bert, Part, parts_of_head, pretraining_parts
from bertsmith.model.config_json import (
    CONFIG,
    GRAPH,
    config_from_hf,
    config_to_hf,
    head_from_hf,
    only_answers,
    read_json,
)
from bertsmith.model.formats import load_hf_tensors, modern_names, part_of_each, to_hf_tensors
from bertsmith.model.heads import ModernPooler
from bertsmith.model.initial_weights import initialise

WEIGHTS, SHARDS, PICKLE = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
)


@dataclass(frozen=True)
class FolderReport:
    """What a folder did not have, and what it has that was left there.

    Args:
        absent: parts of a pretrained BERT that are not in the folder.
        left: names of tensors of known parts that were not asked for.
        task_heads: names of tensors of a fine-tuned head that was left: not asked for, or nothing says what it answers.
        ignored: names of buffers that carry no weights.
    """

    absent: tuple[Part, ...]
    left: tuple[str, ...]
    task_heads: tuple[str, ...]
    ignored: tuple[str, ...]


def read_model_folder(
    folder: Path, *, parts: Collection[Part] | None = None, allow_pickle: bool = False, weights_in: Path | None = None
) -> tuple[Bert, FolderReport]:
    """The BERT in a Hugging Face model folder, in evaluation mode and float32 on the CPU.

    Args:
        folder: holds `config.json` and `model.safetensors`, or its shards, or a legacy `pytorch_model.bin`.
        parts: the parts to load, all of which must be there; those that are there if not given.
        allow_pickle: read a legacy `pytorch_model.bin`, with `weights_only=True`.
        weights_in: the folder of the weights, where they are others than its own, such as a checkpoint of its run.

    Returns:
        The model (its `config` with it) and what was absent or left.

    Raises:
        ModelFolderError: something is missing, damaged or of another kind; every tensor missing or left over
            is named.
    """
    folder = Path(folder)
    try:
        values = read_json(folder / CONFIG)
        config = config_from_hf(values)
        weights = modern_names(read_tensors(weights_in or folder, allow_pickle=allow_pickle), config.architecture)
        part_of = part_of_each(weights.tensors, config.architecture)
        there = set(part_of.values())
        wanted = there if parts is None else set(parts)
        head = _head_of(values, weights.tensors)
        if head is None or not (there & wanted).issuperset(parts_of_head(head, config.architecture)):
            wanted = wanted - TASK_PARTS[config.architecture]  # not asked for, or nothing says what it answers
            head = None
        if "next_sentence" in wanted:
            wanted = {*wanted, "pooler"}  # which it reads
        left = tuple(name for name, part in part_of.items() if part not in wanted)
        bert = Bert(config, wanted, head=head, generator=None)
        load_hf_tensors(bert, {name: weights.tensors[name] for name in weights.tensors if name not in left})
    except ModelFolderError as error:
        raise ModelFolderError(f"{weights_in or folder}: {error}") from None
    absent = tuple(part for part in pretraining_parts(config.architecture) if part not in there)
    task_heads = tuple(name for name in left if name.startswith(("classifier.", "qa_outputs.")))
    others = tuple(name for name in left if name not in task_heads)
    return bert.eval(), FolderReport(absent, others, task_heads, weights.ignored)


def _head_of(values: dict[str, Any], tensors: Mapping[str, Tensor]) -> HeadConfig | None:
    """The fine-tuned head that a folder speaks of; None where it has none."""
    weight = tensors.get("classifier.weight", tensors.get("qa_outputs.weight"))
    return None if weight is None else head_from_hf(values, len(weight))


def read_for_task(folder: Path, head: HeadConfig, *, generator: torch.Generator) -> tuple[Bert, list[Part]]:
    """A model folder's encoder under the head of a task.

    Args:
        folder: any model folder; a head of the same task and labels in it is kept.
        head: what is to be answered.
        generator: draws the weights that the folder does not have.

    Returns:
        The model, and the parts that were drawn anew.

    Raises:
        ModelFolderError: as `read_model_folder`.
    """
    source, _ = read_model_folder(folder)
    bert = Bert(source.config, (), head=head, generator=None)
    bert.encoder = source.encoder
    drawn: list[Part] = []
    for part in parts_of_head(head, source.config.architecture):
        theirs = _part_of(source, part)
        if theirs is not None and (part == "pooler" or _answers_alike(source.head, head)):
            setattr(bert, part, theirs)
        else:
            initialise(getattr(bert, part).to_empty(device="cpu"), source.config, generator, name=part)
            drawn.append(part)
    return bert, drawn


def _part_of(source: Bert, part: Part) -> nn.Module | None:
    """A part of a model; the masked LM head of ModernBERT has within it what is the pooler of a task."""
    whole: nn.Module | None = getattr(source, part)
    head = source.masked_lm
    if part != "pooler" or source.config.architecture == "bert" or head is None:
        return whole
    with torch.device("meta"):  # whose layers are not drawn, for they are replaced
        pooler = ModernPooler(source.config)
    pooler.dense, pooler.norm = head.dense, head.norm
    return pooler


def _answers_alike(one: HeadConfig | None, other: HeadConfig) -> bool:
    """Whether the outputs of two heads mean the same; those of regression are on a scale of their data's own."""
    names = ("task", "labels", "multi_label", "feature_layers")
    alike = one is not None and all(getattr(one, name) == getattr(other, name) for name in names)
    return alike and other.task != "regress"


def read_model_config(folder: Path) -> ModelConfig:
    """The shape of a folder's model, without its weights.

    Raises:
        ModelFolderError: no folder, no `config.json`, or no BERT.
    """
    try:
        return config_from_hf(read_json(Path(folder) / CONFIG))
    except ModelFolderError as error:
        raise ModelFolderError(f"{folder}: {error}") from None


def write_model_folder(bert: Bert, folder: Path) -> None:
    """Write `model.safetensors` and `config.json`, each whole or not at all; `transformers` opens the folder.

    Raises:
        DiskFullError: no room left.
    """
    folder = Path(folder)
    tensors = {name: tensor.cpu() for name, tensor in to_hf_tensors(bert).items()}
    write_model_config(bert, folder)
    with atomic_path(folder / WEIGHTS) as beside:
        save_file(tensors, beside, metadata={"format": "pt"})


def write_model_config(bert: Bert, folder: Path) -> None:
    """Write `config.json` alone."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, config_to_hf(bert))


def read_tensors(folder: Path, *, allow_pickle: bool = False) -> dict[str, Tensor]:
    """All tensors of a model folder, under the names they have there.

    Raises:
        ModelFolderError: no weights, damaged ones, or a pickle without `allow_pickle`.
    """
    if (folder / WEIGHTS).is_file():
        return _read_safetensors(folder / WEIGHTS)
    if (folder / SHARDS).is_file():
        return _read_shards(folder)
    if not (folder / PICKLE).is_file():
        if (folder / GRAPH).is_file():
            raise ModelFolderError(only_answers(read_json(folder / CONFIG)))
        raise ModelFolderError(f"no weights: neither {WEIGHTS} nor {SHARDS} nor {PICKLE} is there")
    if not allow_pickle:
        raise ModelFolderError(
            f"the weights are a pickle ({PICKLE}), which is read on an explicit import only. "
            f"Run `bertsmith import {folder} --out my-bert` once and use my-bert."
        )
    return _read_pickle(folder / PICKLE)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(f"{path.name} is damaged or cut short ({error}). Fetch or copy it again.") from None


def _read_shards(folder: Path) -> dict[str, Tensor]:
    """The files that an index names, joined; each tensor must be where the index says."""
    places = read_json(folder / SHARDS).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ModelFolderError(f'{SHARDS} has no "weight_map" of tensor names to file names')
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        if Path(file).name != file or not (folder / file).is_file():
            raise ModelFolderError(f"{SHARDS} names {file}, which is not in the folder")
        tensors.update(_read_safetensors(folder / file))
    lost = sorted(places.keys() - tensors.keys())
    if lost:
        raise ModelFolderError(f"{SHARDS} names tensors that its files do not hold: {', '.join(lost)}")
    return tensors


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:  # only the zip layout (torch >= 1.6) can be mapped into memory
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelFolderError(f"{path.name} is damaged, or holds more than weights ({reason})") from None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ModelFolderError(f"{path.name} is no table of tensor names to tensors")
    return dict(tensors)
