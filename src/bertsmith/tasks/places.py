"""Windows through the model, to the hidden states that a task reads.

Letters: R rows, T tokens of a row, r rows of a part, p places of a part, D hidden width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bertsmith.data.windows import WindowBatch
from bertsmith.model.bert import Bert
from bertsmith.model.device import on_device


def read_places(
    model: Bert, batch: WindowBatch, rows: slice, places: NDArray[np.int64], *, twice: bool = False
) -> Tensor:
    """What the head reads of some rows of a batch: `head_input` at the places, (p, D).

    Args:
        model: any.
        batch: the windows.
        rows: which of its R rows.
        places: (p,) indices into r * T.
        twice: keep nothing for the gradients but what is given, and compute it once more for them.
    """
    alone = bool((batch.sequence_ids[rows] == 1).all())  # each row one window, no padding: nothing to be blind to
    device = model.device
    names = ("token_type_ids", "position_ids", "sequence_ids")
    token_type_ids, position_ids, sequence_ids = (on_device(getattr(batch, name)[rows], device) for name in names)
    wanted = on_device(places, device)  # (p,)

    def compute(input_ids: Tensor) -> Tensor:
        return model.head_input(
            input_ids,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            sequence_ids=None if alone else sequence_ids,
            places=wanted,
        )

    given = on_device(batch.input_ids[rows], device)
    if not twice:
        return compute(given)
    # By the device of its argument `checkpoint` knows whose generator is to draw the same dropout again.
    read: Tensor = checkpoint(compute, given, use_reentrant=False)
    return read
