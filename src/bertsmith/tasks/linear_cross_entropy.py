"""The last linear layer and its cross-entropy as one step, for vocabularies whose logits weigh more than the model.

Letters: M places, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


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
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            cast = weight.to(hidden.dtype)
            logits = F.linear(hidden, cast, bias.to(hidden.dtype))  # (M, D) -> (M, V)
        places = torch.arange(len(labels), device=labels.device)
        probabilities = torch.softmax(logits, -1)
        # The logarithm of the sum of exponents, by way of the largest one: its probability is never zero.
        log_sum = logits.amax(-1).float() - probabilities.amax(-1).float().log()
        right = logits[places, labels].float()
        probabilities[places, labels] -= 1
        ctx.save_for_backward(hidden, cast, probabilities)
        ctx.weight_dtype = weight.dtype
        return (log_sum - right).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        hidden, weight, excess = ctx.saved_tensors  # excess: probabilities, less one at what is right
        with torch.autocast(hidden.device.type, enabled=False):
            of_hidden = (excess @ weight) * gradient  # (M, V) -> (M, D)
            of_weight = excess.t() @ (hidden * gradient)  # (V, M) x (M, D) -> (V, D)
            # As a product, since sums of columns are slow.
            of_bias = gradient.to(excess.dtype).expand(1, len(excess)) @ excess  # (1, M) x (M, V) -> (1, V)
        return of_hidden.to(hidden.dtype), of_weight.to(ctx.weight_dtype), of_bias[0].to(ctx.weight_dtype), None
