"""What encoders for prediction are tried on: a small plain one, and sequences in rows with padding."""

import numpy as np
import torch

from bertsmith.config import ModelConfig
from bertsmith.data.windows import Encoded, Window, batch_windows
from bertsmith.model.encoder import BertEncoder

SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}


def plain(seed: int = 0, **options) -> tuple[BertEncoder, ModelConfig]:
    config = ModelConfig(vocab_size=50, max_position_embeddings=128, **{**SHAPE, **options})
    encoder = BertEncoder(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return encoder, config


def packed_rows(lengths: list[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Sequences of these lengths in rows, with padding; and the places of two tokens of each."""
    rng = np.random.default_rng(0)
    windows = [
        Window(
            rng.integers(1, 50, length).astype(np.int32),
            rng.integers(0, 2, length).astype(np.uint8),
            np.array([length - 1, 0], np.int32),
        )
        for length in lengths
    ]
    batch = batch_windows([Encoded((window,), np.empty(0)) for window in windows])
    names = ("input_ids", "token_type_ids", "position_ids", "sequence_ids")
    return {name: torch.from_numpy(getattr(batch, name)) for name in names}, torch.from_numpy(batch.places)
