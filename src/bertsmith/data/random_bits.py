"""Counter-based randomness: every draw is a function of a key, so that resuming is a seek and not a replay.

Reference:
    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox, through numpy);
    Steele, Lea and Flood 2014, SplitMix64's finaliser, for draws that are wanted a token each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

UInt64s = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def generator(*key: int | str) -> np.random.Generator:
    """A numpy generator of its own for this key, whatever was drawn before."""
    return np.random.Generator(np.random.Philox(key=_digest(key)))


def stream_key(*key: int | str) -> np.uint64:
    """The 64-bit name of a stream of draws, for `uniform`."""
    return np.uint64(_digest(key) & 0xFFFFFFFFFFFFFFFF)


def mix(values: UInt64s) -> UInt64s:
    """SplitMix64's finaliser: each 64-bit value becomes one that looks unrelated."""
    with np.errstate(over="ignore"):
        values = values + _GOLDEN
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def text_hashes(texts: Iterable[str]) -> UInt64s:
    """128 bits of a hash of each text, as (n, 2)."""
    digests = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts)
    return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)


def uniform(key: np.uint64, rows: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """A number in [0, 1) for each (row, place), the same whatever else is asked with it.

    Args:
        key: the stream, from `stream_key`.
        rows: (n,) non-negative.
        places: (n,) non-negative, below 2**20.

    Returns:
        (n,) float64 with 53 random bits each.
    """
    counters = (rows.astype(np.uint64) << np.uint64(20)) | places.astype(np.uint64)
    return (mix(mix(counters) ^ key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _digest(key: tuple[int | str, ...]) -> int:
    text = "\x1f".join(str(part) for part in key).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
