"""Texts of any length -> one vector each.

Letters: D hidden width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from bertsmith.data.windows import Window, sliding_windows
from bertsmith.tasks.reader import Float32s, Pooling, Reader
from bertsmith.text.wordpiece import WordPiece


def embed_texts(
    reader: Reader, tokenizer: WordPiece, texts: Sequence[str], *, pooling: Pooling, batch_tokens: int
) -> Float32s:
    """(len(texts), D); `Predictor.embed` says more."""
    windows, owners = _windows(tokenizer, texts, reader.config.max_position_embeddings - 2)
    vectors = np.zeros((len(texts), reader.config.hidden_size), dtype=np.float32)
    weights = np.zeros((len(texts), 1), dtype=np.float32)

    def read(batch: list[int]) -> Iterator[tuple[int, Float32s]]:
        return zip(batch, reader.vectors([windows[index] for index in batch], pooling), strict=True)

    for index, vector in chain.from_iterable(reader.each_batch(read, windows, batch_tokens)):
        tokens = len(windows[index].input_ids)
        vectors[owners[index]] += vector * tokens
        weights[owners[index]] += tokens
    return np.divide(vectors, weights, out=vectors)


def _windows(tokenizer: WordPiece, texts: Sequence[str], room: int) -> tuple[list[Window], list[int]]:
    """The windows of all texts, and the text that each belongs to."""
    flat, lengths = tokenizer.encode_sentences(list(texts))
    ends = np.array([tokenizer.cls_id, tokenizer.sep_id], np.int32)
    first = np.zeros(1, np.int32)
    windows, owners = [], []
    for owner, ids in enumerate(np.split(flat, np.cumsum(lengths)[:-1]) if len(texts) else []):
        for part in sliding_windows(len(ids), room, overlap=room // 4):
            input_ids = np.concatenate((ends[:1], ids[part.start : part.stop], ends[1:]))
            windows.append(Window(input_ids, np.zeros(len(input_ids), np.uint8), first))
            owners.append(owner)
    long = int((lengths > room).sum())
    if long:
        warnings.warn(
            f"{long} of {len(texts)} texts are longer than the {room} tokens the model reads at once; "
            "each was read in overlapping windows, and its vector is their mean",
            stacklevel=4,
        )
    return windows, owners
