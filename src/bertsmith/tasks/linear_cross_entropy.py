"""The last linear layer and its cross-entropy as one step, for vocabularies whose logits weigh more than the model.

Letters: M places, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bertsmith.model.linear import linear, product, product_dtype
from bertsmith.model.tiles import can_use_tiles
from bertsmith.model.whole import multiply_whole, wants_whole
from bertsmith.tasks.tiled_cross_entropy import tiled_cross_entropy

IGNORED = -100  # the label of a place that has no loss, as for `F.cross_entropy`
_LEAST = 1e-30  # of a probability that is exact: below 1e-38 they lose digits


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """The sum of `F.cross_entropy(F.linear(hidden, weight, bias).float(), labels)`, with fewer passes over (M, V).

    The probabilities, in the type of the product, take the place of the logits. Under autocast the products are in its
    type, elsewhere in that of `hidden`, or of whole numbers, see `model/whole.py`.

    Args:
        hidden: (M, D).
        weight: (V, D).
        bias: (V,).
        labels: (M,) int64 in [0, V), or IGNORED.

    Returns:
        () float32, in nats.

    Reference:
        Hsu et al. 2024, "Liger Kernel", section 3.2, for the idea of making the gradient beside the loss.
    """
    hidden = hidden.to(product_dtype(hidden))
    if can_use_tiles(hidden.dtype, hidden, weight):
        return tiled_cross_entropy(hidden, weight, bias, labels, IGNORED)
    loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, bias, labels)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
        words, biases = weight.to(hidden.dtype), bias.to(hidden.dtype)
        places, ignored = (which.nonzero()[:, 0] for which in (labels != IGNORED, labels == IGNORED))
        wanted = labels[places]
        with torch.autocast(hidden.device.type, enabled=False):  # which makes softmax float32 on CUDA
            logits = linear(hidden, words, biases)  # (M, D) -> (M, V)
            probabilities = torch.softmax(logits, -1, out=logits)
            right = probabilities[places, wanted].float()
            losses = -right.log()
            lost = (right < _LEAST).nonzero()[:, 0]
            if len(lost):
                again = linear(hidden[places[lost]], words, biases)
                losses[lost] = F.cross_entropy(again.float(), wanted[lost], reduction="none")
        ctx.weight_dtype, ctx.whole = weight.dtype, wants_whole(hidden, words)
        # Beside the label's share those in its group of whole numbers would be rounded to nothing: it is added apart.
        probabilities[places, wanted] -= probabilities[places, wanted] if ctx.whole else 1
        probabilities.index_fill_(0, ignored, 0)
        ctx.save_for_backward(hidden, words, probabilities, places, wanted, right - 1)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        hidden, words, excess, places, wanted, lacking = ctx.saved_tensors
        multiply = multiply_whole if ctx.whole else product
        with torch.autocast(words.device.type, enabled=False):
            # excess: probabilities, less one at what is right; with whole numbers `lacking` is that, and there is zero
            of_hidden = multiply(excess, words) * gradient  # (M, V) x (V, D) -> (M, D)
            of_weight = multiply(excess.t(), hidden * gradient)  # (V, M) x (M, D) -> (V, D)
            ones = excess.new_ones(1, len(excess))
            of_bias = product(ones, excess)[0] * gradient  # as a product it is the fastest sum
            if ctx.whole:
                lacking = (lacking * gradient)[:, None]
                of_hidden.index_add_(0, places, words[wanted] * lacking)
                of_weight.index_add_(0, wanted, hidden[places] * lacking)
                of_bias.index_add_(0, wanted, lacking[:, 0])
        return of_hidden.to(hidden.dtype), of_weight.to(ctx.weight_dtype), of_bias.to(ctx.weight_dtype), None
