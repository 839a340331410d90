"""The model as a whole: the encoder and the heads that a folder or a task wants.

Letters: B rows of the batch, T tokens of a row, M masked places, S sequences, D hidden width, V vocabulary,
P places that a fine-tuned head reads, O its outputs, F the last layers that it reads in feature mode.
"""

from collections.abc import Collection, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from bertsmith.config import Architecture, HeadConfig, ModelConfig
from bertsmith.errors import ConfigError
from bertsmith.model.attention import SelfAttention
from bertsmith.model.dropout import Dropout
from bertsmith.model.encoder import BertEncoder
from bertsmith.model.heads import MaskedLMHead, ModernPooler, NextSentenceHead, Pooler, TaskHead
from bertsmith.model.initial_weights import initialise
from bertsmith.model.modern_encoder import ModernEncoder

Part = Literal["pooler", "masked_lm", "next_sentence", "classifier", "qa_outputs"]
PARTS: tuple[Part, ...] = get_args(Part)
PRETRAINING_PARTS: tuple[Part, ...] = ("pooler", "masked_lm", "next_sentence")
# What only a fine-tuned model needs. ModernBERT's pooler stands before the outputs of a task and nowhere else.
TASK_PARTS: Mapping[Architecture, frozenset[Part]] = {
    "bert": frozenset(("classifier", "qa_outputs")),
    "modernbert": frozenset(("pooler", "classifier")),
}


class Bert(nn.Module):
    """BERT or ModernBERT: hidden states from the encoder, logits from the heads. Losses belong to tasks.

    Args:
        config: the shape.
        parts: what stands beside the encoder, of "pooler", "masked_lm", "next_sentence" (needs "pooler"); those that
            the architecture is pretrained with if not given.
        head: of a fine-tuned model; its parts are added to the others.
        generator: draws the initial weights, on its own device; the same seed gives the same weights, and the
            encoder's do not depend on the parts. None leaves the weights on the meta device, without values,
            for `formats` to fill.

    Raises:
        ConfigError: a part that is unknown or not of the architecture, or "next_sentence" without "pooler".

    Reference:
        Devlin et al. 2019; Warner et al. 2024.
    """

    def __init__(
        self,
        config: ModelConfig,
        parts: Collection[Part] | None = None,
        *,
        head: HeadConfig | None = None,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        modern = config.architecture == "modernbert"
        parts = pretraining_parts(config.architecture) if parts is None else parts
        parts = {*parts, *(parts_of_head(head, config.architecture) if head else ())}
        _check_parts(parts, head, config.architecture)
        self.config, self.head = config, head
        self.parts: tuple[Part, ...] = tuple(part for part in PARTS if part in parts)
        with torch.device("meta"):  # so that building draws nothing from the global generator
            self.encoder = ModernEncoder(config) if modern else BertEncoder(config)
            self.pooler = (ModernPooler(config) if modern else Pooler(config)) if "pooler" in parts else None
            self.masked_lm = MaskedLMHead(config) if "masked_lm" in parts else None
            self.next_sentence = NextSentenceHead(config) if "next_sentence" in parts else None
            self.classifier = TaskHead(config, head) if head and "classifier" in parts else None
            self.qa_outputs = TaskHead(config, head) if head and "qa_outputs" in parts else None
        if generator is not None:
            self.to_empty(device=generator.device)
            initialise(self, config, generator)

    @property
    def fills(self) -> bool:
        """Whether it has a masked LM head."""
        return self.masked_lm is not None

    @property
    def device(self) -> torch.device:
        """Where its weights lie, and its batches belong."""
        return self.encoder.embeddings.word.weight.device

    def forward(
        self,
        input_ids: Tensor,
        *,
        token_type_ids: Tensor,
        position_ids: Tensor,
        sequence_ids: Tensor | None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Four (B, T) -> the last hidden states (B, T, D), or those of the places (P,) only, (P, D).

        `BertEncoder.forward` says what each one is.
        """
        hidden: Tensor = self.encoder(
            input_ids,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            sequence_ids=sequence_ids,
            places=places,
        )
        return hidden

    def masked_lm_logits(self, hidden: Tensor) -> Tensor:
        """The hidden states of the masked places, (M, D) -> a logit for each WordPiece, (M, V)."""
        logits: Tensor = self._part(self.masked_lm, "masked_lm")(hidden, self.encoder.embeddings.word.weight)
        return logits

    def masked_lm_product(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `masked_lm_logits` is the product of: (M, D), its weight (V, D) and its bias (V,)."""
        head = self._part(self.masked_lm, "masked_lm")
        assert isinstance(head, MaskedLMHead)
        return head.transform(hidden), self.encoder.embeddings.word.weight, head.bias

    def pooled(self, cls_hidden: Tensor) -> Tensor:
        """The hidden states of the sequences' [CLS], (S, D) -> the pooled sequences, (S, D).

        ModernBERT's are those of any places that a task reads.
        """
        pooled: Tensor = self._part(self.pooler, "pooler")(cls_hidden)
        return pooled

    def next_sentence_logits(self, cls_hidden: Tensor) -> Tensor:
        """The hidden states of the sequences' [CLS], (S, D) -> (S, 2): B follows A, B is from elsewhere."""
        logits: Tensor = self._part(self.next_sentence, "next_sentence")(self.pooled(cls_hidden))
        return logits

    def head_input(
        self,
        input_ids: Tensor,
        *,
        token_type_ids: Tensor,
        position_ids: Tensor,
        sequence_ids: Tensor | None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Four (B, T) -> what the fine-tuned head reads: the last hidden states (B, T, D), or in feature mode
        the last F layers side by side (B, T, F * D). With places (P,) of those only, (P, D) or (P, F * D)."""
        rows = {"token_type_ids": token_type_ids, "position_ids": position_ids}
        layers = self.head.feature_layers if self.head else 0
        if not layers:
            hidden: Tensor = self(input_ids, **rows, sequence_ids=sequence_ids, places=places)
            return hidden
        states = torch.cat(self.encoder.hidden_states(input_ids, **rows, sequence_ids=sequence_ids)[-layers:], dim=-1)
        return states if places is None else states.flatten(0, 1)[places]

    def task_logits(self, hidden: Tensor) -> Tensor:
        """What `head_input` has at the places that the task reads, (P, D) or (P, F * D) -> (P, O)."""
        if self.qa_outputs is None and "pooler" in self.parts:
            hidden = self.pooled(hidden)
        head = self._part(self.qa_outputs or self.classifier, "classifier")
        logits: Tensor = head(hidden)
        return logits

    @torch.no_grad()
    def begin_guessing(self, log_frequencies: Tensor) -> None:
        """Let masked LM begin by guessing so, (V,) logarithms of shares, and by words that are like a hidden state."""
        head = self._part(self.masked_lm, "masked_lm")
        assert isinstance(head, MaskedLMHead)
        head.bias.copy_(log_frequencies)
        head.dense.weight += torch.eye(len(head.dense.weight), device=self.device)

    def set_dropout(self, share: float) -> None:
        """Drop this share of every hidden state and attention weight while training; `config` keeps its own."""
        _set_dropout(self, share)

    def freeze_encoder(self) -> None:
        """Train the head alone: the encoder gets no gradients, and its hidden states no dropout."""
        self.encoder.requires_grad_(False)
        _set_dropout(self.encoder, 0.0)

    def _part(self, part: nn.Module | None, name: str) -> nn.Module:
        if part is None:
            there = ", ".join(self.parts) or "none"
            raise ConfigError(f'this model has no part "{name}" (it has: {there}). Take one that has.')
        return part


def _set_dropout(module: nn.Module, share: float) -> None:
    for part in module.modules():
        if isinstance(part, Dropout):
            part.share = share
        elif isinstance(part, SelfAttention):
            part.dropout = share


def pretraining_parts(architecture: Architecture) -> tuple[Part, ...]:
    """What stands beside the encoder of a pretrained model."""
    return PRETRAINING_PARTS if architecture == "bert" else ("masked_lm",)


def parts_of_head(head: HeadConfig, architecture: Architecture) -> tuple[Part, ...]:
    """What a fine-tuned head is made of, as in the classes of `transformers` for the same tasks."""
    if architecture == "modernbert":
        return ("classifier",) if head.feature_layers else ("pooler", "classifier")
    if head.task == "answer":
        return ("qa_outputs",)
    if head.task == "tag" or head.feature_layers:
        return ("classifier",)
    return ("pooler", "classifier")


def _check_parts(parts: Collection[str], head: HeadConfig | None, architecture: Architecture) -> None:
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f'unknown part "{part}" of a model; known are {", ".join(PARTS)}')
    if head is None and not {"classifier", "qa_outputs"}.isdisjoint(parts):
        raise ConfigError('the parts "classifier" and "qa_outputs" belong to a fine-tuned head: give its HeadConfig')
    if architecture == "modernbert" and not {"next_sentence", "qa_outputs"}.isdisjoint(parts):
        raise ConfigError('the parts "next_sentence" and "qa_outputs" are of BERT; ModernBERT has none: leave them out')
    if architecture == "modernbert" and {"pooler", "masked_lm"}.issubset(parts):
        raise ConfigError('ModernBERT has one layer before its outputs: take the part "masked_lm", or a task\'s head')
    if "next_sentence" in parts and "pooler" not in parts:
        raise ConfigError('the part "next_sentence" reads the pooled [CLS]: add the part "pooler"')
