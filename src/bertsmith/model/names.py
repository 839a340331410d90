"""Hugging Face's names of our tensors: a table for each architecture."""

from collections.abc import Mapping
from dataclasses import dataclass

from bertsmith.config import Architecture
from bertsmith.model.bert import Part


@dataclass(frozen=True)
class Names:
    """How Hugging Face calls the tensors of an architecture.

    Attributes:
        modules: our module -> theirs; "#" is the layer. Where they have several, ours is theirs under one another.
        parts: what the names of a part's tensors begin with -> the part.
        base: what stands before the names of `inside`, but not in a folder of a bare encoder.
        inside: the first words of the encoder's names after `base`.
        tied: a tensor that repeats another, such as the decoder -> the one that it repeats.
        buffers: no weights, kept by old versions.
    """

    modules: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, Part]
    base: str
    inside: tuple[str, ...]
    tied: Mapping[str, str]
    buffers: tuple[str, ...] = ()


_BERT = Names(
    modules={
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
    },
    parts={
        "bert.pooler.": "pooler",
        "cls.predictions.": "masked_lm",
        "cls.seq_relationship.": "next_sentence",
        "classifier.": "classifier",
        "qa_outputs.": "qa_outputs",
    },
    base="bert.",
    inside=("embeddings", "encoder", "pooler"),
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    buffers=("bert.embeddings.position_ids", "bert.embeddings.token_type_ids"),
)
_MODERNBERT = Names(
    modules={
        "encoder.embeddings.word": ("model.embeddings.tok_embeddings",),
        "encoder.embeddings.norm": ("model.embeddings.norm",),
        "encoder.layers.#.attention_norm": ("model.layers.#.attn_norm",),
        "encoder.layers.#.attention.qkv": ("model.layers.#.attn.Wqkv",),
        "encoder.layers.#.attention.output": ("model.layers.#.attn.Wo",),
        "encoder.layers.#.feed_forward_norm": ("model.layers.#.mlp_norm",),
        "encoder.layers.#.widen": ("model.layers.#.mlp.Wi",),
        "encoder.layers.#.narrow": ("model.layers.#.mlp.Wo",),
        "encoder.final_norm": ("model.final_norm",),
        "pooler.dense": ("head.dense",),
        "pooler.norm": ("head.norm",),
        "masked_lm.dense": ("head.dense",),
        "masked_lm.norm": ("head.norm",),
        "masked_lm": ("decoder",),
        "classifier.dense": ("classifier",),
    },
    parts={"head.": "pooler", "decoder.": "masked_lm", "classifier.": "classifier"},
    base="model.",
    inside=("embeddings", "layers", "final_norm"),
    tied={"decoder.weight": "model.embeddings.tok_embeddings.weight"},
)
NAMES: Mapping[Architecture, Names] = {"bert": _BERT, "modernbert": _MODERNBERT}
