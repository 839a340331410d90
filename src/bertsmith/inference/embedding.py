"""Texts of any length -> one vector each.

Letters: B windows of a batch, T tokens, D hidden width.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.data.windows import sliding_windows, token_budget_batches
from bertsmith.model.bert import Bert
from bertsmith.model.cores import at_once, side_by_side
from bertsmith.model.device import on_device
from bertsmith.text.wordpiece import WordPiece

Pooling = Literal["mean", "cls"]


def embed_texts(
    bert: Bert, tokenizer: WordPiece, texts: Sequence[str], *, pooling: Pooling, batch_tokens: int
) -> NDArray[np.float32]:
    """(len(texts), D); `Predictor.embed` says more."""
    bodies, owners = _windows(tokenizer, texts, bert.config.max_position_embeddings - 2)
    vectors = np.zeros((len(texts), bert.config.hidden_size), dtype=np.float32)
    weights = np.zeros((len(texts), 1), dtype=np.float32)
    batches = token_budget_batches([len(body) for body in bodies], batch_tokens, at_once=at_once(bert.device))
    pooled = side_by_side(lambda batch: _pooled(bert, [bodies[i] for i in batch], pooling), batches, bert.device)
    for batch, made in zip(batches, pooled, strict=True):
        for index, vector in zip(batch, made, strict=True):
            vectors[owners[index]] += vector * len(bodies[index])
            weights[owners[index]] += len(bodies[index])
    return np.divide(vectors, weights, out=vectors)


def _windows(tokenizer: WordPiece, texts: Sequence[str], room: int) -> tuple[list[list[int]], list[int]]:
    """Token ids with [CLS] and [SEP], window by window, and the text that each belongs to."""
    flat, lengths = tokenizer.encode_sentences(list(texts))
    bodies, owners = [], []
    for owner, ids in enumerate(np.split(flat, np.cumsum(lengths)[:-1]) if len(texts) else []):
        for window in sliding_windows(len(ids), room, overlap=room // 4):
            body = ids[window.start : window.stop].tolist()
            bodies.append([tokenizer.cls_id, *body, tokenizer.sep_id])
            owners.append(owner)
    long = int((lengths > room).sum())
    if long:
        warnings.warn(
            f"{long} of {len(texts)} texts are longer than the {room} tokens the model reads at once; "
            "each was read in overlapping windows, and its vector is their mean",
            stacklevel=4,
        )
    return bodies, owners


@torch.inference_mode()
def _pooled(bert: Bert, bodies: list[list[int]], pooling: Pooling) -> NDArray[np.float32]:
    """Vectors of a batch, (B, D)."""
    device = bert.device
    longest = max(map(len, bodies))
    input_ids = on_device(np.array([body + [0] * (longest - len(body)) for body in bodies], np.int64), device)
    lengths = on_device(np.array([[len(body)] for body in bodies], np.int64), device)
    position_ids = torch.arange(longest, device=device).expand_as(input_ids)  # (T,) -> (B, T)
    real = position_ids < lengths  # (B, T) bool
    hidden: Tensor = bert(
        input_ids,
        token_type_ids=torch.zeros_like(input_ids),
        position_ids=position_ids,
        sequence_ids=None if bool(real.all()) else real.long(),
        places=torch.arange(len(bodies), device=device) * longest if pooling == "cls" else None,
    ).float()
    pooled = hidden if pooling == "cls" else (hidden * real[..., None]).sum(dim=1) / lengths  # (B, T, D) -> (B, D)
    vectors: NDArray[np.float32] = pooled.cpu().numpy()
    return vectors
