"""The model as a whole: the encoder and the heads that a folder or a task wants.

Letters: B rows of the batch, T tokens of a row, M masked places, S sequences, D hidden width, V vocabulary.
"""

from collections.abc import Collection
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from bertsmith.config import ModelConfig
from bertsmith.errors import ConfigError
from bertsmith.model.attention import SelfAttention
from bertsmith.model.encoder import BertEncoder
from bertsmith.model.heads import MaskedLMHead, NextSentenceHead, Pooler

Part = Literal["pooler", "masked_lm", "next_sentence"]
PARTS: tuple[Part, ...] = get_args(Part)


class Bert(nn.Module):
    """BERT: hidden states from the encoder, logits from the heads. Losses belong to tasks.

    Args:
        config: the shape.
        parts: what stands beside the encoder, of "pooler", "masked_lm", "next_sentence" (needs "pooler").
        generator: draws the initial weights, on its own device; the same seed gives the same weights, and the
            encoder's do not depend on the parts. None leaves the weights on the meta device, without values,
            for `formats` to fill.

    Raises:
        ConfigError: a part that is unknown, or "next_sentence" without "pooler".

    Reference:
        Devlin et al. 2019.
    """

    def __init__(
        self, config: ModelConfig, parts: Collection[Part] = PARTS, *, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        _check_parts(parts)
        self.config = config
        self.parts: tuple[Part, ...] = tuple(part for part in PARTS if part in parts)
        with torch.device("meta"):  # so that building draws nothing from the global generator
            self.encoder = BertEncoder(config)
            self.pooler = Pooler(config) if "pooler" in parts else None
            self.masked_lm = MaskedLMHead(config) if "masked_lm" in parts else None
            self.next_sentence = NextSentenceHead(config) if "next_sentence" in parts else None
        if generator is not None:
            self.to_empty(device=generator.device)
            initialise(self, generator)

    def forward(
        self, input_ids: Tensor, *, token_type_ids: Tensor, position_ids: Tensor, sequence_ids: Tensor | None
    ) -> Tensor:
        """Four (B, T) -> the last hidden states (B, T, D); `BertEncoder.forward` says what each one is."""
        hidden: Tensor = self.encoder(
            input_ids, token_type_ids=token_type_ids, position_ids=position_ids, sequence_ids=sequence_ids
        )
        return hidden

    def masked_lm_logits(self, hidden: Tensor) -> Tensor:
        """The hidden states of the masked places, (M, D) -> a logit for each WordPiece, (M, V)."""
        logits: Tensor = self._part(self.masked_lm, "masked_lm")(hidden, self.encoder.embeddings.word.weight)
        return logits

    def pooled(self, cls_hidden: Tensor) -> Tensor:
        """The hidden states of the sequences' [CLS], (S, D) -> the pooled sequences, (S, D)."""
        pooled: Tensor = self._part(self.pooler, "pooler")(cls_hidden)
        return pooled

    def next_sentence_logits(self, cls_hidden: Tensor) -> Tensor:
        """The hidden states of the sequences' [CLS], (S, D) -> (S, 2): B follows A, B is from elsewhere."""
        logits: Tensor = self._part(self.next_sentence, "next_sentence")(self.pooled(cls_hidden))
        return logits

    def set_dropout(self, share: float) -> None:
        """Drop this share of every hidden state and attention weight while training; `config` keeps its own."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = share
            elif isinstance(module, SelfAttention):
                module.dropout = share

    def _part(self, part: nn.Module | None, name: str) -> nn.Module:
        if part is None:
            there = ", ".join(self.parts) or "none"
            raise ConfigError(f'this model has no part "{name}" (it has: {there}). Take one that has.')
        return part


def _check_parts(parts: Collection[str]) -> None:
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f'unknown part "{part}" of a model; known are {", ".join(PARTS)}')
    if "next_sentence" in parts and "pooler" not in parts:
        raise ConfigError('the part "next_sentence" reads the pooled [CLS]: add the part "pooler"')


@torch.no_grad()
def initialise(bert: Bert, generator: torch.Generator) -> None:
    """Draw every weight anew, in the order of the parameters.

    Matrices come from a normal distribution (standard deviation `initializer_range`) cut at two standard
    deviations, biases are zero and LayerNorm begins as the identity.

    Reference:
        google-research/bert, `modeling.py`, `create_initializer`: tf.truncated_normal_initializer(0.02).
        The zero vector of [PAD] is Hugging Face's.
    """
    std = bert.config.initializer_range
    for name, weight in bert.named_parameters():
        if weight.dim() == 2:
            nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        else:
            nn.init.constant_(weight, 1.0 if name.endswith("norm.weight") else 0.0)
    if bert.config.pad_token_id is not None:
        bert.encoder.embeddings.word.weight[bert.config.pad_token_id] = 0.0
