"""Small BERTs, random rows and a Hugging Face twin for the tests of the model."""

from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForPreTraining

from bertsmith.config import ModelConfig
from bertsmith.model.bert import PRETRAINING_PARTS, Bert, Part
from bertsmith.model.config_json import config_to_hf
from bertsmith.model.formats import to_hf_tensors

TINY: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny_bert(seed: int = 0, parts: tuple[Part, ...] = PRETRAINING_PARTS, **changes: Any) -> Bert:
    """A BERT whose every weight is random (also biases and LayerNorm, which begin as constants otherwise)."""
    bert = Bert(ModelConfig(**{**TINY, **changes}), parts, generator=generator(seed))
    drawn = generator(seed + 1)
    with torch.no_grad():
        for weight in bert.parameters():
            weight.add_(torch.randn(weight.shape, generator=drawn), alpha=0.2)
    return bert.eval()


def rows(lengths: list[int], width: int, seed: int = 0) -> dict[str, Tensor]:
    """One sequence a row, of the given lengths, padded to `width`; no [PAD] among the real tokens."""
    drawn = generator(seed)
    shape = (len(lengths), width)
    real = torch.arange(width) < torch.tensor(lengths)[:, None]
    return {
        "input_ids": torch.randint(1, TINY["vocab_size"], shape, generator=drawn) * real,
        "token_type_ids": torch.randint(0, 2, shape, generator=drawn) * real,
        "position_ids": torch.arange(width).expand(shape),
        "sequence_ids": real.long(),
    }


def twin_of(bert: Bert) -> BertForPreTraining:
    """`transformers.BertForPreTraining` with the same weights."""
    config = BertConfig(**config_to_hf(bert), attn_implementation="eager")
    twin = BertForPreTraining(config)
    missing, left = twin.load_state_dict(to_hf_tensors(bert), strict=False)
    assert set(missing) == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    assert left == []
    twin.tie_weights()
    return twin.eval()


def twin_inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our rows of one sequence in the words of `transformers`."""
    return {
        "input_ids": batch["input_ids"],
        "token_type_ids": batch["token_type_ids"],
        "attention_mask": batch["sequence_ids"],
    }
