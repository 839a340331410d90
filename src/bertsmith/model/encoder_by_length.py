"""BERT's encoder for prediction on a processor with AVX512: a short text goes the compiled way, all else torch's.

A short text waits for weights and for calls, and for both the compiled way has the least to wait; many tokens are
products, which torch's library makes faster in bfloat16. So a short text alone has not quite the numbers that it has
among others: to rounding in float32, to bfloat16's three digits beside it. Weights are laid out for both ways.

Letters: B rows of the batch, T tokens of a row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bertsmith.config import ModelConfig
from bertsmith.model.encoder import BertEncoder
from bertsmith.model.flat_encoder import FlatEncoder
from bertsmith.model.native_encoder import NativeEncoder

# Up to so many tokens, padding counted in. By the processor and not by a measurement at the start, so that a model
# answers alike whenever it is opened. With AMX 13 tokens take seven tenths of torch's time, 32 five sixths, and 64 are
# slower: see bench/RESULTS.md.
SHORT_TOKENS = 32


class EncoderByLength(nn.Module):
    """`BertEncoder` for prediction; the same words in and out.

    Args:
        encoder: as for `FlatEncoder` and `NativeEncoder`.
        config: its shape.
        dtype: that of `FlatEncoder`; beside 16 bits the compiled way multiplies in int16, whose numbers are as short
            to read and keep four bits more.
    """

    def __init__(self, encoder: BertEncoder, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.embeddings = encoder.embeddings
        of_short = torch.float32 if dtype == torch.float32 else torch.int16
        self.short, self.long = NativeEncoder(encoder, config, of_short), FlatEncoder(encoder, config, dtype)

    def forward(self, input_ids: Tensor, **given: Any) -> Tensor:
        """As `BertEncoder.forward`."""
        made: Tensor = self._for(input_ids)(input_ids, **given)
        return made

    def hidden_states(self, input_ids: Tensor, **given: Any) -> list[Tensor]:
        """As `BertEncoder.hidden_states`."""
        return self._for(input_ids).hidden_states(input_ids, **given)

    def _for(self, input_ids: Tensor) -> NativeEncoder | FlatEncoder:
        return self.short if input_ids.numel() <= SHORT_TOKENS else self.long
