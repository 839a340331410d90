"""Processes of one side each: the same threads for both, and no network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_side(module: str, told: Path, *, threads: int, shown: bool = False) -> str | None:
    """Run `python -m MODULE TOLD`.

    Args:
        module: of this folder's packages.
        told: the file that says what to do.
        threads: of each side.
        shown: let it write to the terminal; else what it wrote last is told if it fails.

    Returns:
        None if it went well, else what it said.
    """
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "GOMP_SPINCOUNT": "10000",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))),
    }
    command = [sys.executable, "-m", module, str(told)]
    done = subprocess.run(command, env=environment, capture_output=not shown, text=True, check=False)
    if done.returncode == 0:
        return None
    return f"exit status {done.returncode}" if shown else done.stderr[-2000:]
