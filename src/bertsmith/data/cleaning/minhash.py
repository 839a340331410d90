"""Words -> MinHash signatures (rensa, in Rust), and the keys by which likely near duplicates meet.

Two documents have the same value at a place of their signatures with a probability that is the Jaccard index of their
pairs of neighbouring words. A band is a few places together; documents that agree in one are compared (Leskovec et al.,
Mining of Massive Datasets, 3.4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.cleaning.words import Words
from bertsmith.data.random_bits import mix

PLACES = 128
_MISSED = 0.01
_SEED = 42
_ROWS_AT_ONCE = 1024  # rensa gives its rows as Python's numbers, 4 kB each


def signatures_of(words: Words) -> NDArray[np.uint32]:
    """(D, 128) uint32, a row a document. A row of a document without words says nothing."""
    from rensa import RMinHash

    pairs, starts = _pairs(words), words.starts.astype(np.uint64)
    signatures = np.empty((len(starts) - 1, PLACES), np.uint32)
    for first in range(0, len(signatures), _ROWS_AT_ONCE):
        borders = starts[first : first + _ROWS_AT_ONCE + 1]
        part = pairs[borders[0] : borders[-1]]
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(part, borders - borders[0], PLACES, _SEED)
        signatures[first : first + _ROWS_AT_ONCE] = matrix.to_rows()
    return signatures


def band_keys(signatures: NDArray[np.uint32], share: float) -> NDArray[np.uint32]:
    """(bands, D) uint32: documents with the same key in a band are compared."""
    bands, rows = bands_for(share)
    keys = np.empty((bands, len(signatures)), np.uint32)
    for band in range(bands):
        key = np.full(len(signatures), band, np.uint64)
        for place in range(band * rows, (band + 1) * rows):
            key = mix(key + signatures[:, place])
        keys[band] = key >> np.uint64(32)
    return keys


def bands_for(share: float) -> tuple[int, int]:
    """(bands, rows in a band): the fewest comparisons by which 99 of 100 pairs that are alike by `share` meet."""
    for rows in range(16, 1, -1):
        bands = int(np.ceil(np.log(_MISSED) / np.log1p(-min(share**rows, 1 - 1e-12))))
        if bands * rows <= PLACES:
            return bands, rows
    return PLACES, 1


def _pairs(words: Words) -> NDArray[np.uint64]:
    """(W,) uint64: of each word with the one that follows it; the last of a document stands alone.

    Pairs tell a few changed words from a form filled in anew better than runs of three or five words do
    (bench/RESULTS.md).
    """
    following = np.concatenate((words.hashes[1:], np.zeros(1, np.uint64)))[: len(words.hashes)]
    lasts = words.starts[1:] - 1
    following[lasts[np.diff(words.starts) > 0]] = 0
    return mix(words.hashes * np.uint64(0x9E3779B97F4A7C15) + following)
