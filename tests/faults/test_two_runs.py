"""Two runs started on one folder: the second is refused and told of the first, which does not notice."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data import prepare
from bertsmith.data.prepare import prepare_corpus
from bertsmith.errors import BertsmithError
from bertsmith.files import locked
from bertsmith.progress import Silent
from faults.commands import small_run
from training.runs import run, weights, write_corpus


def prepared(corpus: Path, out: Path) -> None:
    prepare_corpus(
        [str(corpus)],
        out,
        tokenizer=TokenizerConfig(vocab_size=200),
        config=CorpusConfig(workers=1),
        seed=0,
        reporter=Silent(),
    )


def test_the_second_run_is_refused_and_the_first_ends_as_it_would(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path), tmp_path / "run"
    run(corpus, tmp_path / "straight")
    first = subprocess.Popen([sys.executable, *small_run(corpus, out)], stdout=subprocess.DEVNULL)
    lock = out / "training/lock"
    while first.poll() is None and not (lock.exists() and lock.stat().st_size):  # made, and then taken
        time.sleep(0.01)
    since = (
        rf"process {first.pid} on {re.escape(socket.gethostname())}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}}"
    )
    with pytest.raises(BertsmithError, match=rf"another run is writing to this folder \({since}\)"):
        run(corpus, out)
    assert first.wait() == 0
    assert weights(out) == weights(tmp_path / "straight")


def test_a_second_preparing_is_refused_too(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path), tmp_path / "corpus"

    with locked(out, out / "building/lock"):
        with pytest.raises(BertsmithError, match=rf"{out}: another run .*process {os.getpid()} on .*, since \d"):
            prepared(corpus, out)
        assert [path.name for path in out.rglob("*")] == ["building", "lock"]
    prepared(corpus, out)
    assert (out / "manifest.json").exists()


def test_a_second_preparing_that_looked_just_before_the_first_ended_leaves_all_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, out = write_corpus(tmp_path), tmp_path / "corpus"
    prepared(corpus, out)
    made = {path: path.stat().st_mtime_ns for path in out.glob("*.*")}
    looked = prepare.is_prepared_place
    answers = iter([False])
    monkeypatch.setattr(prepare, "is_prepared_place", lambda place: next(answers, None) is None and looked(place))
    prepared(corpus, out)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.*")} == made
    assert not (out / "building").exists()
