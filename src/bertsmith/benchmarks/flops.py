"""The useful arithmetic of a pretraining step: what the mathematics asks for, however a program does it.

Letters: L layers, D hidden width, F feed-forward width, V vocabulary, T tokens of a row; of a batch n real tokens,
M masked places, S sequences.

    6 W n            the layers' matrices, W numbers in all (BERT: L (4 D² + 2 D F)): a multiplication and an addition
                     for every token forward, two of each backward; but those of the last layer past its attention
                     (BERT: D² + 2 D F) at the M + S places alone that are read
    12 L T D n       attention: QKᵀ and PV, 2 T D each for every token and layer forward, twice that backward
    6 (V D + D²) M   the masked LM head, at the masked places alone
    6 (D² + 2 D) S   pooler and next-sentence head, at each sequence's [CLS]

Embedding look-ups, LayerNorm, activations, softmax, dropout and the optimizer are not counted, nor is what is computed
on padding or computed twice. A row that holds several sequences counts as one of T tokens.

Reference:
    Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022, appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertsmith.model.bert import Bert


@dataclass(frozen=True)
class Counts:
    """What there is to compute in some batches.

    Attributes:
        tokens: n, without padding.
        row_length: T.
        masked: M.
        sequences: S; 0 without next-sentence prediction.
    """

    tokens: int
    row_length: int
    masked: int
    sequences: int


def step_flops(model: Bert, counts: Counts) -> float:
    """The useful FLOPs of forward and backward pass over batches; the module's docstring has the formula.

    Args:
        model: its shape alone is read, so that it may lie on the meta device.
        counts: of the batches.
    """
    config = model.config
    width, layers = config.hidden_size, config.num_hidden_layers
    matrices = sum(weight.numel() for weight in model.encoder.layers.parameters() if weight.ndim == 2)
    of_last = {name: weight for name, weight in model.encoder.layers[-1].named_parameters() if weight.ndim == 2}
    after = sum(weight.numel() for name, weight in of_last.items() if name != "attention.qkv.weight")
    attention = 2 * layers * counts.row_length * width  # a token's, in the unit of `matrices`
    masked_lm = config.vocab_size * width + width**2
    next_sentence = width**2 + 2 * width
    of_tokens = (matrices - after + attention) * counts.tokens + after * (counts.masked + counts.sequences)
    return 6.0 * (of_tokens + masked_lm * counts.masked + next_sentence * counts.sequences)
