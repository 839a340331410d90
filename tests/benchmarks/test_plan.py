"""`bertsmith plan`: its arithmetic against numbers by hand, and what it is told by; how fast anything is, is not."""

import gzip
import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from bertsmith.benchmarks import train
from bertsmith.benchmarks.flops import Counts
from bertsmith.benchmarks.needs import Memory, memory_of, model_of, needs_of
from bertsmith.benchmarks.plan import Ranks, Row, RunPlan, Storage, Work, on_ranks
from bertsmith.benchmarks.plan_inputs import _row
from bertsmith.benchmarks.step_side import Settings
from bertsmith.cli.main import main
from bertsmith.config import PretrainConfig
from bertsmith.data.sampler import Position, RowSampler
from bertsmith.data.shards import open_corpus
from bertsmith.errors import ConfigError
from bertsmith.plan_config import PlanConfig
from data.corpora import raw_text

ON_64 = ["plan", "--corpus-tokens", "100e9", "--size", "base", "--gpus", "64"]


def by_hand(**changes) -> RunPlan:
    """Two passes over a million tokens; four ranks of 1,000 tokens/s on links of 1 MB/s."""
    work = Work(1e6, epochs=2.0, steps=None, batch_rows=40, micro_rows=5, row=Row(tokens=100, corpus_tokens=80))
    ranks = Ranks(4, 1000.0, network_bytes_per_s=1e6, overlap_share=0.5)
    memory = Memory(100e3, 400e3, 400e3, 800e3, 200e3, activations=500e3, buckets=400e3)
    storage = Storage(9e6, 5e6, keep=2, every_s=120.0, every_steps=None, prepare_bytes_per_s=2500.0)
    parts = {"work": work, "ranks": ranks, "memory": memory, "storage": storage}
    for name, values in changes.items():
        parts[name] = replace(parts[name], **values)
    return RunPlan(**parts)


def test_tokens_steps_and_hours_by_hand():
    plan = by_hand()
    assert (plan.steps, plan.rows) == (625, 25_000)  # 2 x 1,000,000 / 80 rows, 40 a step
    assert plan.epochs == 2.0
    assert plan.tokens_per_step == 4000.0
    assert plan.compute_s == 1.0  # 1,000 tokens a rank
    assert plan.all_reduce_bytes == 600_000  # 2 x 3/4 of the gradients
    assert plan.all_reduce_s == pytest.approx(0.6)
    # Half of it hides; the last micro-batch's 500 tokens have a backward pass of a third of a second.
    assert plan.waiting_s == pytest.approx(0.3)
    assert plan.step_s == pytest.approx(1.3)
    assert plan.tokens_per_s == pytest.approx(4000 / 1.3)
    assert plan.hours == pytest.approx(625 * 1.3 / 3600)
    assert plan.cost is None
    assert by_hand(ranks={"price_per_hour": 3.0}).cost == pytest.approx(12 * plan.hours)


def test_no_more_of_the_all_reduce_hides_than_the_last_backward_pass_is_long():
    assert by_hand(ranks={"overlap_share": 1.0}).waiting_s == pytest.approx(0.6 - 1 / 3)
    assert by_hand(ranks={"overlap_share": 0.0}).waiting_s == pytest.approx(0.6)
    alone = by_hand(ranks={"count": 1})
    assert (alone.all_reduce_bytes, alone.waiting_s, alone.step_s) == (0, 0, 4.0)


def test_steps_decide_where_they_are_given_and_the_last_step_is_whole():
    plan = by_hand(work={"steps": 25, "epochs": None})
    assert (plan.steps, plan.rows, plan.epochs) == (25, 1000, pytest.approx(0.08))
    assert by_hand(work={"epochs": 0.5 + 1e-5}).steps == 157  # 6,250.125 rows are 156.25 steps
    assert by_hand(work={"epochs": 1e-9}).steps == 1


def test_disk_and_checkpoint_traffic_by_hand():
    plan = by_hand()
    assert plan.checkpoint_bytes == 1.2e6  # weights, and what the optimizer keeps
    assert plan.checkpoint_bytes_per_hour == 30 * 1.2e6
    assert plan.checkpoints_kept_bytes == 3 * 1.2e6
    assert plan.disk_bytes == 9e6 + 2 * 5e6  # preparing; the checkpoints are less
    assert plan.prepare_hours == 1.0
    prepared = by_hand(storage={"text_bytes": 0.0})
    assert (prepared.prepare_hours, prepared.disk_bytes) == (0.0, 5e6 + 3.6e6)
    assert by_hand(storage={"every_steps": 100}).checkpoint_every_s == pytest.approx(130)


def test_memory_that_does_not_fit_and_what_would():
    assert by_hand().fits is None
    plan = by_hand(ranks={"memory_bytes": 3e6})
    assert plan.memory.total == 2.8e6
    assert plan.fits is False  # 2.7 MB, a tenth less than there is, is not enough
    assert plan.fitting_micro_rows() == 4  # 0.4 MB are left, and a row takes 0.1
    assert by_hand(ranks={"memory_bytes": 3.2e6}).fits
    small = by_hand(ranks={"memory_bytes": 1.3e6})
    assert plan.sharded_memory_bytes == 0.6e6 + 0.4e6 + 1.8e6 / 4  # each rank keeps the whole weights beside its part
    assert (small.fitting_micro_rows(), small.fitting_micro_rows(sharded=True)) == (
        0,
        2,
    )  # 0.1 + 0.4 + 1.8 / 4 + 2 x 0.1


@pytest.mark.parametrize(("optimizer", "moments"), [("adamw", 2), ("muon", 1)])
def test_memory_of_tiny_by_hand(optimizer, moments):
    config = PretrainConfig(size="tiny", optimizer=optimizer, objective="mlm", precision="bfloat16")
    model = model_of(Settings(config, 500))
    memory = memory_of(model, config, Counts(tokens=1000, row_length=64, masked=150, sequences=0), rows=16)
    matrices = 2 * (4 * 128 * 128 + 2 * 128 * 512)
    others = sum(each.numel() for each in model.parameters()) - matrices
    assert memory.weights == memory.gradients == 4 * (matrices + others)
    assert memory.optimizer == 4 * (moments * matrices + 2 * others)
    assert memory.copies == 2 * (matrices + others)
    places = 16 * 64
    assert memory.activations == 2 * places * (38 * 128 + 6 * 2 * 64) + 25 * 150 * 500
    assert memory.buckets == 0
    assert on_ranks(memory, 1) == memory
    assert on_ranks(memory, 2).total == memory.total + memory.gradients
    for precision in ("float32", "int16"):
        plain = memory_of(model, config.but(precision=precision), Counts(1000, 64, 150, 0), rows=16)
        assert (plain.copies, plain.activations) == (0, pytest.approx(1.6 * memory.activations))


@pytest.mark.parametrize("objective", ["mlm", "mlm+nsp"])
def test_a_pass_has_as_many_rows_as_the_sampler_deals(objective):
    settings = Settings(PretrainConfig(objective=objective, max_length_tokens=512), 1000)
    sampler = settings.sampler()
    rows = sampler.corpus.tokens("train") / _row(settings, None).corpus_tokens
    assert rows == pytest.approx(round(rows))
    assert sampler.take(Position(), round(rows))[1] == Position(epoch=1)


def planned(capsys, *argv: object) -> dict:
    assert main([*map(str, argv), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_a_run_on_gpus_that_nobody_has_measured(capsys):
    found = planned(capsys, *ON_64)
    figures = found["metrics"]
    assert (found["ranks"], found["rank"], found["batch_size"]) == (64, "A100 GPU", 64 * 64)
    assert figures["corpus_tokens"] == 100e9
    assert figures["rows"] == figures["steps"] * 4096
    assert figures["epochs"] == pytest.approx(1, abs=1e-4)
    assert figures["tokens"] == pytest.approx(figures["steps"] * figures["tokens_per_step"])
    assert figures["hours"] == pytest.approx(figures["tokens"] / figures["tokens_per_s"] / 3600)
    assert figures["days"] == pytest.approx(figures["hours"] / 24)
    assert sum(found["memory_per_rank"].values()) == figures["memory_per_rank_bytes"]
    assert figures["all_reduce_bytes"] == pytest.approx(2 * 63 / 64 * found["memory_per_rank"]["gradients"])
    assert figures["text_bytes"] == pytest.approx(445e9)
    assert figures["prepared_bytes"] == pytest.approx(230e9)
    assert found["fits"] is True
    assert any("No GPU was measured" in each for each in found["assumptions"])
    assert any("--batch-size 4096" in each for each in found["assumptions"])
    half = planned(capsys, *ON_64, "--gpu-utilisation", "0.09", "--vocab-size", 16_384)["metrics"]
    assert half["compute_s"] == pytest.approx(2 * figures["compute_s"])
    wide = planned(capsys, *ON_64, "--vocab-size", 65_537)["metrics"]
    assert wide["prepared_bytes"] == pytest.approx(430e9)  # four bytes an id


def test_the_table_tells_the_assumptions(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    small = ["--gpu", "l4", "--gpu-memory-gb", "10", "--max-length-tokens", "512", "--price-per-hour", "2"]
    assert main([*ON_64, *small]) == 0
    shown = capsys.readouterr().out
    assert "BERT base, mlm+nsp, rows of 512, vocabulary 16,384, 64 x L4 GPU" in shown
    for line in (
        "100 G tokens",
        "cost",
        "memory a rank",
        "checkpoint",
        "DOES NOT FIT into 10 GB: say --micro-batch-size",
    ):
        assert line in shown
    assert "\nAssumed\n- " in shown
    assert "say --shard and --micro-batch-size" in planned(capsys, *ON_64, "--gpu-memory-gb", "2.5")["advice"]
    assert "cards with more memory" in planned(capsys, *ON_64, "--gpu-memory-gb", "1")["advice"]


def test_a_given_speed_is_neither_measured_nor_assumed(capsys, monkeypatch):
    monkeypatch.setattr("bertsmith.benchmarks.plan_inputs.bench_train", None)
    words = ["plan", "--corpus-tokens", "3_000_000", "--processes", "2", "--tokens-per-s", "5000", "--steps", "10"]
    found = planned(capsys, *words, "--batch-size", "64")
    assert (found["metrics"]["steps"], found["batch_size"], found["micro_batch_size"]) == (10, 64, 32)
    assert found["metrics"]["corpus_tokens"] == 3e6
    assert found["metrics"]["compute_s"] == pytest.approx(found["metrics"]["tokens_per_step"] / 2 / 5000)
    assert (found["fits"], found["rank"]) == (None, "process")


def test_a_corpus_is_measured_where_it_lies_and_so_is_this_machine(tmp_path, capsys, monkeypatch, limits_given):
    text = tmp_path / "notes.txt"
    text.write_text(raw_text(0, documents=60))
    monkeypatch.setattr(train, "ROUND_S", 0.0)
    run = ["--size", "tiny", "--batch-size", "4", "--max-length-tokens", "32", "--precision", "float32", "--seconds", 0]
    raw = planned(capsys, "plan", "--corpus", text, "--vocab-size", "200", *run)
    assert raw["metrics"]["text_bytes"] == text.stat().st_size
    assert raw["metrics"]["corpus_tokens"] == pytest.approx(text.stat().st_size / 4.45)
    assert raw["metrics"]["tokens_per_s"] > 0
    assert any("measured on this machine" in each for each in raw["assumptions"])
    assert main(["prepare", str(text), "--out", str(tmp_path / "corpus"), "--vocab-size", "200", "--workers", "1"]) == 0
    capsys.readouterr()
    found = planned(capsys, "plan", "--corpus", tmp_path / "corpus", *run, "--tokens-per-s", 100)
    corpus = open_corpus(tmp_path / "corpus")
    assert found["metrics"]["corpus_tokens"] == corpus.tokens("train")
    assert found["vocab_size"] == len(corpus.token_counts())
    settings = Settings(PretrainConfig(objective="mlm+nsp", max_length_tokens=32), found["vocab_size"])
    sampler = RowSampler(corpus, "train", settings.sampler().sampling)
    position, steps = Position(), 0
    while position.epoch == 0:
        position, steps = sampler.take(position, 4)[1], steps + 1
    assert found["metrics"]["steps"] == pytest.approx(steps, rel=0.2)  # its rows, not those of other text
    shards = sum(path.stat().st_size for path in corpus.folder.glob("*-*.arrow"))
    assert (found["metrics"]["prepared_bytes"], found["metrics"]["prepare_hours"]) == (shards, 0)
    (tmp_path / "packed.txt.gz").write_bytes(gzip.compress(b"text"))
    assert main(["plan", "--corpus", str(tmp_path / "packed.txt.gz")]) == 2
    assert "its size does not tell" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "how much text is there? Give --corpus-tokens"),
        (["--corpus-tokens", "0"], 'option "corpus_tokens": Input should be greater than 0'),
        (["--corpus-tokens", "-1e9"], "greater than 0"),
        (["--corpus-tokens", "nan"], "corpus_tokens"),
        (["--corpus-tokens", "many"], "unable to parse string as a number (got 'many')"),
        (["--corpus-tokens", "1e9", "--corpus", "notes"], "corpus and corpus_tokens are both given"),
        (["--corpus", "nowhere"], "nowhere"),
        (["--corpus-tokens", "1e9", "--gpus", "0"], 'option "gpus"'),
        (["--corpus-tokens", "1e9", "--gpus", "2", "--processes", "2"], "processes and gpus are both given"),
        (["--corpus-tokens", "1e9", "--gpu", "h100"], "--gpu without --gpus"),
        (["--corpus-tokens", "1e9", "--gpus", "2", "--gpu-utilisation", "1.5"], "gpu_utilisation"),
        (["--corpus-tokens", "1e9", "--gpus", "2", "--precision", "float32"], "--gpu-tflops in float32"),
        (["--corpus-tokens", "1e9", "--gpus", "2", "--precision", "int16"], "int16 is for processors"),
        (["--corpus-tokens", "1e9", "--gpus", "64", "--batch-size", "100"], "do not divide over 64 ranks. Say 128"),
        (["--corpus-tokens", "1e9", "--minutes", "5"], "the time is what a plan tells"),
        (["--corpus-tokens", "1e9", "--long-share", "0.1"], "--long-share: a plan knows rows of one length"),
        (["--corpus-tokens", "1e9", "--steps", "5", "--epochs", "2"], "both a budget"),
        (["--corpus-tokens", "1e9", "--network-gbps", "0"], "network_gbps"),
        (["--corpus-tokens", "1e9", "--tokens-per-s", "-1"], "tokens_per_s"),
    ],
)
def test_wrong_words_are_one_clear_complaint(words, complaint, capsys):
    assert main(["plan", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert complaint in captured.err
    assert len(captured.err.strip().splitlines()) <= 2


def test_an_option_that_is_misspelt_is_known():
    with pytest.raises(ConfigError, match='did you mean "corpus_tokens"'):
        PlanConfig(corpus_token=1.0)


def test_help_loads_no_torch():
    code = (
        "import sys; from bertsmith.cli.main import main; main(['plan', '--help']);"
        "print(sorted({'torch', 'numpy', 'tokenizers'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert "--gpu-utilisation" in shown


def test_the_default_utilisation_is_what_its_source_comes_to():
    settings = Settings(PretrainConfig(size="base", objective="mlm", batch_size=64), 30_522)
    flops = 70_000 * 4096 * 128 * needs_of(settings, settings.counts()).flops_per_token
    share = flops / (11.5 * 3600 * 8 * 312e12)
    assert math.isclose(PlanConfig().gpu_utilisation, share, abs_tol=0.01)
