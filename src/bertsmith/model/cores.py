"""Prediction on several cores of a processor: a batch on each, not all of them on one batch.

Products of a few hundred tokens are too small to be divided: cores would wait for one another at the end of each, and
the longer the busier the machine is with something else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

Item = TypeVar("Item")
Made = TypeVar("Made")


def at_once(device: torch.device) -> int:
    """How many batches `side_by_side` computes at once."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def side_by_side(work: Callable[[Item], Made], items: Sequence[Item], device: torch.device) -> Iterator[Made]:
    """What `work` makes of each item, in order, under the caller's autocast; on several cores without gradients.

    Args:
        work: called by several threads at once. What it returns is kept until it is asked for.
        items: batches.
        device: where they are computed; a GPU takes one after the other.
    """
    cores = at_once(device)
    if min(cores, len(items)) < 2:
        return map(work, items)
    mixed, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def alone(item: Item) -> Made:
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=mixed):  # both are a thread's own
            return work(item)

    return _cores(cores).map(alone, items)


@cache
def mind_forks() -> None:
    """From now on a process that is forked off this one computes on one core: threads, ours and OpenMP's, are not
    copied, and it would wait for them for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    _cores.cache_clear()
    torch.set_num_threads(1)


@cache
def _cores(count: int) -> ThreadPoolExecutor:
    """So many threads, each of which computes by itself."""
    met = Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first question gives it what others have
        torch.set_num_threads(1)
        met.wait()

    pool = ThreadPoolExecutor(count, "bertsmith-core", initializer=begin)
    for _ in range(count):
        pool.submit(int)
    met.wait()
    torch.set_num_threads(count)  # `set_num_threads` also tells threads that are yet to come
    return pool
