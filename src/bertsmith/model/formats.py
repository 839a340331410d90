"""Weights and configs in and out of Hugging Face's names: one table, both ways, complete or an error."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bertsmith.config import HeadConfig, ModelConfig, TaskName
from bertsmith.errors import ConfigError, ModelFolderError
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
# The classes of `transformers` whose heads are ours.
_TASKS: Mapping[str, TaskName] = {
    "BertForSequenceClassification": "classify",
    "BertForTokenClassification": "tag",
    "BertForQuestionAnswering": "answer",
    "BertForMultipleChoice": "choose",
}
_OURS = "bertsmith"  # the key of config.json with what no key of `transformers` says
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
# config.json: what would make another model of it.
_ONLY: Mapping[str, Any] = {
    "model_type": "bert",
    "is_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
    "pruned_heads": {},
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


def config_from_hf(values: Mapping[str, Any]) -> ModelConfig:
    """Read the fields of a `config.json`; those that do not change the numbers are passed over.

    Raises:
        ModelFolderError: a key whose value makes another model of it, or that does not fit; each is named.
    """
    other = [
        f"{key} is {values[key]!r}, only {only!r} can be read"
        for key, only in _ONLY.items()
        if values.get(key) is not None and values[key] != only
    ]
    if other:
        raise ModelFolderError(f"no BERT that bertsmith knows: {'; '.join(other)}")
    known = {name: values[name] for name in ModelConfig.model_fields if name in values}
    try:
        return ModelConfig(**known)
    except ConfigError as error:
        raise ModelFolderError(str(error)) from None


def head_from_hf(values: Mapping[str, Any], outputs: int) -> HeadConfig | None:
    """The fine-tuned head that a `config.json` speaks of; None where it speaks of none.

    Args:
        values: what stands in it.
        outputs: of the head's weights: so many labels there are where the config names none.

    Raises:
        ModelFolderError: what it says of the head does not fit.
    """
    architecture = next(iter(values.get("architectures") or []), "")
    ours = values.get(_OURS)
    if not isinstance(ours, dict):
        ours = {}
    task = ours.get("task") or _TASKS.get(architecture)
    if task is None:
        return None
    problem = values.get("problem_type")
    labels: tuple[str, ...] = ()
    if task == "classify" and (problem == "regression" or (not ours and outputs == 1)):
        task = "regress"
    if task in ("classify", "tag"):
        labels = _labels(values, outputs)
    known = {name: ours[name] for name in HeadConfig.model_fields if name in ours}
    try:
        multi_label = problem == "multi_label_classification"
        return HeadConfig(**{**known, "task": task, "labels": labels, "multi_label": multi_label})
    except ConfigError as error:
        raise ModelFolderError(f"config.json: {error}") from None


def _labels(values: Mapping[str, Any], outputs: int) -> tuple[str, ...]:
    """The label of each output; `transformers` calls nameless ones LABEL_0, LABEL_1, …"""
    names = values.get("id2label")
    # Old versions wrote the two nameless labels of their default beside a head of any size.
    if not isinstance(names, dict) or all(label == f"LABEL_{key}" for key, label in names.items()):
        return tuple(f"LABEL_{index}" for index in range(outputs))
    by_id = {str(key): str(label) for key, label in names.items()}
    if set(by_id) != {str(index) for index in range(outputs)}:
        raise ModelFolderError(
            f"id2label of config.json must name 0 … {outputs - 1}, as many as the head has outputs, "
            f"and names {', '.join(by_id)}"
        )
    return tuple(by_id[str(index)] for index in range(outputs))


def config_to_hf(bert: Bert) -> dict[str, Any]:
    """The `config.json` of a model: its shape, and what tells `transformers` which class to build."""
    return {
        "architectures": [_architecture(bert)],
        "model_type": "bert",
        "dtype": str(bert.encoder.embeddings.word.weight.dtype).removeprefix("torch."),
        **bert.config.model_dump(),
        "position_embedding_type": "absolute",
        "tie_word_embeddings": True,
        **(_head_to_hf(bert.head) if bert.head else {}),
    }


def _head_to_hf(head: HeadConfig) -> dict[str, Any]:
    ours = head.model_dump(exclude={"labels", "multi_label"}, exclude_none=True)
    if head.task not in ("classify", "regress", "tag"):
        return {_OURS: ours}
    names = head.labels or ("score",)
    labels = {
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }
    if head.task == "tag":
        return {**labels, _OURS: ours}
    kind = "multi_label_classification" if head.multi_label else "single_label_classification"
    return {**labels, "problem_type": "regression" if head.task == "regress" else kind, _OURS: ours}


def _architecture(bert: Bert) -> str:
    """The class of `transformers` with the parts of a model and as few others as there are."""
    if bert.head and not bert.head.feature_layers:
        task = "classify" if bert.head.task == "regress" else bert.head.task
        return next(name for name, theirs in _TASKS.items() if theirs == task)
    if "masked_lm" in bert.parts:
        return "BertForPreTraining" if "next_sentence" in bert.parts else "BertForMaskedLM"
    return "BertForNextSentencePrediction" if "next_sentence" in bert.parts else "BertModel"
