"""The useful arithmetic of a batch: what the mathematics asks for, however a program does it.

Letters: L layers, D hidden width, F feed-forward width, V vocabulary, O outputs of a task, T tokens of a row; of a
batch n real tokens, M masked places, S sequences.

    2 W n            the layers' matrices, W numbers in all (BERT: L (4 D² + 2 D F)): a multiplication and an addition
                     for every token
    4 L T D n        attention: QKᵀ and PV, 2 T D each for every token and layer
    2 (V D + D²) M   the masked LM head, at the masked places alone
    2 (D² + 2 D) S   pooler and next-sentence head, at each sequence's [CLS]; of a fine-tuned model D² + O D

Where some places alone are read, M + S > 0, nothing needs the last layer's queries at the others, what they see and
what follows (BERT: 2 D² + 2 D F and 2 T D). The backward pass needs twice as much again. Embedding look-ups, LayerNorm,
activations, softmax, dropout and the optimizer are not counted, nor is what is computed on padding or computed twice. A
row that holds several sequences counts as one of T tokens.

Reference:
    Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022, appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from bertsmith.model.bert import Bert


@dataclass(frozen=True)
class Counts:
    """What there is to compute in some batches.

    Attributes:
        tokens: n, without padding.
        row_length: T; of rows of several lengths what their tokens see on average, Σ T² / Σ T.
        masked: M.
        sequences: S; 0 where no head reads them.
    """

    tokens: int
    row_length: float
    masked: int
    sequences: int


def step_flops(model: Bert, counts: Counts) -> float:
    """The useful FLOPs of forward and backward pass over batches.

    Args:
        model: its shape alone is read, so that it may lie on the meta device.
        counts: of the batches.
    """
    return 3 * forward_flops(model, counts)


def forward_flops(model: Bert, counts: Counts) -> float:
    """The useful FLOPs of the forward pass; the module's docstring has the formula."""
    config = model.config
    width, layers = config.hidden_size, config.num_hidden_layers
    attention = 2 * counts.row_length * width  # a token's in a layer, in the unit of `_matrices`
    masked_lm = config.vocab_size * width + width**2
    heads = sum(map(_matrices, (model.pooler, model.next_sentence, model.classifier)))
    of_tokens = (_matrices(model.encoder.layers) + layers * attention) * counts.tokens
    last = model.encoder.layers[-1]
    keys_values = last.get_parameter("attention.qkv.weight").numel() * 2 // 3
    unread = counts.tokens - (counts.masked + counts.sequences or counts.tokens)
    of_unread = (_matrices(last) - keys_values + attention) * unread
    return 2.0 * (of_tokens - of_unread + masked_lm * counts.masked + heads * counts.sequences)


def _matrices(module: nn.Module | None) -> int:
    """The numbers in the matrices of a part of a model."""
    return sum(weight.numel() for weight in module.parameters() if weight.ndim == 2) if module else 0
