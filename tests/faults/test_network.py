"""Two machines of one run, one of them cut off for a while: network namespaces, which only root may make.

Run by `make faults` alone: it takes a minute.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.test_rank_kills import finished, launched, steps_saved, words
from training.runs import weights, write_corpus

MACHINES = {"bertsmith-a": "10.77.0.1", "bertsmith-b": "10.77.0.2"}
CUT_S = 10.0
LOCAL = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]

pytestmark = pytest.mark.skipif("BERTSMITH_KILLS" not in os.environ, reason="a long fault run: make faults")


def ip(*given: str) -> None:
    subprocess.run(["ip", *given], check=True, capture_output=True)


@pytest.fixture
def machines() -> Iterator[None]:
    first, second = MACHINES
    try:
        for name in MACHINES:
            ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespaces can be made here: they need root, and iproute2")
    ip("link", "add", "to-b", "netns", first, "type", "veth", "peer", "name", "to-a", "netns", second)
    for (name, address), link in zip(MACHINES.items(), ("to-b", "to-a"), strict=True):
        ip("-n", name, "addr", "add", f"{address}/24", "dev", link)
        for each in (link, "lo"):
            ip("-n", name, "link", "set", each, "up")
    yield
    for name in MACHINES:
        ip("netns", "del", name)


def torchrun_on(name: str, link: str) -> list[str]:
    host = "true" if name == "bertsmith-a" else "false"
    inside = ["ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={link}", sys.executable]
    shape = "--nnodes 2 --nproc-per-node 1 --max-restarts 20 --rdzv-id one --rdzv-backend c10d"
    place = f"--rdzv-endpoint 10.77.0.1:29400 --rdzv-conf is_host={host} --local-addr {MACHINES[name]}"
    return [*inside, "-m", "torch.distributed.run", *shape.split(), *place.split()]


def test_a_machine_that_was_cut_off_comes_back_and_the_run_ends_right(tmp_path: Path, machines: None) -> None:
    corpus, out = write_corpus(tmp_path), tmp_path / "cut"
    said = tmp_path / "said.txt"
    finished([*LOCAL, *words(corpus, tmp_path / "straight", 0.1)], said)
    both = [
        launched([*torchrun_on(name, link), *words(corpus, out, 0.1)], said)
        for name, link in zip(MACHINES, ("to-b", "to-a"), strict=True)
    ]
    while steps_saved(out) < 8 and all(process.poll() is None for process in both):
        time.sleep(0.05)
    ip("-n", "bertsmith-b", "link", "set", "to-a", "down")
    time.sleep(CUT_S)
    assert steps_saved(out) < 60  # it was cut off while there was something to do
    ip("-n", "bertsmith-b", "link", "set", "to-a", "up")
    for process in both:
        assert process.wait() == 0, said.read_text()
    assert weights(out) == weights(tmp_path / "straight")
