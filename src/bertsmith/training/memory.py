"""Freed memory is kept for the next step instead of going back to the system."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of glibc's mallopt


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed; whether it could be asked to.

    A step makes and frees the same large tensors again and again. By default glibc maps each of them anew, and the
    system clears every page: keeping them makes a step of a small BERT about 1.3 times as fast on two cores.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library than glibc
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))
