"""`bertsmith bench infer`: what the sides are given, that they answer alike, what it tells; speed is not asserted."""

import json

import numpy as np
import pytest

from bertsmith.benchmarks import infer
from bertsmith.benchmarks.flops import Counts, forward_flops
from bertsmith.benchmarks.infer import InferPlan, counts_of, what_of
from bertsmith.benchmarks.infer_figures import InferFigures, InferSide
from bertsmith.benchmarks.infer_job import Job, make_job, texts_of_vocabulary, whole_words, with_masks
from bertsmith.benchmarks.infer_side import our_run, timed_often
from bertsmith.cli.main import main
from bertsmith.config import HeadConfig, ModelConfig, TokenizerConfig
from bertsmith.errors import InputError, ModelFolderError
from bertsmith.inference.predictor import load
from bertsmith.model.bert import Bert
from bertsmith.model.folder import write_model_folder
from bertsmith.progress import Silent
from bertsmith.text.wordpiece import WordPiece
from clinic_texts import TEXTS
from tasks.twins import model_of

HEADS = {
    "classify": HeadConfig(task="classify", labels=("bad", "fair", "good")),
    "regress": HeadConfig(task="regress"),
    "tag": HeadConfig(task="tag", labels=("O", "B-drug", "I-drug")),
    "answer": HeadConfig(task="answer"),
}


@pytest.fixture(scope="module")
def tokenizer(tiny_bert):
    return WordPiece.load(tiny_bert)


def task_folder(what, tiny_bert, folder):
    write_model_folder(model_of(HEADS[what], tiny_bert), folder)
    WordPiece.load(tiny_bert).save(folder)
    return folder


def test_made_texts_have_exactly_the_spread_that_is_told(tokenizer):
    words = whole_words(tokenizer)
    assert "the" in words
    assert not [word for word in words if word.startswith("##") or word == "[MASK]"]
    texts = texts_of_vocabulary(tokenizer, longest=32)
    lengths = tokenizer.encode_sentences(texts)[1] + 2
    assert set(lengths.tolist()) == set(range(8, 33))
    assert np.bincount(lengths)[8:].std() / np.bincount(lengths)[8:].mean() < 0.2
    assert lengths[:100].std() > 5  # mixed as they come
    assert texts == texts_of_vocabulary(tokenizer, longest=32)
    assert texts != texts_of_vocabulary(tokenizer, longest=32, seed=1)
    assert max(tokenizer.encode_sentences(texts_of_vocabulary(tokenizer, longest=512))[1]) == 254


def test_one_word_of_each_text_is_masked():
    for text, masked in zip(TEXTS, with_masks(TEXTS), strict=True):
        pairs = list(zip(text.split(), masked.split(), strict=True))
        assert [theirs for ours, theirs in pairs if ours != theirs] == ["[MASK]"]
    assert with_masks(["pain", ""]) == ["pain [MASK]", "[MASK]"]


@pytest.mark.parametrize("what", ["embed", "fill"])
def test_texts_are_cut_to_what_a_model_reads_at_once(tokenizer, tmp_path, what):
    long, short = " ".join(["pain ward nurse"] * 10), "a nurse"
    job = make_job(what, tmp_path, [short, long], tokenizer, longest=12)
    assert job.tokens[0] == 4
    assert job.tokens[1] == (12 if what == "embed" else 11)  # room for a mask after a text that is one word
    assert long.startswith("pain ward nurse")
    masks = [text.count("[MASK]") for text in (*job.texts, job.short)]
    assert masks == ([1, 1, 1] if what == "fill" else [0, 0, 0])
    assert job.short_tokens <= 12  # the beginning of the long one
    assert job.short_tokens > 8
    job.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == job


@pytest.mark.parametrize("what", ["embed", "fill", "classify", "regress", "tag"])
def test_both_sides_answer_alike(tiny_bert, tokenizer, tmp_path, what):
    pytest.importorskip("transformers")
    from bertsmith.benchmarks.infer_peer import peer_run

    folder = task_folder(what, tiny_bert, tmp_path) if what in HEADS else tiny_bert
    job = make_job(what, folder, TEXTS, tokenizer, longest=32)
    predictor = load(folder)
    assert what_of(predictor.bert) == (what if what != "embed" else "fill")
    ours, theirs = our_run(predictor, what), peer_run(what, str(folder))
    assert len(ours([job.short])) == len(theirs([job.short])) == 1
    if what == "tag":
        assert len(ours(job.texts)) == len(theirs(job.texts)) == 3
    else:
        np.testing.assert_allclose(ours(job.texts), theirs(job.texts), atol=1e-5)


def test_a_task_that_needs_more_than_a_text_is_measured_by_vectors(tiny_bert):
    assert what_of(model_of(HEADS["answer"], tiny_bert)) == "embed"


def test_the_useful_arithmetic_of_texts_by_hand():
    bert = Bert(ModelConfig.preset("tiny", vocab_size=500), head=HEADS["classify"], generator=None)
    matrices = 2 * (4 * 128 * 128 + 2 * 128 * 512)
    # Two texts of 10 and 30 tokens: in each of 2 layers two products of T x T x 128.
    attention = 2 * 2 * 2 * (10 * 10 + 30 * 30) * 128
    body = 2 * matrices * 40 + attention
    assert forward_flops(bert, counts_of("embed", [10, 30])) == body
    # Of the last layer the other 38 tokens are of use as keys and values alone; 25 is what a token sees in the mean.
    body -= 2 * 38 * (2 * 128 * 128 + 2 * 128 * 512 + 2 * 25 * 128)
    assert forward_flops(bert, counts_of("fill", [10, 30])) == body + 2 * 2 * (500 * 128 + 128 * 128)
    pretrained = Bert(ModelConfig.preset("tiny", vocab_size=500), ("pooler",), head=HEADS["classify"], generator=None)
    assert forward_flops(pretrained, counts_of("classify", [10, 30])) == body + 2 * 2 * (128 * 128 + 3 * 128)
    assert counts_of("tag", [10, 30]) == Counts(40, 25.0, 0, 0)


def test_a_call_is_repeated_until_the_time_is_up():
    assert len(timed_often(lambda: None, most=40, seconds=60)) == 40
    assert len(timed_often(lambda: None, most=40, seconds=0)) == 10


def figures(*, peer: bool) -> InferFigures:
    """Made up: 4 texts of 100 tokens, 10 GFLOP, on a machine of 100 GFLOP/s."""
    ours = InferSide("ours", (1.0, 0.5, 0.4), (0.001, 0.002, 0.003), 1e9, "bfloat16", 2)
    theirs = InferSide("transformers", (1.0, 2.0, 9.0), (0.006, 0.004, 0.008), 2e9, "float32", 2)
    limits = {"float32": 50e9, "bfloat16": 100e9}
    return InferFigures("fill", "my-bert", (10, 90, 150, 150), 12, 10e9, limits, ours, theirs if peer else None)


def test_medians_make_speeds_shares_and_ratios():
    found = figures(peer=True).values()
    assert (found["tokens_per_s"], found["texts_per_s"], found["peer_tokens_per_s"]) == (800.0, 8.0, 200.0)
    assert (found["ratio"], found["short_ratio"], found["share_of_limit"]) == (4.0, 3.0, 0.2)
    assert (found["short_p50_ms"], found["short_p95_ms"]) == (2.0, pytest.approx(2.9))
    table = figures(peer=True).table()
    assert table.rows[0] == ("ours (bfloat16)", "800", "8.0", "20", "20%", "2.00 ms", "2.90 ms", "1.0 GB")
    assert table.rows[1][:5] == ("transformers (float32)", "200", "2.0", "5", "5%")
    assert table.notes[0].startswith("4 texts of 10 to 150 tokens (median 120)")
    assert table.notes[-1] == "Ours is 4.00 x the peer over the texts, 3.00 x in latency."
    alone = figures(peer=False).values()
    assert (alone["ratio"], alone["peer_tokens_per_s"], alone["peer"]) == (None, None, None)
    assert len(figures(peer=False).table().rows) == 1


def test_the_command_measures_both_sides_and_keeps_the_figures(tiny_bert, tmp_path, capsys):
    pytest.importorskip("transformers")
    (tmp_path / "texts.txt").write_text("\n\n".join(TEXTS * 20), encoding="utf-8")
    kept = tmp_path / "kept.md"
    words = ["--peer", "--runs", "2", "--precision", "float32", "--append", str(kept), "--json"]
    assert main(["bench", "infer", str(tiny_bert), "--texts", str(tmp_path / "texts.txt"), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["what"], found["texts"], found["precision"], found["side"]) == ("fill", 60, "float32", "ours")
    assert len(found["seconds"]) == len(found["peer"]["seconds"]) == 2
    assert found["ratio"] * found["peer_tokens_per_s"] == pytest.approx(found["tokens_per_s"])
    assert found["texts_per_s"] * found["tokens"] / 60 == pytest.approx(found["tokens_per_s"])
    assert found["share_of_limit"] == pytest.approx(
        found["useful_flops_per_s"] / max(found["limits_flops_per_s"].values())
    )
    assert found["short_p50_ms"] <= found["short_p95_ms"]
    assert found["machine"]["torch"]
    assert "| transformers (float32) |" in kept.read_text(encoding="utf-8")


@pytest.mark.parametrize(("seconds", "count"), [(0.1, 320), (60.0, 64), (1e-6, 2000)])
def test_a_run_takes_ours_about_two_seconds(tiny_bert, tokenizer, seconds, count):
    asked = []

    class Answering:
        def run(self, jobs):
            asked.extend(jobs)
            return [{"seconds": [seconds]}]

    texts = texts_of_vocabulary(tokenizer, longest=32)
    job = make_job("embed", tiny_bert, texts, tokenizer, longest=32)
    sides = {"ours": Answering(), "transformers": Answering()}
    measurement = infer._Measurement(InferPlan(tiny_bert), load(tiny_bert).bert, job, sides, Silent())
    assert measurement._warm_up() == count
    assert [each["count"] for each in asked] == [16] * 3  # ours twice: the first time builds kernels


def complaint(capsys, *words) -> str:
    assert main(["bench", "infer", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_the_users_mistakes_are_named(tiny_bert, tokenizer, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "empty.txt").write_text("\n\n", encoding="utf-8")
    assert "runs is 0" in complaint(capsys, tiny_bert, "--runs", 0)
    assert "config.json" in complaint(capsys, tmp_path)
    assert "empty.txt: no document" in complaint(capsys, tiny_bert, "--texts", tmp_path / "empty.txt")
    assert "missing.txt" in complaint(capsys, tiny_bert, "--texts", tmp_path / "missing.txt")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install transformers" in complaint(capsys, tiny_bert, "--peer")


def test_a_vocabulary_of_pieces_alone_asks_for_texts(tiny_bert, monkeypatch):
    monkeypatch.setattr("bertsmith.benchmarks.infer_job.whole_words", lambda tokenizer: [])
    with pytest.raises(InputError, match="give --texts"):
        texts_of_vocabulary(WordPiece.train(TEXTS * 3, TokenizerConfig(vocab_size=60)), longest=32)


def test_a_folder_that_the_peer_cannot_open_is_told_with_the_next_step(tmp_path):
    pytest.importorskip("transformers")
    from bertsmith.benchmarks.infer_peer import peer_run

    (tmp_path / "config.json").write_text('{"model_type": "nothing-known"}', encoding="utf-8")
    with pytest.raises(ModelFolderError, match="Leave --peer out"):
        peer_run("fill", str(tmp_path))
