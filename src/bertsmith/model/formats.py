"""Weights in and out of Hugging Face's names: the same table both ways, complete or an error."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bertsmith.config import Architecture
from bertsmith.errors import ModelFolderError
from bertsmith.model.bert import Bert, Part
from bertsmith.model.names import NAMES


def hf_names(parameter: str, architecture: Architecture = "bert") -> tuple[str, ...]:
    """Hugging Face's names of one of our parameters; several where ours is theirs under one another."""
    module, _, kind = parameter.rpartition(".")
    layer = re.search(r"\d+", module)
    theirs = NAMES[architecture].modules[re.sub(r"\d+", "#", module)]
    return tuple(f"{name.replace('#', layer[0] if layer else '')}.{kind}" for name in theirs)


def to_hf_tensors(bert: Bert) -> dict[str, Tensor]:
    """All weights under Hugging Face's names: detached views of the live weights, not copies.

    The tied decoder is not repeated, as in what `transformers` 5 writes.
    """
    tensors: dict[str, Tensor] = {}
    for name, weight in bert.named_parameters():
        names = hf_names(name, bert.config.architecture)
        tensors.update(zip(names, weight.detach().chunk(len(names)), strict=True))
    return tensors


@torch.no_grad()
def load_hf_tensors(bert: Bert, tensors: Mapping[str, Tensor]) -> None:
    """Copy weights under Hugging Face's names into a model, in place: `to_hf_tensors` inverted, bit for bit.

    Raises:
        ModelFolderError: tensors missing, left over, of another shape or not of floating point; each is
            named, and nothing was copied.
    """
    expected = to_hf_tensors(bert)
    faults = [f"missing: {name} {_shape(expected[name])}" for name in expected if name not in tensors]
    faults += [f"left over: {name} {_shape(tensors[name])}" for name in tensors if name not in expected]
    for name in expected.keys() & tensors.keys():
        found = tensors[name]
        if found.shape != expected[name].shape:
            faults.append(f"shape: {name} is {_shape(found)}, the config says {_shape(expected[name])}")
        elif not found.is_floating_point():
            faults.append(f"type: {name} is {found.dtype}, no floating point")
    if faults:
        raise ModelFolderError("the weights do not fit the config:\n  " + "\n  ".join(sorted(faults)))
    if next(bert.parameters()).is_meta:
        bert.to_empty(device="cpu")
    for name, weight in to_hf_tensors(bert).items():
        weight.copy_(tensors[name])


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


@dataclass(frozen=True)
class ForeignWeights:
    """Weights as a folder holds them, under the names that `to_hf_tensors` uses today.

    `ignored` are names of buffers without weights.
    """

    tensors: dict[str, Tensor]
    ignored: tuple[str, ...]


def modern_names(tensors: Mapping[str, Tensor], architecture: Architecture = "bert") -> ForeignWeights:
    """Bring the names of old and of head-less folders to today's, and untie the decoder.

    Raises:
        ModelFolderError: two tensors for the same place, or a decoder that is not the word embeddings.
    """
    names = NAMES[architecture]
    modern: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = names.base + name if name.split(".")[0] in names.inside else name
        new = new.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if new in modern:
            raise ModelFolderError(f"two tensors for {new}, one of them {name}: remove one")
        modern[new] = tensor
    _untie(modern, names.tied)
    ignored = tuple(name for name in modern if name in names.buffers)
    return ForeignWeights({name: modern[name] for name in modern if name not in ignored}, ignored)


def _untie(tensors: dict[str, Tensor], tied: Mapping[str, str]) -> None:
    """Drop the decoder, a copy of what it is tied to; where the original is missing, it is the original."""
    for copy, original in tied.items():
        repeated = tensors.pop(copy, None)
        if repeated is not None and not torch.equal(tensors.setdefault(original, repeated), repeated):
            raise ModelFolderError(
                f"{copy} differs from {original}; a decoder can be read only if it is tied to the embeddings"
            )


def part_of_each(tensors: Iterable[str], architecture: Architecture) -> dict[str, Part]:
    """The part that each tensor belongs to, by its (today's) name; those of no part are left out."""
    prefixes = NAMES[architecture].parts.items()
    parts = {name: part for name in tensors for prefix, part in prefixes if name.startswith(prefix)}
    if "masked_lm" in parts.values():  # ModernBERT calls the layer before any output "head": here it is that one's
        parts |= {name: "masked_lm" for name in parts if name.startswith("head.")}
    return parts
