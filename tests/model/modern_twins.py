"""Small ModernBERTs with Hugging Face twins, and what these are to see of packed rows."""

from typing import Any

import torch
from bert_twins import TINY, generator, rows
from torch import Tensor
from transformers import ModernBertConfig, PreTrainedModel

from bertsmith.config import HeadConfig, ModelConfig
from bertsmith.model.bert import Bert, Part
from bertsmith.model.config_json import config_to_hf
from bertsmith.model.formats import to_hf_tensors

# Layers: global, local, local, global; a local one sees two places to either side.
MODERN: dict[str, Any] = {
    **TINY,
    "architecture": "modernbert",
    "num_hidden_layers": 4,
    "layer_norm_eps": 1e-5,
    "local_attention": 4,
    "global_rope_theta": 500.0,
    "local_rope_theta": 30.0,
}
REACH = 2


def tiny_modern(
    seed: int = 0, parts: tuple[Part, ...] = ("masked_lm",), head: HeadConfig | None = None, **changes: Any
) -> Bert:
    """A ModernBERT whose every weight is random (also the norms', which begin as constants otherwise)."""
    config = ModelConfig(**{**MODERN, **changes})
    bert = Bert(config, () if head else parts, head=head, generator=generator(seed))
    drawn = generator(seed + 1)
    with torch.no_grad():
        for weight in bert.parameters():
            weight.add_(torch.randn(weight.shape, generator=drawn), alpha=0.2)
    return bert.eval()


def modern_twin(bert: Bert, kind: type[PreTrainedModel]) -> Any:
    """Their model of a class with our weights."""
    twin = kind(ModernBertConfig(**config_to_hf(bert), attn_implementation="eager"))
    missing, left = twin.load_state_dict(to_hf_tensors(bert), strict=False)
    assert set(missing) <= {"decoder.weight"}
    assert left == []
    twin.tie_weights()
    return twin.eval()


def masks(sequence_ids: Tensor) -> dict[str, Tensor]:
    """What their layers of both kinds add to the scores, (B, 1, T, T), place by place from its definition."""
    rows, length = sequence_ids.shape
    full, sliding = torch.full((2, rows, 1, length, length), -1e30)
    for row, ids in enumerate(sequence_ids.tolist()):
        for i, one in enumerate(ids):
            for j, other in enumerate(ids):
                if one == other:
                    full[row, 0, i, j] = 0
                    sliding[row, 0, i, j] = 0 if abs(i - j) <= REACH else -1e30
    return {"full_attention": full, "sliding_attention": sliding}


def packed_rows() -> dict[str, Tensor]:
    """Three rows: sequences of 6, 7 and 3 tokens; one of 16; 9 and 4, and three of padding."""
    batch = rows([16] * 3, 16)
    batch["sequence_ids"] = torch.tensor([[1] * 6 + [2] * 7 + [3] * 3, [1] * 16, [1] * 9 + [2] * 4 + [0] * 3])
    starts = [[0] * 6 + [6] * 7 + [13] * 3, [0] * 16, [0] * 9 + [9] * 4 + [13] * 3]
    batch["position_ids"] = torch.arange(16) - torch.tensor(starts)
    return batch
