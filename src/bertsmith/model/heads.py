"""The heads that BERT is pretrained and fine-tuned with.

Letters: M masked places, S sequences, D hidden width, V vocabulary, P places that a task reads, O its outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.config import HeadConfig, ModelConfig
from bertsmith.model.activations import ACTIVATIONS
from bertsmith.model.dropout import Dropout
from bertsmith.model.linear import Linear


class Pooler(nn.Module):
    """The hidden state of [CLS] -> one vector for the whole sequence: dense, tanh."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, cls_hidden: Tensor) -> Tensor:
        """(S, D) -> (S, D)."""
        return torch.tanh(self.dense(cls_hidden))


class _Transform(nn.Module):
    """Dense, activation, LayerNorm; in ModernBERT without biases."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        biased = config.architecture == "bert"
        self.dense = Linear(config.hidden_size, config.hidden_size, bias=biased)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=biased)

    def transform(self, hidden: Tensor) -> Tensor:
        """(M, D) -> (M, D), what the output layer reads."""
        transformed: Tensor = self.norm(self.activation(self.dense(hidden)))
        return transformed


class MaskedLMHead(_Transform):
    """Hidden states -> logits over the vocabulary: dense, activation, LayerNorm, the word embeddings again.

    The decoder is the table of word embeddings itself, given to `forward`: one tensor, not a tied pair.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.bias = nn.Parameter(torch.empty(config.vocab_size))

    def forward(self, hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """(M, D), the hidden states of the masked places only, and (V, D) -> (M, V)."""
        return F.linear(self.transform(hidden), word_embeddings, self.bias)


class ModernPooler(_Transform):
    """What stands in ModernBERT between the encoder and the output layer of any task, at each place that it reads.

    Masked LM has the same before its decoder, so that a pretrained model brings one along.
    """

    def forward(self, hidden: Tensor) -> Tensor:
        """(P, D) -> (P, D)."""
        return self.transform(hidden)


class NextSentenceHead(nn.Module):
    """The pooled [CLS] -> two logits: the first for B follows A, the second for B from elsewhere."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled: Tensor) -> Tensor:
        """(S, D) -> (S, 2)."""
        logits: Tensor = self.dense(pooled)
        return logits


class TaskHead(nn.Module):
    """What a task reads of the encoder -> its outputs: dropout (in BERT not before answer spans), a linear layer.

    Reference:
        Devlin et al. 2019, section 4; with `feature_layers`, section 5.3.
    """

    def __init__(self, config: ModelConfig, head: HeadConfig) -> None:
        super().__init__()
        bare = head.task == "answer" and config.architecture == "bert"
        self.dropout = nn.Identity() if bare else Dropout(config.hidden_dropout_prob)
        self.dense = nn.Linear(config.hidden_size * (head.feature_layers or 1), head.outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """(P, D) -> (P, O)."""
        logits: Tensor = self.dense(self.dropout(hidden))
        return logits
