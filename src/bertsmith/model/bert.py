"""The model as a whole: the encoder and the heads that a folder or a task wants.

Letters: B rows of the batch, T tokens of a row, M masked places, S sequences, D hidden width, V vocabulary,
P places that a fine-tuned head reads, O its outputs, F the last layers that it reads in feature mode.
"""

from collections.abc import Collection
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from bertsmith.config import HeadConfig, ModelConfig
from bertsmith.errors import ConfigError
from bertsmith.model.attention import SelfAttention
from bertsmith.model.dropout import Dropout
from bertsmith.model.encoder import BertEncoder
from bertsmith.model.heads import MaskedLMHead, NextSentenceHead, Pooler, TaskHead

Part = Literal["pooler", "masked_lm", "next_sentence", "classifier", "qa_outputs"]
PARTS: tuple[Part, ...] = get_args(Part)
PRETRAINING_PARTS: tuple[Part, ...] = ("pooler", "masked_lm", "next_sentence")


class Bert(nn.Module):
    """BERT: hidden states from the encoder, logits from the heads. Losses belong to tasks.

    Args:
        config: the shape.
        parts: what stands beside the encoder, of "pooler", "masked_lm", "next_sentence" (needs "pooler").
        head: of a fine-tuned model; its parts are added to the others.
        generator: draws the initial weights, on its own device; the same seed gives the same weights, and the
            encoder's do not depend on the parts. None leaves the weights on the meta device, without values,
            for `formats` to fill.

    Raises:
        ConfigError: a part that is unknown, or "next_sentence" without "pooler".

    Reference:
        Devlin et al. 2019.
    """

    def __init__(
        self,
        config: ModelConfig,
        parts: Collection[Part] = PRETRAINING_PARTS,
        *,
        head: HeadConfig | None = None,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        parts = {*parts, *(parts_of_head(head) if head else ())}
        _check_parts(parts, head)
        self.config, self.head = config, head
        self.parts: tuple[Part, ...] = tuple(part for part in PARTS if part in parts)
        with torch.device("meta"):  # so that building draws nothing from the global generator
            self.encoder = BertEncoder(config)
            self.pooler = Pooler(config) if "pooler" in parts else None
            self.masked_lm = MaskedLMHead(config) if "masked_lm" in parts else None
            self.next_sentence = NextSentenceHead(config) if "next_sentence" in parts else None
            self.classifier = TaskHead(config, head) if head and "classifier" in parts else None
            self.qa_outputs = TaskHead(config, head) if head and "qa_outputs" in parts else None
        if generator is not None:
            self.to_empty(device=generator.device)
            initialise(self, config, generator)

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

    def pooled(self, cls_hidden: Tensor) -> Tensor:
        """The hidden states of the sequences' [CLS], (S, D) -> the pooled sequences, (S, D)."""
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


def parts_of_head(head: HeadConfig) -> tuple[Part, ...]:
    """What a fine-tuned head is made of, as in the classes of `transformers` for the same tasks."""
    if head.task == "answer":
        return ("qa_outputs",)
    if head.task == "tag" or head.feature_layers:
        return ("classifier",)
    return ("pooler", "classifier")


def _check_parts(parts: Collection[str], head: HeadConfig | None) -> None:
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f'unknown part "{part}" of a model; known are {", ".join(PARTS)}')
    if head is None and not {"classifier", "qa_outputs"}.isdisjoint(parts):
        raise ConfigError('the parts "classifier" and "qa_outputs" belong to a fine-tuned head: give its HeadConfig')
    if "next_sentence" in parts and "pooler" not in parts:
        raise ConfigError('the part "next_sentence" reads the pooled [CLS]: add the part "pooler"')


@torch.no_grad()
def initialise(module: nn.Module, config: ModelConfig, generator: torch.Generator) -> None:
    """Draw every weight of a model, or of a part of one, anew, in the order of the parameters.

    Matrices come from a normal distribution (standard deviation `initializer_range`) cut at two standard
    deviations, biases are zero and LayerNorm begins as the identity.

    Reference:
        google-research/bert, `modeling.py`, `create_initializer`: tf.truncated_normal_initializer(0.02).
        The zero vector of [PAD] is Hugging Face's.
    """
    std = config.initializer_range
    for name, weight in module.named_parameters():
        if weight.dim() == 2:
            nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        else:
            nn.init.constant_(weight, 1.0 if name.endswith("norm.weight") else 0.0)
    if isinstance(module, Bert) and config.pad_token_id is not None:
        module.encoder.embeddings.word.weight[config.pad_token_id] = 0.0
