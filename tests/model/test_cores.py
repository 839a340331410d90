"""Batches side by side on the cores of a processor."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from bertsmith.model.cores import side_by_side

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_answers_come_in_order_and_each_thread_computes_alone(two_threads: None) -> None:
    def work(index: int) -> tuple[int, int, bool]:
        (torch.ones(256, 256) @ torch.ones(256, 256)).sum()
        return index, torch.get_num_threads(), torch.is_inference_mode_enabled()

    assert list(side_by_side(work, range(9), CPU)) == [(index, 1, True) for index in range(9)]
    assert torch.get_num_threads() == 2


def test_the_caller_s_autocast_holds(two_threads: None) -> None:
    def dtype(_: int) -> torch.dtype:
        return (torch.ones(4, 4) @ torch.ones(4, 4)).dtype

    assert set(side_by_side(dtype, range(3), CPU)) == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        assert set(side_by_side(dtype, range(3), CPU)) == {torch.bfloat16}


FORKS = """
import os, signal
import torch
from bertsmith.model.cores import side_by_side
from bertsmith.model.device import choose_device

def work(item):
    return float((torch.ones(512, 512) @ torch.ones(512, 512)).sum()) + item

torch.set_num_threads(2)
cpu, here = choose_device("cpu"), [512.0**3 + item for item in range(4)]
assert work(0) == here[0]  # on two threads of OpenMP
if BATCHES:
    assert list(side_by_side(work, range(4), cpu)) == here  # on two threads of ours
child = os.fork()
if not child:
    signal.alarm(60)
    found = torch.get_num_threads() == 1 and [work(item) for item in range(4)] == here
    torch.set_num_threads(2)
    os._exit(0 if found and list(side_by_side(work, range(4), cpu)) == here else 3)
assert os.waitpid(child, 0)[1] == 0
assert torch.get_num_threads() == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("batches", [False, True])
def test_a_forked_process_whose_threads_stayed_behind_computes_by_itself(batches: bool) -> None:
    subprocess.run([sys.executable, "-c", FORKS.replace("BATCHES", str(batches))], timeout=120, check=True)


def test_an_error_reaches_the_caller(two_threads: None) -> None:
    def fail(index: int) -> int:
        if index == 2:
            raise ValueError("batch 2")
        return index

    with pytest.raises(ValueError, match="batch 2"):
        list(side_by_side(fail, range(4), CPU))


@pytest.mark.parametrize("items", [[], [7]])
def test_nothing_and_one_batch_need_no_threads(two_threads: None, items: list[int]) -> None:
    assert list(side_by_side(lambda item: (item, torch.get_num_threads()), items, CPU)) == [(item, 2) for item in items]
