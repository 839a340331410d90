"""The machine a measurement is made on: its name, its memory, and what a process takes of it."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType

import torch

_SAMPLE_S = 0.05


def describe(packages: Sequence[str]) -> dict[str, str | int]:
    """What a figure is worth little without: processor, cores, versions.

    Args:
        packages: whose versions matter; one that is not installed is left out.
    """
    versions = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {"cpu": processor(), "cores": usable_cores(), **gpu, "python": platform.python_version(), **versions}


def processor() -> str:
    """The processor's name, and what it has for bfloat16."""
    known = _colon_file(Path("/proc/cpuinfo"))
    fast = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in known.get("flags", "").split()]
    return " ".join([known.get("model name", platform.processor() or platform.machine()), *fast])


def usable_cores() -> int:
    """The cores that this process may use, which a container or `taskset` makes fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes(device: torch.device) -> int | None:
    """Memory that could be taken without pushing anything out, a GPU's own; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = _colon_file(Path("/proc/meminfo")).get("MemAvailable")
    if free is None:
        return None
    known = [int(free.split()[0]) * 1024]
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    with contextlib.suppress(OSError, ValueError):  # a container's own limit; "max" where there is none
        known.append(int(limit.read_text()) - int(used.read_text()))
    return min(known)


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory that this process has held so far, on a GPU the most that its tensors did."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = _colon_file(Path("/proc/self/status")).get("VmHWM")
    if peak is not None:  # getrusage would count what the parent held when it started this process
        return int(peak.split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class PeakOfAll:
    """While the block runs: the most memory of its own (anonymous) that a process and all below it held together.

    Args:
        process: its number; of this process if not given.

    Attributes:
        bytes: the peak, sampled every 50 ms; 0 where there is no /proc.
    """

    def __init__(self, process: int | None = None) -> None:
        self.bytes = 0
        self._process = process or os.getpid()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakOfAll:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.bytes = max(self.bytes, _anonymous_bytes(self._process))
            if self._over.wait(_SAMPLE_S):
                return


def _anonymous_bytes(process: int) -> int:
    """Of a process and all below it; one that has just ended counts as nothing."""
    home = Path(f"/proc/{process}")
    own = int(_colon_file(home / "status").get("RssAnon", "0").split()[0]) * 1024
    try:
        lists = [thread.read_text() for thread in home.glob("task/*/children")]
    except OSError:
        lists = []
    return own + sum(_anonymous_bytes(int(child)) for children in lists for child in children.split())


def _colon_file(path: Path) -> dict[str, str]:
    """`name: value` lines of a file of /proc, of equal names the last; empty where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}
