"""The measurement of serving beside a peer; what it measures is no test."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

import serve


def test_a_server_that_ends_at_once_ends_the_measurement(monkeypatch):
    monkeypatch.setattr(serve.sys, "executable", "/bin/false")
    said = r"peer: python -m serving\.peer .*no server came of it \(status 1\)"
    with pytest.raises(SystemExit, match=said), serve.running("peer", "folder"):
        pass
