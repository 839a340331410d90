"""A model as it predicts fastest.

Letters: M masked places, D hidden width, V vocabulary.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from bertsmith.model.bert import Bert
from bertsmith.model.encoder import BertEncoder
from bertsmith.model.encoder_by_length import EncoderByLength
from bertsmith.model.flat_encoder import FlatEncoder
from bertsmith.model.half import can_halve, hidden_dtype, prediction_linear
from bertsmith.model.heads import MaskedLMHead
from bertsmith.model.native_encoder import NativeEncoder, native_is_faster, native_is_faster_for_short_texts

Module = TypeVar("Module", bound=nn.Module)


def fast_copy(bert: Bert, dtype: torch.dtype) -> Bert:
    """A model for prediction alone, with the numbers of this one: to 1e-5 in float32, to three digits in bfloat16.

    In 16 bits that are for processors it is to four digits. In float16 the weights of the encoder's linear layers have
    it; in int16 their rows too, as whole numbers with scales. The product with the vocabulary has weights in float16
    beside both, and in BERT beside bfloat16 too, where there is a product for it.

    BERT on a processor gets an encoder made for that, compiled or of torch's products, and shares embeddings and heads
    with the original; both stay in float32. Another encoder goes its own way with packed products, in float32 with the
    original's weights; on a GPU the whole model has the format asked for.
    """
    if bert.device.type != "cpu":
        return bert if dtype == torch.float32 else deepcopy(bert).to(dtype)
    if not isinstance(bert.encoder, BertEncoder):
        exact = hidden_dtype(dtype) == torch.float32
        shared = {id(each): each for each in bert.parameters()} if exact else {}
        return pack_linears(deepcopy(bert, shared).to(hidden_dtype(dtype)), dtype)
    fast = Bert(bert.config, bert.parts, head=bert.head, generator=None)
    for name, part in bert.named_children():
        fast.add_module(name, part)
    fast.add_module("encoder", _kind_of_encoder(dtype)(bert.encoder, bert.config, dtype))
    if bert.masked_lm is not None:
        fast.add_module("masked_lm", PackedMaskedLMHead(bert.masked_lm, bert.encoder.embeddings.word.weight, dtype))
    return fast.eval()


def _kind_of_encoder(dtype: torch.dtype) -> type[NativeEncoder | EncoderByLength | FlatEncoder]:
    """Which one is the fastest for BERT on this processor."""
    if native_is_faster(dtype):
        return NativeEncoder
    return EncoderByLength if native_is_faster_for_short_texts() else FlatEncoder


class PackedMaskedLMHead(nn.Module):
    """`MaskedLMHead` for prediction: for one mask the product with the vocabulary is half of a short text's work."""

    def __init__(self, head: MaskedLMHead, word_embeddings: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        # Of a vocabulary in bfloat16 a word's number would be right to three digits, of one in float16 to four.
        halved = dtype == torch.float16 or (dtype in (torch.bfloat16, torch.int16) and can_halve())
        of_words = torch.float16 if halved else torch.float32
        self.head, self.decoder = head, prediction_linear(word_embeddings, head.bias, of_words)

    def forward(self, hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """(M, D) -> (M, V)."""
        logits: Tensor = self.decoder(self.head.transform(hidden))
        return logits


def pack_linears(module: Module, dtype: torch.dtype) -> Module:
    """The same module with every linear layer packed, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            module.add_module(name, prediction_linear(child.weight, child.bias, dtype))
        else:
            pack_linears(child, dtype)
    return module
