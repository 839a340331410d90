"""SQuAD and CoNLL on made-up folders of their layouts, and what all suites have in common."""

import io
import json

import pytest

from bertsmith.errors import ConfigError, CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.training.suites import run_suite
from bertsmith.training.suites.conll import find_sets
from training.suite_folders import SENTENCES, TINY, Told, write_conll, write_conll_2003, write_pairs, write_squad


def test_squad_1_writes_the_official_predictions(tiny_bert, tmp_path):
    folder = tmp_path / "squad"
    write_squad(folder / "train-v1.1.json", count=6)
    write_squad(folder / "dev-v1.1.json", count=4)
    result = run_suite("squad", tiny_bert, folder, tmp_path / "out", config=TINY)
    said = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert list(said) == ["q0", "q1", "q2", "q3"]
    assert result.files == (tmp_path / "out" / "predictions.json",)
    assert not (tmp_path / "out" / "null_odds.json").exists()
    right = sum(answer.lower().removeprefix("the ").strip(" .") == "doctor" for answer in said.values())
    assert result.metrics["exact_match"] == pytest.approx(25 * right)
    rows = {row[1]: row for row in result.rows}
    assert rows["EM"][2:] == ("80.8", "84.1", f"{result.metrics['exact_match']:.1f}", "4")
    assert rows["F1"][2:4] == ("88.5", "90.9")
    assert rows["F1"][0] == "SQuAD 1.1"


def test_squad_2_writes_the_odds_too_and_both_versions_stand_apart(tiny_bert, tmp_path):
    folder = tmp_path / "squad"
    for version, unanswerable in (("v1.1", False), ("v2.0", True)):
        write_squad(folder / f"train-{version}.json", count=6, unanswerable=unanswerable)
        write_squad(folder / f"dev-{version}.json", count=4, unanswerable=unanswerable)
    told = Told()
    result = run_suite("squad", tiny_bert, folder, tmp_path / "out", config=TINY, reporter=told)
    assert [file.name for file in result.files] == [
        *("predictions-v1.1.json", "predictions-v2.0.json", "null_odds-v2.0.json")
    ]
    odds = json.loads((tmp_path / "out" / "null_odds-v2.0.json").read_text())
    said = json.loads((tmp_path / "out" / "predictions-v2.0.json").read_text())
    assert list(odds) == list(said) == ["q0", "q1", "q2", "q3"]
    assert all(isinstance(value, float) for value in odds.values())
    assert {"v1.1_f1", "v2.0_f1", "v2.0_no_answer_f1"} <= set(result.metrics)
    rows = {(row[0], row[1]): row[2:] for row in result.rows}
    assert rows["SQuAD 2.0", "F1"][:2] == ("–", "81.9")
    assert ("SQuAD 2.0", "F1, has answer") in rows
    assert "task 2 of 2: train-v2.0.json, dev-v2.0.json" in told.lines


def test_conll_writes_what_conlleval_reads(tiny_bert, tmp_path):
    from seqeval.metrics import f1_score as entity_f1  # without a scheme it counts as conlleval does

    result = run_suite("conll", tiny_bert, write_conll_2003(tmp_path / "conll"), tmp_path / "out", config=TINY)
    written = (tmp_path / "out" / "test.predictions.txt").read_text(encoding="utf-8")
    assert written.endswith("\n\n")
    sentences = [[line.split(" ") for line in block.splitlines()] for block in written.rstrip("\n").split("\n\n")]
    assert [[cells[:2] for cells in sentence] for sentence in sentences] == [
        [["Mary", "B-PER"], ["John", "B-PER"], ["saw", "O"], ["Ward", "B-LOC"]],
        [["The", "O"], ["nurse", "B-PER"], ["saw", "O"], ["Mary", "B-PER"]],
        [["Pains", "O"], ["in", "O"], ["Ward", "B-LOC"], ["Two", "I-LOC"]],
    ]
    gold, said = ([[cells[column] for cells in sentence] for sentence in sentences] for column in (1, 2))
    assert {tag for tags in said for tag in tags} <= {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}
    assert result.metrics["test_f1"] == pytest.approx(entity_f1(gold, said))
    rows = {(row[0], row[1]): row[2:] for row in result.rows}
    ours = [f"{100 * result.metrics[f'{which}_f1']:.1f}" for which in ("dev", "test")]
    assert rows["dev", "entity F1"] == ("96.4", "96.6", ours[0], "4")
    assert rows["test", "entity F1"] == ("92.4", "92.8", ours[1], "3")


@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "valid.txt", "test.txt"),
        ("eng.train", "eng.testa", "eng.testb"),
        ("train.bio", "dev.bio", "test.bio"),
        ("train.conll", "dev.conll", "test.conll"),
        ("train.tsv", "devel.tsv", "test.tsv"),
        ("Train.txt.gz", "validation.txt.gz", "test.txt.gz"),
        ("en_ewt-ud-train.conllu", "en_ewt-ud-dev.conllu", "en_ewt-ud-test.conllu"),
        ("deu.train", "deu.testa", "deu.testb"),
    ],
)
def test_conll_finds_the_usual_names(names, tmp_path):
    for name in (*names, "README.txt", "train.log", "train.py", ".train.txt", "test.predictions.txt", "labels.txt"):
        (tmp_path / name).touch()
    (tmp_path / "test").mkdir()
    train, dev, test = names
    expected = {"train": [tmp_path / train], "dev": [tmp_path / dev], "test": [tmp_path / test]}
    assert find_sets(tmp_path) == expected


def test_conll_takes_numbered_files_as_one_and_says_what_is_missing(tiny_bert, tmp_path):
    for number in range(2):
        write_conll(tmp_path / "data" / f"train-0{number}.conll", SENTENCES, repeat=2)
    result = run_suite("conll", tiny_bert, tmp_path / "data", tmp_path / "out", config=TINY)
    counts = json.loads((tmp_path / "out" / "results.json").read_text())["tasks"]["tagger"]["counts"]
    assert counts["train"] + counts["dev"] == 12
    assert len(result.notes) == 2
    assert "no development file" in result.notes[0]
    assert "no test file" in result.notes[1]
    assert not result.files


def test_conll_does_not_mix_languages(tiny_bert, tmp_path):
    for name in ("esp.train", "ned.train", "esp.testa"):
        write_conll(tmp_path / "data" / name, SENTENCES)
    with pytest.raises(CorpusError, match=r"which is the train set: esp\.train, ned\.train\?"):
        run_suite("conll", tiny_bert, tmp_path / "data", tmp_path / "out", config=TINY)


# What all have.


@pytest.mark.parametrize(
    ("name", "looked_for"),
    [
        ("glue", "Looked for the folders MNLI, QQP, QNLI, SST-2, CoLA, STS-B, MRPC, RTE, WNLI"),
        ("squad", r"Looked for train-v1\.1\.json with dev-v1\.1\.json"),
        ("conll", r"Looked for eng\.train with eng\.testa and eng\.testb"),
    ],
)
def test_nothing_found_lists_what_was_looked_for(name, looked_for, tiny_bert, tmp_path):
    folder = tmp_path / "data"
    (folder / "pictures").mkdir(parents=True)
    with pytest.raises(CorpusError, match=rf"{looked_for}.*There are: pictures/\."):
        run_suite(name, tiny_bert, folder, tmp_path / "out")


def test_what_cannot_be_asked_for(tiny_bert, tmp_path):
    with pytest.raises(ConfigError, match='suite "superglue" is not known; there are glue, squad, conll'):
        run_suite("superglue", tiny_bert, tmp_path, tmp_path / "out")
    with pytest.raises(CorpusError, match="there is no such folder"):
        run_suite("glue", tiny_bert, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ConfigError, match="the data are here"):
        run_suite("glue", tiny_bert, tmp_path, tmp_path)
    with pytest.raises(ConfigError, match="only --on-bad-input has a use"):
        run_suite("glue", tiny_bert, tmp_path, tmp_path / "out", reading=LabelledConfig(text_column="text"))


def test_the_command_prints_the_table_and_takes_the_recipe(tiny_bert, tmp_path, capsys, monkeypatch):
    from bertsmith.cli.main import main

    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "glue"
    write_pairs(folder / "RTE", "sentence1 | sentence2", ["entailment", "not_entailment"], name="label")
    words = ["evaluate", str(tiny_bert), str(folder), "--suite", "glue", "--out", str(tmp_path / "out")]
    recipe = ["--steps", "1", "--batch-size", "4", "--precision", "float32"]
    assert main([*words, *recipe]) == 0
    shown = capsys.readouterr()
    lines = [" ".join(line.split()) for line in io.StringIO(shown.out)]
    assert any(line.startswith("RTE accuracy 56.0 66.4 70.1 ") for line in lines)
    assert any(line == "submission/RTE.tsv" for line in lines)
    assert "task 1 of 1: RTE" in shown.err
    assert main([*words, *recipe, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["metrics"]) == {"rte_accuracy"}
    assert main(["evaluate", str(tiny_bert), str(folder), "--epochs", "2"]) == 2
    assert "--epochs: idle, since nothing is trained without --suite" in capsys.readouterr().err
