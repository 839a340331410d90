"""`bertsmith bench train`: what it tells, and what it estimates; how fast anything is is not asserted."""

import json

import pytest

from bertsmith.benchmarks import step_side, train
from bertsmith.benchmarks.figures import Table, append_results
from bertsmith.benchmarks.flops import Counts
from bertsmith.benchmarks.needs import Needs, needs_of
from bertsmith.benchmarks.step_side import AS_IT_COMES, AT_ITS_BEST, Settings
from bertsmith.benchmarks.train import Plan, bench_train
from bertsmith.benchmarks.train_figures import SideFigures, SizeFigures, TrainFigures
from bertsmith.cli.main import main
from bertsmith.config import PretrainConfig
from bertsmith.errors import BertsmithError, ConfigError
from bertsmith.progress import Silent

SMALL = {"batch_size": 2, "max_length_tokens": 16, "precision": "float32"}
WORDS = ["--vocab-size", "200", "--batch-size", "2", "--max-length-tokens", "16", "--precision", "float32"]


def small_needs(size) -> Needs:
    settings = Settings(PretrainConfig(size=size, **SMALL), vocab_size=200)
    return needs_of(settings, settings.counts())


def test_the_command_measures_both_sides_and_keeps_the_figures(tmp_path, capsys, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("PATH", "")  # no compiler, which takes a minute
    monkeypatch.setattr(train, "ROUND_S", 0.0)
    kept = tmp_path / "new" / "results.md"
    argv = ["bench", "train", "--size", "tiny", "--peer", "--seconds", "0", *WORDS, "--append", str(kept), "--json"]
    assert main(argv) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["size"] == "tiny"
    assert found["tokens"] == 100e6
    assert found["hours"] == pytest.approx(100e6 / found["tokens_per_s"] / 3600)
    assert found["rounds"] == 3
    assert found["memory_bytes"] > 100e6
    peers = found["peers"]
    assert set(peers) == {AS_IT_COMES, AT_ITS_BEST}
    assert found["peer_tokens_per_s"] == max(peer["tokens_per_s"] for peer in peers.values())
    assert found["ratio"] == pytest.approx(found["tokens_per_s"] / found["peer_tokens_per_s"])
    useful = found["tokens_per_s"] * small_needs("tiny").flops_per_token
    assert found["share_of_limit"] == pytest.approx(useful / max(found["limits_flops_per_s"].values()))
    assert found["machine"]["torch"]
    assert [each["size"] for each in found["sizes"]] == ["tiny"]
    assert "no C++ compiler" in kept.read_text(encoding="utf-8")
    assert "| tiny | at its best" in kept.read_text(encoding="utf-8")


def test_sizes_that_do_not_fit_are_computed_from_one_that_does(monkeypatch, limits_given):
    tiny, mini = small_needs("tiny"), small_needs("mini")
    monkeypatch.setattr(train, "ROUND_S", 0.0)
    monkeypatch.setattr(
        train, "available_bytes", lambda device: (tiny.memory_bytes + mini.memory_bytes) / 2 / train.SAFE_SHARE
    )
    found = bench_train(Plan(PretrainConfig(**SMALL), size="mini", vocab_size=200, seconds=0), Silent())
    measured, estimated = found.sizes
    assert (measured.size, measured.estimated) == ("tiny", "")
    assert estimated.size == "mini"
    assert "GB are free" in estimated.estimated
    assert estimated.ours.rounds == 0
    assert estimated.flops_per_s == pytest.approx(measured.flops_per_s)
    by_tokens = measured.ours.tokens_per_s / estimated.ours.tokens_per_s
    assert by_tokens == pytest.approx(mini.flops_per_token / tiny.flops_per_token)
    assert estimated.ours.memory_bytes > measured.ours.memory_bytes
    assert found.values(1e6)["size"] == "tiny"  # what was measured stands at the top


def test_a_size_that_takes_too_long_is_measured_only_if_it_was_asked_for():
    mini = SizeFigures("mini", small_needs("mini"), SideFigures("ours", 100.0, 0.3, 1e9), estimated="")
    base = small_needs("base")
    for plan, estimated in [({}, True), ({"size": "base"}, False), ({"peer": True}, False)]:
        measurement = train._Measurement(Plan(PretrainConfig(**SMALL), vocab_size=200, **plan), Silent())
        reason = measurement._reason_not_to(base, 6.0, [mini])
        assert ("longer than --seconds leaves" in reason) is estimated
        assert measurement._reason_not_to(base, 1e9, [mini]) == ""
    assert Plan(PretrainConfig(), peer=True).sizes() == ("mini", "base")
    assert Plan(PretrainConfig()).sizes()[-1] == "large"


def test_without_room_for_the_smallest_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(train, "available_bytes", lambda device: 1000)
    with pytest.raises(BertsmithError, match=r"tiny cannot be measured.*lower --batch-size"):
        bench_train(Plan(PretrainConfig(**SMALL), vocab_size=200), Silent())


def test_a_peer_that_is_not_installed_is_named_with_the_next_step(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["bench", "train", "--peer"]) == 2
    assert "pip install transformers" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="vocab_size is 7"):
        bench_train(Plan(PretrainConfig(), vocab_size=7), Silent())


def test_memory_is_computed_from_the_shape():
    base, large = (
        needs_of(settings, settings.counts())
        for settings in (Settings(PretrainConfig(size=size), 30_522) for size in ("base", "large"))
    )
    assert base.parameters == 110_106_428  # BertForPreTraining of transformers
    assert base.memory_bytes == pytest.approx(4.46e9, rel=0.1)  # measured
    assert large.memory_bytes > 16 * large.parameters > 16 * 330e6


def figures(*, peers: bool, **options: str) -> TrainFigures:
    """Made up: mini at 1,000 tokens/s and 100 MFLOP a token, on a machine of 1 TFLOP/s."""
    sides = [SideFigures("fast", 500.0, 8.0, 1e9, "bfloat16", 1, "a note", 3), SideFigures("slow", 250.0, 16.0, 1e9)]
    ours = SideFigures("ours", 1000.0, 4.0, 2e9, "bfloat16", 1, "", 3)
    mini = SizeFigures("mini", Needs(10_000_000, 100e6, 2e9, 4e9), ours, tuple(sides) if peers else ())
    guess = SideFigures("ours", 100.0, 40.0, 9e9)
    base = SizeFigures("base", Needs(100_000_000, 1e9, 9e9, 9e9), guess, estimated="it needs too much")
    limits = {"float32": 0.5e12, "bfloat16": 1e12}
    return TrainFigures(PretrainConfig(**options), 30_522, Counts(4000, 128, 600, 32), limits, (mini, base))


def test_the_tables_tell_shares_hours_and_ratios(tmp_path):
    sizes, peers = figures(peers=True).tables(36e6)
    assert sizes.rows[0] == ("mini", "10.0 M", "1,000", "4.0 s", "2.0 GB", "100", "10%", "10 h 0 min")
    assert sizes.rows[1][2:] == ("~100", "~40.0 s", "~9.0 GB", "~100", "~10%", "~4 d 4 h")
    assert "base: it needs too much." in sizes.notes
    assert "15% masked" in sizes.title
    assert [row[-1] for row in peers.rows] == ["", "2.00 x", "4.00 x"]
    assert peers.notes == ("fast: a note.",)
    assert len(figures(peers=False).tables(1.0)) == 1
    path = tmp_path / "kept.md"
    for _ in range(2):
        append_results(path, [Table("A title", ("a", "b"), (("1", "2"),), ("so",))], command="x", machine={"cores": 2})
    assert path.read_text(encoding="utf-8").count("**A title**\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nso\n") == 2


def test_the_peer_is_called_what_it_is():
    usual, masked_alone, modern = (
        figures(peers=True, **options).tables(1.0)[1]
        for options in ({}, {"objective": "mlm"}, {"architecture": "modernbert"})
    )
    assert "BertForPreTraining of transformers" in usual.title
    assert "BertForMaskedLM of transformers" in masked_alone.title
    assert modern.notes[0] == "The peer is BERT of the same --size, ours ModernBERT: another model."


def test_options_that_decide_nothing_are_named_and_the_compiler_is_asked_for(capsys):
    assert main(["bench", "train", "--compile", "--device", "cpu", "--minutes", "3", "--shard"]) == 2
    said = capsys.readouterr().err
    assert "--minutes, --shard: idle" in said
    assert "--compile: the run is on the processor" in said
    assert main(["bench", "train", "--compile", "--device", "cpu", "--no-shard"]) == 2
    assert "idle" not in capsys.readouterr().err


def test_what_is_compiled_while_training_is_compiled_here(monkeypatch):
    compiled = []
    monkeypatch.setattr(step_side, "compile_layers", compiled.append)
    ours = step_side.Ours(Settings(PretrainConfig(size="tiny", compile=True, **SMALL), vocab_size=200))
    assert compiled == [ours.loop.model]


def test_the_hardest_peer_stands_at_the_top_of_the_json():
    found = figures(peers=True).values(1.0)
    assert (found["peer_tokens_per_s"], found["ratio"], found["share_of_limit"]) == (500.0, 2.0, 0.1)
    alone = figures(peers=False).values(1.0)
    assert (alone["peer_tokens_per_s"], alone["ratio"]) == (None, None)
