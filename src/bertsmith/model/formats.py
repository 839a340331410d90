"""Weights in and out of Hugging Face's names: one table, both ways, complete or an error."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bertsmith.errors import ModelFolderError
from bertsmith.model.bert import Bert, Part

# Our module -> Hugging Face's; "#" is the layer. Where they have several, ours is theirs under one another.
_TABLE: Mapping[str, tuple[str, ...]] = {
    "encoder.embeddings.word": ("bert.embeddings.word_embeddings",),
    "encoder.embeddings.token_type": ("bert.embeddings.token_type_embeddings",),
    "encoder.embeddings.position": ("bert.embeddings.position_embeddings",),
    "encoder.embeddings.norm": ("bert.embeddings.LayerNorm",),
    "encoder.layers.#.attention.qkv": (
        "bert.encoder.layer.#.attention.self.query",
        "bert.encoder.layer.#.attention.self.key",
        "bert.encoder.layer.#.attention.self.value",
    ),
    "encoder.layers.#.attention.output": ("bert.encoder.layer.#.attention.output.dense",),
    "encoder.layers.#.attention_norm": ("bert.encoder.layer.#.attention.output.LayerNorm",),
    "encoder.layers.#.widen": ("bert.encoder.layer.#.intermediate.dense",),
    "encoder.layers.#.narrow": ("bert.encoder.layer.#.output.dense",),
    "encoder.layers.#.feed_forward_norm": ("bert.encoder.layer.#.output.LayerNorm",),
    "pooler.dense": ("bert.pooler.dense",),
    "masked_lm": ("cls.predictions",),
    "masked_lm.dense": ("cls.predictions.transform.dense",),
    "masked_lm.norm": ("cls.predictions.transform.LayerNorm",),
    "next_sentence.dense": ("cls.seq_relationship",),
    "classifier.dense": ("classifier",),
    "qa_outputs.dense": ("qa_outputs",),
}
_PART_PREFIXES: Mapping[str, Part] = {
    "bert.pooler.": "pooler",
    "cls.predictions.": "masked_lm",
    "cls.seq_relationship.": "next_sentence",
    "classifier.": "classifier",
    "qa_outputs.": "qa_outputs",
}
_BUFFERS = (
    "bert.embeddings.position_ids",
    "bert.embeddings.token_type_ids",
)  # no weights, kept by old versions
_WORDS = "bert.embeddings.word_embeddings.weight"
# The head's output layer under both names that Hugging Face gives it: the copy, and what it is tied to.
_TIED = {
    "cls.predictions.decoder.weight": _WORDS,
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


def hf_names(parameter: str) -> tuple[str, ...]:
    """Hugging Face's names of one of our parameters; several where ours is theirs under one another."""
    module, _, kind = parameter.rpartition(".")
    layer = re.search(r"\d+", module)
    theirs = _TABLE[re.sub(r"\d+", "#", module)]
    return tuple(f"{name.replace('#', layer[0] if layer else '')}.{kind}" for name in theirs)


def to_hf_tensors(bert: Bert) -> dict[str, Tensor]:
    """All weights under Hugging Face's names: detached views of the live weights, not copies.

    The tied decoder is not repeated, as in what `transformers` 5 writes.
    """
    tensors: dict[str, Tensor] = {}
    for name, weight in bert.named_parameters():
        names = hf_names(name)
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


def modern_names(tensors: Mapping[str, Tensor]) -> ForeignWeights:
    """Bring the names of old and of head-less folders to today's, and untie the decoder.

    Raises:
        ModelFolderError: two tensors for the same place, or a decoder that is not the word embeddings.
    """
    modern: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = re.sub(r"^(?=(embeddings|encoder|pooler)\.)", "bert.", name)
        new = new.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if new in modern:
            raise ModelFolderError(f"two tensors for {new}, one of them {name}: remove one")
        modern[new] = tensor
    _untie(modern)
    ignored = tuple(name for name in modern if name in _BUFFERS)
    return ForeignWeights({name: modern[name] for name in modern if name not in ignored}, ignored)


def _untie(tensors: dict[str, Tensor]) -> None:
    """Drop the decoder, a copy of what it is tied to; where the original is missing, it is the original."""
    for copy, original in _TIED.items():
        repeated = tensors.pop(copy, None)
        if repeated is not None and not torch.equal(tensors.setdefault(original, repeated), repeated):
            raise ModelFolderError(
                f"{copy} differs from {original}; a decoder can be read only if it is tied to the embeddings"
            )


def parts_of(names: Iterable[str]) -> tuple[Part, ...]:
    """The parts that tensors of these (today's) names belong to, each once."""
    found = {part: None for name in names for prefix, part in _PART_PREFIXES.items() if name.startswith(prefix)}
    return tuple(found)
