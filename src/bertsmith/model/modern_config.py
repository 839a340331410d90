"""ModernBERT's keys of `config.json`, those of today's `transformers` and those of its first versions."""

from collections.abc import Mapping
from typing import Any

from bertsmith.config import ModelConfig
from bertsmith.errors import ModelFolderError

MODERN_FIELDS = {
    "architecture",
    "global_attn_every_n_layers",
    "local_attention",
    "global_rope_theta",
    "local_rope_theta",
}
# Our field -> their key, and its value where a folder does not say.
_KEYS: Mapping[str, tuple[str, Any]] = {
    "vocab_size": ("vocab_size", 50368),
    "hidden_size": ("hidden_size", 768),
    "num_hidden_layers": ("num_hidden_layers", 22),
    "num_attention_heads": ("num_attention_heads", 12),
    "intermediate_size": ("intermediate_size", 1152),
    "hidden_act": ("hidden_activation", "gelu"),
    "hidden_dropout_prob": ("mlp_dropout", 0.0),
    "attention_probs_dropout_prob": ("attention_dropout", 0.0),
    "max_position_embeddings": ("max_position_embeddings", 8192),
    "initializer_range": ("initializer_range", 0.02),
    "layer_norm_eps": ("norm_eps", 1e-5),
    "pad_token_id": ("pad_token_id", 50283),
    "global_attn_every_n_layers": ("global_attn_every_n_layers", 3),
    "local_attention": ("local_attention", 128),
    "global_rope_theta": ("global_rope_theta", 160_000.0),
    "local_rope_theta": ("local_rope_theta", 10_000.0),
}
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_ROPES = {_GLOBAL: "global_rope_theta", _LOCAL: "local_rope_theta"}
_PLAIN = {"rope_type": "default"}


def modern_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `ModelConfig` from ModernBERT's `config.json`.

    Raises:
        ModelFolderError: layers, rotary positions or activations that our encoder does not have.
    """
    fields = {field: values.get(key, usual) for field, (key, usual) in _KEYS.items()}
    activation = values.get("classifier_activation", "gelu")
    if activation != fields["hidden_act"]:
        raise ModelFolderError(
            f"classifier_activation is {activation!r} and hidden_activation {fields['hidden_act']!r}: "
            "only a model with one activation can be read"
        )
    if values.get("layer_types") is not None:
        fields["global_attn_every_n_layers"] = _global_every(values["layer_types"], fields)
    return {**fields, **_thetas(values), "architecture": "modernbert"}


def _global_every(layer_types: Any, fields: Mapping[str, Any]) -> Any:
    """n, where each n-th layer is a global one, from the first; the folder's own n if it says the same."""
    kinds = layer_types if isinstance(layer_types, list) else []
    globals_above = [index for index, kind in enumerate(kinds) if index and kind == _GLOBAL]
    every = globals_above[0] if globals_above else max(1, len(kinds))
    if len(kinds) != fields["num_hidden_layers"] or kinds != _layer_types(len(kinds), every):
        raise ModelFolderError(
            f"layer_types is {layer_types!r}: it can be read only if it has an entry a layer (num_hidden_layers) and "
            f"each n-th, from the first, is {_GLOBAL!r}, the others {_LOCAL!r}"
        )
    said = fields["global_attn_every_n_layers"]
    alike = isinstance(said, int) and said > 0 and _layer_types(len(kinds), said) == kinds
    return said if alike else every


def _layer_types(layers: int, every: int) -> list[str]:
    return [_LOCAL if index % every else _GLOBAL for index in range(layers)]


def _thetas(values: Mapping[str, Any]) -> dict[str, Any]:
    """The bases of the rotary wavelengths, where the folder has them under today's key."""
    ropes = values.get("rope_parameters") or {}
    plain = isinstance(ropes, dict) and all(
        kind in _ROPES and isinstance(rope, dict) and {**rope, "rope_theta": 0} == {**_PLAIN, "rope_theta": 0}
        for kind, rope in ropes.items()
    )
    if not plain or values.get("rope_scaling") is not None:
        found = {key: values[key] for key in ("rope_parameters", "rope_scaling") if values.get(key)}
        raise ModelFolderError(f"of rotary positions only rope_type 'default' can be read, not {found!r}")
    return {_ROPES[kind]: rope["rope_theta"] for kind, rope in ropes.items() if "rope_theta" in rope}


def modern_values(config: ModelConfig) -> dict[str, Any]:
    """ModernBERT's keys of `config.json`, for `transformers` from its first version with ModernBERT (4.48) on."""
    fields = config.model_dump()
    ropes = {kind: {**_PLAIN, "rope_theta": fields[field]} for kind, field in _ROPES.items()}
    # Their defaults are ids of the published tokenizer; ours stand in the tokenizer's own files.
    no_ids = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"))
    return {
        **{key: fields[field] for field, (key, _) in _KEYS.items()},
        **no_ids,
        "layer_types": _layer_types(config.num_hidden_layers, config.global_attn_every_n_layers),
        "rope_parameters": ropes,
        "embedding_dropout": config.hidden_dropout_prob,
        "classifier_dropout": config.hidden_dropout_prob,
        "classifier_activation": config.hidden_act,
        "classifier_pooling": "cls",
    }
