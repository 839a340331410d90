"""Gaps: free memory goes back when the process is half as large again as a step needs, and not before."""

import numpy as np

from bertsmith.model import memory


def test_memory_goes_back_when_it_has_grown_by_half_and_what_a_step_needs_is_measured_anew(monkeypatch):
    sizes, trims = iter([100, 140, 160, 130, 180, 194, 196, 100, 196]), []
    monkeypatch.setattr(memory, "_resident_bytes", lambda: next(sizes))
    gaps = memory.Gaps()
    gaps._trim = trims.append
    seen = []
    for _ in range(9):
        gaps.after_step()
        seen.append(len(trims))
    # 160 is past 1.5 * 100; the next step tells that 130 are needed, so that 194 stay and 196 go; then 130 again.
    assert seen == [0, 0, 1, 1, 1, 1, 2, 2, 3]


def test_the_size_of_the_process_is_found():
    kept = np.ones(64 << 17)  # 64 MiB of numbers, all of them written
    assert kept.nbytes <= memory._resident_bytes() < 1 << 40
