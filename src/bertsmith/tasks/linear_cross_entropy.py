"""The last linear layer and its cross-entropy as one step, for vocabularies whose logits weigh more than the model.

Letters: M places, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bertsmith.model.linear import product

_LEAST = 1e-30  # of a probability that is exact: below 1e-38 they lose digits


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """The sum of `F.cross_entropy(F.linear(hidden, weight, bias).float(), labels)`, with fewer passes over (M, V).

    Of the logits nothing is kept but the probabilities, in the type of the product, and they become the gradient in
    place. Under autocast the products are in its type, elsewhere in that of `hidden`.

    Args:
        hidden: (M, D).
        weight: (V, D).
        bias: (V,).
        labels: (M,) int64 in [0, V).

    Returns:
        () float32, in nats.

    Reference:
        Hsu et al. 2024, "Liger Kernel", section 3.2, for the idea of making the gradient beside the loss.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    loss: Tensor = _LinearCrossEntropy.apply(hidden.to(dtype), weight, bias, labels)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    """The bias is one more column of the weight, and a one stands in each place: so it has a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
        widened = torch.cat((hidden, hidden.new_ones(len(hidden), 1)), 1)  # (M, D) -> (M, D + 1)
        words = _with_column(weight, bias, hidden.dtype)  # (V, D) -> (V, D + 1)
        places = torch.arange(len(labels), device=labels.device)
        with torch.autocast(hidden.device.type, enabled=False):
            logits = product(widened, words.t())  # (M, D + 1) x (D + 1, V) -> (M, V)
        probabilities = torch.softmax(logits, -1)
        losses = _losses(logits, probabilities, places, labels)
        probabilities[places, labels] -= 1
        ctx.save_for_backward(widened, words, probabilities)
        ctx.weight_dtype = weight.dtype
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        widened, words, excess = ctx.saved_tensors  # excess: probabilities, less one at what is right
        with torch.autocast(words.device.type, enabled=False):
            of_hidden = product(excess, words)[:, :-1] * gradient  # (M, V) x (V, D + 1) -> (M, D)
            of_words = product(excess.t(), widened * gradient)  # (V, M) x (M, D + 1) -> (V, D + 1)
        of_weight, of_bias = (part.to(ctx.weight_dtype) for part in (of_words[:, :-1], of_words[:, -1]))
        return of_hidden.to(widened.dtype), of_weight.contiguous(), of_bias.contiguous(), None


def _with_column(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """(V, D), (V,) -> (V, D + 1), in another type."""
    wide = weight.new_empty(len(weight), weight.shape[1] + 1, dtype=dtype)
    wide[:, :-1], wide[:, -1] = weight, bias
    return wide


def _losses(logits: Tensor, probabilities: Tensor, places: Tensor, labels: Tensor) -> Tensor:
    """(M,) float32: the logarithms of what is right, from the logits only where the probability is as good as zero."""
    right = probabilities[places, labels].float()
    losses = -right.log()
    lost = (right < _LEAST).nonzero()[:, 0]
    if len(lost):
        losses[lost] = F.cross_entropy(logits[lost].float(), labels[lost], reduction="none")
    return losses
