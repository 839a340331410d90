"""The measure of time to quality: rows, masks, clocks and what is read off; and once the whole of it, very small."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")
sys.path.append(str(Path(__file__).parents[2] / "bench"))

import quality
from bertsmith.model.folder import read_model_folder
from data.corpora import CLS, MASK, SEP, raw_text, vocabulary
from time_to_quality import ours, peer
from time_to_quality.blocks import IGNORED, MaskedRows, chunked, framed, masked
from time_to_quality.job import Job, Point, at_marks
from time_to_quality.judge import Judge, _load, _loss
from time_to_quality.table import best_peer, curves, soonest, summary

TEXTS = [np.arange(10, 17, dtype=np.uint16), np.arange(20, 22, dtype=np.uint16)]


def test_rows_are_cut_as_run_mlm_does_and_within_documents():
    rows = chunked(TEXTS, 4, vocabulary())
    assert rows.tolist() == [[CLS, 10, 11, 12], [13, 14, 15, 16], [SEP, CLS, 20, 21]]
    assert framed(TEXTS, 5, vocabulary()).tolist() == [[CLS, 10, 11, 12, SEP], [CLS, 13, 14, 15, SEP]]


def test_masks_are_fixed_and_spare_special_tokens():
    rng = np.random.default_rng(0)
    rows = chunked(list(rng.integers(5, 1000, (100, 200))), 64, vocabulary())
    hidden, again = (masked(rows, 200, vocabulary()) for _ in range(2))
    assert np.array_equal(hidden.input_ids, again.input_ids)
    assert hidden.input_ids.shape == (200, 64)
    chosen = hidden.labels != IGNORED
    ordinary = ~np.isin(np.where(chosen, hidden.labels, hidden.input_ids), (CLS, SEP))
    assert chosen.sum() / ordinary.sum() == pytest.approx(0.15, abs=0.003)
    assert not np.isin(hidden.labels, (CLS, SEP)).any()
    assert (hidden.input_ids[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.03)
    assert set(chosen.sum(1)) <= {9, 10}  # of 64 less one to three special tokens


def test_the_judge_finds_the_loss_that_bertsmith_finds(tiny_bert):
    rng = np.random.default_rng(1)
    ids = rng.integers(5, 100, (40, 16))
    labels = np.where(rng.random(ids.shape) < 0.2, ids, IGNORED)
    judged = _loss(_load(str(tiny_bert)), MaskedRows(np.where(labels == IGNORED, ids, 4), labels))
    bert, _ = read_model_folder(tiny_bert)
    inputs = torch.from_numpy(np.where(labels == IGNORED, ids, 4))
    places = torch.arange(16).expand(40, 16)
    with torch.inference_mode():
        hidden = bert.eval()(inputs, token_type_ids=0 * places, position_ids=places, sequence_ids=None)
        logits = bert.masked_lm_logits(hidden.flatten(0, 1))
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).flatten(), ignore_index=IGNORED)
    assert judged == pytest.approx(expected.item(), abs=1e-4)


def job(**options) -> Job:
    given = {"corpus": "c", "out": "o", "size": "mini", "minutes": 5.0, "marks": [1.0, 2.0, 5.0], "seed": 3}
    return Job(**{**given, **options})


def test_no_side_is_judged_later_than_its_mark():
    points = [Point(minutes, 10, 100, str(minutes)) for minutes in (0.6, 1.1, 1.9, 4.0, 5.02)]
    chosen = at_marks(points, [0.5, 1.0, 2.0, 3.0, 5.0])
    assert {mark: point.minutes for mark, point in chosen.items()} == {1.0: 0.6, 2.0: 1.9, 3.0: 1.9, 5.0: 5.02}
    saved = [Point(1.05, 1, 1, "a", mark=1.0), Point(5.1, 2, 2, "b", mark=5.0)]
    assert list(at_marks(saved, [1.0, 2.0, 5.0]).values()) == saved


def test_the_users_words_win_over_the_measure():
    words = ours.words_of(job(words=["--minutes=7", "--size", "base", "--learning-rate", "2e-3"]))
    assert words[:4] == ["pretrain", "c", "--out", "o"]
    assert "--minutes" not in words
    assert words.count("--size") == 1
    assert words[words.index("--seed") + 1] == "3"
    assert ours.checkpoint_gap_s(job()) == 30
    assert ours.checkpoint_gap_s(job(marks=[0.1, 5.0])) == ours.LEAST_GAP_S


def test_the_peers_clock_stands_still_while_it_is_stopped(monkeypatch):
    now = iter([100.0, 130.0, 500.0, 530.0, 530.0])
    monkeypatch.setattr(peer.time, "monotonic", lambda: next(now))
    clock = peer.Clock(2.0)
    clock.start()
    clock.stop()
    assert clock.seconds == 30.0
    clock.start()
    assert clock.seconds == 60.0
    assert clock.share == 0.5


def record(side: str, recipe: str, minutes: float, seed: int, losses: dict[float, float]) -> dict:
    points = [{"mark": mark, "chunked": loss, "tokens": 1e6 * mark} for mark, loss in losses.items()]
    return {"side": side, "recipe": recipe, "minutes": minutes, "seed": seed, "points": points}


RECORDS = [
    record("ours", "fast", 12, 0, {1: 7.0, 6: 5.4, 12: 5.0}),
    record("ours", "fast", 12, 1, {1: 7.0, 6: 5.6, 12: 5.2}),
    record("ours", "fast", 1, 0, {1: 6.0}),
    record("peer", "low", 12, 0, {1: 8.0, 6: 7.0, 12: 6.5}),
    record("peer", "high", 12, 0, {1: 8.0, 6: 7.0, 12: 6.1}),
    record("peer", "short", 3, 0, {3: 5.9}),
]


def test_who_is_sooner_and_how_much_lower():
    found = curves(RECORDS, "chunked")
    assert found[0].final.mean == pytest.approx(5.1)
    assert found[0].seeds == 2
    rival = best_peer(found)
    assert rival.recipe == "high"  # the short one had another budget
    assert soonest(found[:1], rival.final.mean) == 6
    assert soonest(found[:2], rival.final.mean) == 1  # the run with that budget
    assert soonest(found[:2], 1.0) is None
    table = summary(RECORDS, "chunked").splitlines()
    assert table[2].startswith("| ours | fast | 12 min | 2 | 12.0 | 7.000 |  | 5.500 ± 0.141 | 5.100 ± 0.141 |")
    assert table[-1] == "Ours (fast): there after 1 minutes, 0.083 of its time; at equal time lower by 1.00 nats."


def test_the_peers_batch_size_is_told_apart_but_for_the_usual_one(monkeypatch):
    recipes = []
    for more in ([], ["--peer-batch-size", "32"], ["--peer-batch-size", "64"]):
        monkeypatch.setattr(sys, "argv", ["quality.py", "text.txt", "--peer-precision", "bfloat16", *more])
        recipes += [run.recipe for run in quality._peers(quality.parse(), seed=0)]
    usual = "lr 0.0005, bfloat16, dropout 0.1"  # as older records have it
    assert recipes == [usual, usual, f"{usual}, batch 64"]


def test_the_whole_of_it_and_again_without_a_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "text.txt").write_text(raw_text(0, documents=300), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    small = ["--minutes", "0.02", "--our-minutes", "0.02", "--size", "tiny", "--vocab-size", "200", "--length", "32"]
    few = ["--held-out-share", "0.1", "--judge-rows", "8", "--peer-batch-size", "4", "--threads", "1"]
    few += ["--peer-precision", "float32"]
    words = ["--", "--batch-size", "4", "--evaluation-rows", "4", "--max-length-tokens", "32"]
    monkeypatch.setattr(sys, "argv", ["quality.py", "text.txt", *small, *few, *words])
    assert quality.main() == 0
    kept = json.loads((tmp_path / "bench-quality/records.json").read_text(encoding="utf-8"))
    assert [each["side"] for each in kept["records"]] == ["ours", "peer"]
    for each in kept["records"]:
        (point,) = each["points"]
        assert point["minutes"] >= 0.02
        assert 3 < point["chunked"] < 7
        assert 3 < point["framed"] < 7
    assert not list((tmp_path / "bench-quality/runs").iterdir())
    capsys.readouterr()
    monkeypatch.setattr(Judge, "__init__", None)  # nothing is left to judge
    assert quality.main() == 0
    assert "| peer | lr 0.0005, float32, dropout 0.1, batch 4 | 0.02 min | 1 |" in capsys.readouterr().out
