"""Each machine of a run reads its own copy of the corpus, and one copy is damaged: its rank says so, and where."""

import shutil
import socket
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from torch.distributed import HashStore

from bertsmith.cli.main import main
from bertsmith.training import ranks
from faults.commands import small_run
from faults.test_rank_kills import launched
from training.runs import write_corpus

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


def test_a_copy_that_only_another_rank_reads_is_named(tmp_path: Path) -> None:
    words = "prepare --vocab-size 200 --workers 1 --held-out-share 0.1"
    corpus, said = tmp_path / "corpus-0", tmp_path / "said.txt"
    assert main([*words.split(), str(write_corpus(tmp_path)), "--out", str(corpus)]) == 0
    shutil.copytree(corpus, tmp_path / "corpus-1")
    (shard,) = (tmp_path / "corpus-1").glob("train-*.arrow")
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    command = small_run(tmp_path / "corpus-{rank}", tmp_path / "out", prepared=True)[2:]
    assert launched([*TORCHRUN, str(Path(__file__).with_name("own_copy.py")), *command], said).wait() != 0
    assert f"rank 1 of 2, on {socket.gethostname()}: {shard}: the shard's checksum" in said.read_text()


def test_a_mistake_that_all_ranks_find_is_said_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "HEARSAY", timedelta(seconds=0.1))
    store = HashStore()
    assert not ranks._said_by_first(1, store)
    assert ranks._said_by_first(0, store)
    assert ranks._said_by_first(1, store)
