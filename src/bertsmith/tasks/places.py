"""Windows through the model, to the hidden states that a task reads.

Letters: R rows, T tokens of a row, r rows of a part, p places of a part, D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.data.windows import WindowBatch
from bertsmith.model.bert import Bert


def read_places(model: Bert, batch: WindowBatch, rows: slice, places: NDArray[np.int64]) -> Callable[[], Tensor]:
    """Some rows of a batch as a function that computes what the head reads of them.

    Args:
        model: any.
        batch: the windows.
        rows: which of its R rows.
        places: (p,) indices into r * T.

    Returns:
        A function that gives `head_input` at the places, (p, D).
    """
    device = model.encoder.embeddings.word.weight.device
    names = ("input_ids", "token_type_ids", "position_ids", "sequence_ids")
    input_ids, *others = (torch.from_numpy(getattr(batch, name)[rows]).to(device) for name in names)
    token_type_ids, position_ids, sequence_ids = others
    alone = bool((sequence_ids == 1).all())  # each row one window without padding: nothing to be blind to
    wanted = torch.from_numpy(places).to(device)  # (p,)

    def compute() -> Tensor:
        return model.head_input(
            input_ids,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            sequence_ids=None if alone else sequence_ids,
            places=wanted,
        )

    return compute
