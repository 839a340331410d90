"""One forward pass, recorded: what a model reads, everything on the way, and what it says.

Letters: T tokens, D hidden width, L layers; those of a layer are explained at `LayerSteps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bertsmith.config import ModelConfig
from bertsmith.explain.heads import (
    Floats,
    Ints,
    MaskedLMSteps,
    NextSentenceSteps,
    TaskSteps,
    array,
    masked_lm_steps,
    next_sentence_steps,
)
from bertsmith.explain.passes import next_pass
from bertsmith.explain.reading import Token
from bertsmith.explain.steps import EmbeddingSteps, LayerSteps, embedding_steps, final, layer_steps
from bertsmith.model.bert import Bert
from bertsmith.text.wordpiece import WordPiece


@dataclass(frozen=True)
class Recording:
    """A forward pass; the arrays are those of the one row, without a batch's first dimension.

    Attributes:
        model: what it is called.
        config: its shape.
        texts: the text, or the pair, that `Token.start` and `.end` count in.
        tokens: T of them, [CLS] and [SEP] included.
        mask_id: the id of [MASK].
        embeddings: (T, D) each.
        layers: L of them.
        output: (T, D), O_1 … O_T, which the heads read.
        masked_lm, next_sentence, task: the heads that the model has.
    """

    model: str
    config: ModelConfig
    texts: tuple[str, ...]
    tokens: tuple[Token, ...]
    mask_id: int
    embeddings: EmbeddingSteps[Floats]
    layers: tuple[LayerSteps[Floats], ...]
    output: Floats
    masked_lm: MaskedLMSteps | None = None
    next_sentence: NextSentenceSteps | None = None
    task: TaskSteps | None = None

    @cached_property
    def masked(self) -> list[int]:
        """The places of [MASK]."""
        return [place for place, token in enumerate(self.tokens) if token.id == self.mask_id]

    @cached_property
    def attention(self) -> Floats:
        """(L, N, T, T) the weights of all layers and heads."""
        return np.stack([layer.weights for layer in self.layers])


@dataclass(frozen=True)
class Pass:
    """A forward pass as tensors on the model's device, of one row: what a recording is made of, and evidence needs.

    Attributes:
        input_ids, token_type_ids, position_ids: (1, T).
        embeddings: (1, T, D) each.
        layers: L of them.
        states: L + 1 times (1, T, D) as Hugging Face's `hidden_states`; the last is what the heads read.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    embeddings: EmbeddingSteps[Tensor]
    layers: tuple[LayerSteps[Tensor], ...]
    states: tuple[Tensor, ...]


@torch.no_grad()
def run(bert: Bert, tokens: Sequence[Token]) -> Pass:
    """Take tokens through the encoder, step by step."""
    next_pass()
    input_ids, token_type_ids, position_ids = rows_of(bert, tokens)
    embeddings = embedding_steps(bert, input_ids, token_type_ids, position_ids)
    layers = tuple(layer_steps(bert, embeddings.normed, position_ids))
    outputs = [embeddings.normed, *(layer.output for layer in layers)]
    states = (*outputs[:-1], final(bert, outputs[-1]))
    return Pass(input_ids, token_type_ids, position_ids, embeddings, layers, states)


def rows_of(bert: Bert, tokens: Sequence[Token]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, segments and positions of one row, (1, T) each."""
    columns = ([token.id for token in tokens], [token.segment for token in tokens], range(len(tokens)))
    input_ids, token_type_ids, position_ids = (torch.tensor([list(each)], device=bert.device) for each in columns)
    return input_ids, token_type_ids, position_ids


@torch.no_grad()
def record(
    bert: Bert,
    tokenizer: WordPiece,
    tokens: Sequence[Token],
    texts: Sequence[str],
    *,
    model: str = "the model",
    top_k: int,
    task: TaskSteps | None = None,
    made: Pass | None = None,
) -> Recording:
    """Record a forward pass.

    Args:
        bert: in evaluation mode.
        tokenizer: the model's.
        tokens: from a `Reader`.
        texts: the text or pair that they were made of.
        model: what to call it.
        top_k: guesses kept at each place.
        task: what its fine-tuned head made of it.
        made: the pass, if it was made before.
    """
    made = made or run(bert, tokens)
    output = made.states[-1][0]
    size = tokenizer.vocab_size
    return Recording(
        model=model,
        config=bert.config,
        texts=tuple(texts),
        tokens=tuple(tokens),
        mask_id=tokenizer.mask_id,
        embeddings=EmbeddingSteps(*(None if step is None else array(step[0]) for step in made.embeddings)),  # type: ignore[arg-type]
        layers=tuple(LayerSteps(*(array(step[0]) for step in layer)) for layer in made.layers),
        output=array(output),
        masked_lm=masked_lm_steps(bert, output, top_k=top_k, vocab_size=size) if bert.masked_lm else None,
        next_sentence=next_sentence_steps(bert, output) if bert.next_sentence else None,
        task=task,
    )


def places(indices: Sequence[int]) -> Ints:
    """Places as an array, (P,)."""
    return np.array(indices, np.int64)
