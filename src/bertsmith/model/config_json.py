"""`config.json`: the shape and the head of a model under Hugging Face's keys, read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.config import Architecture, HeadConfig, ModelConfig, TaskName
from bertsmith.errors import ConfigError, ModelFolderError
from bertsmith.model.modern_config import MODERN_FIELDS, modern_fields, modern_values

if TYPE_CHECKING:
    from bertsmith.model.bert import Bert

CONFIG, GRAPH = "config.json", "model.onnx"
EXPORTED_FROM = "exported_from"  # the name of the folder that a graph was made of
# What the classes of `transformers` whose heads are ours are called after "Bert" and "ModernBert".
_TASKS: Mapping[str, TaskName] = {
    "ForSequenceClassification": "classify",
    "ForTokenClassification": "tag",
    "ForQuestionAnswering": "answer",
    "ForMultipleChoice": "choose",
}
_KINDS: Mapping[Architecture, str] = {"bert": "Bert", "modernbert": "ModernBert"}
_OURS = "bertsmith"  # the key of config.json with what no key of `transformers` says
# What would make another model of it.
_ONLY: Mapping[Architecture, Mapping[str, Any]] = {
    "bert": {
        "is_decoder": False,
        "add_cross_attention": False,
        "position_embedding_type": "absolute",
        "pruned_heads": {},
    },
    "modernbert": {
        "norm_bias": False,
        "attention_bias": False,
        "mlp_bias": False,
        "classifier_bias": False,
        "decoder_bias": True,
        "tie_word_embeddings": True,
    },
}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of a model folder.

    Raises:
        ModelFolderError: no folder, no such file, or something else in it.
    """
    if not path.parent.is_dir():
        raise ModelFolderError("no such folder. Give a folder with config.json and model.safetensors.")
    if not path.is_file():
        raise ModelFolderError(f"no {path.name}: this is no model folder")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFolderError(f"{path.name} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ModelFolderError(f"{path.name} holds a {type(values).__name__}, not an object of keys and values")
    return values


def only_answers(values: Mapping[str, Any]) -> str:
    """What to say where a graph is asked for its weights; `values` are of its `config.json`."""
    name = values.get(EXPORTED_FROM)
    return f"{GRAPH} only answers. Take the folder that it was exported from{f', {name}' if name else ''}."


def config_from_hf(values: Mapping[str, Any]) -> ModelConfig:
    """Read the fields of a `config.json`; those that do not change the numbers are passed over.

    Raises:
        ModelFolderError: a key whose value makes another model of it, or that does not fit; each is named.
    """
    architecture: Any = values.get("model_type") or "bert"
    if architecture not in _ONLY:
        raise ModelFolderError(
            f"no BERT that bertsmith knows: model_type is {architecture!r}, only 'bert' and 'modernbert' can be read"
        )
    other = [
        f"{key} is {values[key]!r}, only {only!r} can be read"
        for key, only in _ONLY[architecture].items()
        if values.get(key) is not None and values[key] != only
    ]
    if other:
        raise ModelFolderError(f"no BERT that bertsmith knows: {'; '.join(other)}")
    try:
        return ModelConfig(**(modern_fields(values) if architecture == "modernbert" else _bert_fields(values)))
    except ConfigError as error:
        raise ModelFolderError(str(error)) from None


def _bert_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ModelConfig.model_fields if name in values and name not in MODERN_FIELDS}


def head_from_hf(values: Mapping[str, Any], outputs: int) -> HeadConfig | None:
    """The fine-tuned head that a `config.json` speaks of; None where it speaks of none.

    Args:
        values: what stands in it.
        outputs: of the head's weights: so many labels there are where the config names none.

    Raises:
        ModelFolderError: what it says of the head does not fit.
    """
    theirs = next(iter(values.get("architectures") or []), "").removeprefix("Modern").removeprefix("Bert")
    ours = values.get(_OURS)
    if not isinstance(ours, dict):
        ours = {}
    task = ours.get("task") or _TASKS.get(theirs)
    if task is None:
        return None
    pooling = values.get("classifier_pooling", "cls")
    if task in ("classify", "regress", "choose") and pooling != "cls":
        raise ModelFolderError(f"classifier_pooling is {pooling!r}: only a head that reads [CLS] ('cls') can be read")
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
    config = bert.config
    if config.architecture == "modernbert":
        shape = {**modern_values(config), **_ONLY["modernbert"]}
    else:
        shape = {**config.model_dump(exclude=MODERN_FIELDS), "position_embedding_type": "absolute"}
    return {
        "architectures": [_architecture(bert)],
        "model_type": config.architecture,
        "dtype": str(bert.encoder.embeddings.word.weight.dtype).removeprefix("torch."),
        **shape,
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
        name = next(name for name, theirs in _TASKS.items() if theirs == task)
    elif "masked_lm" in bert.parts:
        name = "ForPreTraining" if "next_sentence" in bert.parts else "ForMaskedLM"
    else:
        name = "ForNextSentencePrediction" if "next_sentence" in bert.parts else "Model"
    return _KINDS[bert.config.architecture] + name
