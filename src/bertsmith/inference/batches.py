"""Which texts go through the model together."""

from __future__ import annotations

from collections.abc import Sequence


def token_budget_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of texts in batches of similar length.

    Sorted by length, longest first, so that padding is small and a batch that is too large for the memory is
    met first. A batch holds as many texts as fit the budget once padded to its longest, and at least one.

    Args:
        lengths: tokens of each text.
        budget: tokens a batch, padding counted.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or longest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            longest = lengths[index]
        batches[-1].append(index)
    return batches


def sliding_windows(tokens: int, room: int, overlap: int) -> list[range]:
    """Windows that cover `tokens` tokens, each at most `room` long and `overlap` over the one before.

    The last window ends at the text's end and is as long as the others. A text that fits is one window.
    """
    if tokens <= room:
        return [range(tokens)]
    starts = [*range(0, tokens - room, room - overlap), tokens - room]
    return [range(start, start + room) for start in starts]
