"""`bertsmith bench prepare`: both sides read the same text."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from bertsmith.benchmarks.prepare import PrepareFigures, bench_prepare
from bertsmith.benchmarks.prepare_side import ALONE, OURS, encode_alone, prepare_whole
from bertsmith.cli.main import main
from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.progress import Silent
from bertsmith.text.corpus import list_sources, read_corpus
from bertsmith.text.train import train_tokenizer
from data.corpora import raw_text


def test_both_sides_make_the_same_number_of_tokens(tmp_path):
    (tmp_path / "text.txt").write_text(raw_text(0, documents=30), encoding="utf-8")
    corpus, reading = [str(tmp_path / "text.txt")], CorpusConfig(workers=1)
    pieces = train_tokenizer(corpus, config=TokenizerConfig(vocab_size=200), corpus_config=reading, reporter=Silent())
    pieces.save(tmp_path)
    texts = [document.text for document in read_corpus(list_sources(corpus), reading, skipped=[])]
    tokens = encode_alone(texts, tmp_path)
    assert tokens == prepare_whole(corpus, tmp_path, reading) > 1000
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]  # nothing is left behind


def test_the_command_tells_both_speeds(tmp_path, capsys):
    (tmp_path / "text.txt").write_text(raw_text(0, documents=30), encoding="utf-8")
    words = ["--runs", "2", "--workers", "1", "--vocab-size", "200", "--json"]
    assert main(["bench", "prepare", str(tmp_path / "text.txt"), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["documents"] == 30
    assert {name: len(times) for name, times in found["seconds"].items()} == {ALONE: 2, OURS: 2}
    assert found["ratio"] * found["peer_tokens_per_s"] == pytest.approx(found["tokens_per_s"])
    assert found["share_of_limit"] is None
    assert main(["bench", "prepare", str(tmp_path / "text.txt"), "--runs", "0"]) == 2
    assert "runs is 0" in capsys.readouterr().err


def test_progress_never_goes_back(tmp_path):
    class Told(Silent):
        def __init__(self) -> None:
            self.done: list[float] = []

        def track(self, label, *, total, unit):
            self.done.clear()
            return nullcontext(SimpleNamespace(update=lambda done, note="": self.done.append(done)))

    (tmp_path / "text.txt").write_text(raw_text(0, documents=5), encoding="utf-8")
    told, settings = Told(), {"tokenizer_config": TokenizerConfig(vocab_size=100), "tokenizer": None}
    bench_prepare([str(tmp_path)], runs=2, corpus_config=CorpusConfig(workers=1), reporter=told, **settings)
    assert told.done == [0, 0.5, 1, 1.5, 2]


def test_medians_make_the_ratio():
    found = PrepareFigures(10.0, 5, 2000, 2, {ALONE: [4.0, 2.0, 9.0], OURS: [1.0, 2.0, 1.0]}, 300_000_000)
    assert found.time_ratio == 0.25
    assert found.table().rows == ((ALONE, "4.00", "2.5", "500"), (OURS, "1.00", "10.0", "2,000"))
    assert "300 MB" in found.table().notes[1]
