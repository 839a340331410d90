"""A batch's tokens one after the other, without padding, as encoders for prediction on a processor go through them.

Letters: B rows of the batch, T tokens of a row, N tokens of all sequences, D hidden width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bertsmith.model.attention import sequence_lengths
from bertsmith.model.encoder import check_length


class FlatTokens(NamedTuple):
    """Tokens of some sequences.

    Attributes:
        ids: three (N,), what they are: of their words, segments and positions.
        at: (N,) their places in B * T; None if that is all.
        lengths: tokens of each sequence.
        shape: (B, T).
    """

    ids: tuple[Tensor, Tensor, Tensor]
    at: Tensor | None
    lengths: list[int]
    shape: tuple[int, ...]

    def rows(self, hidden: Tensor) -> Tensor:
        """(N, D) -> (B, T, D) float32, zeros at padding."""
        rows = hidden.float()
        if self.at is not None:
            rows = rows.new_zeros(self.shape[0] * self.shape[1], rows.shape[1]).index_copy_(0, self.at, rows)
        return rows.view(*self.shape, -1)

    def among(self, places: Tensor) -> Tensor:
        """(P,) indices into B * T, of tokens -> (P,) into N."""
        if self.at is None:
            return places
        found = torch.searchsorted(self.at, places)
        if not torch.equal(self.at[found.clamp(max=len(self.at) - 1)], places):
            raise IndexError("a place that is asked for is padding, or beyond the batch")
        return found


def flat_tokens(
    input_ids: Tensor,
    token_type_ids: Tensor,
    position_ids: Tensor,
    sequence_ids: Tensor | None,
    *,
    longest: int,
) -> FlatTokens:
    """Four (B, T) -> their tokens; each sequence's lie side by side. Without `sequence_ids` a row is one sequence.

    Raises:
        ShapeError: rows of more tokens than `longest`, the model's positions.
    """
    check_length(input_ids, longest)
    given = (input_ids, token_type_ids, position_ids)
    words, segments, positions = (each.expand_as(input_ids).flatten() for each in given)  # (B, T) -> (B * T,)
    shape = tuple(input_ids.shape)
    if sequence_ids is None:
        return FlatTokens((words, segments, positions), None, [shape[1]] * shape[0], shape)
    at = (sequence_ids.flatten() > 0).nonzero().flatten()  # (N,)
    return FlatTokens((words[at], segments[at], positions[at]), at, sequence_lengths(sequence_ids), shape)
