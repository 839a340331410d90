"""What the side-by-side measurement makes of its raw numbers; the measurement itself is no test."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from side_by_side.figures import measure
from side_by_side.records import Records
from side_by_side.sets import ENDINGS, SETS, read, some, strict_bio, write
from side_by_side.table import Comparison, Spread, by_variant, rivals, summary


def record(variant: str, seed: int, accuracy: float, train_s: float) -> dict:
    return {
        "task": "sst2",
        "variant": variant,
        "seed": seed,
        "figures": {"accuracy": accuracy},
        "seconds": {"read": 1.0, "train": train_s, "predict": 1.0},
        "tokens": 1000,
        "memory_mb": 10.0,
        "precision": "bfloat16",
    }


def test_half_a_deviation_below_still_holds_and_more_does_not():
    theirs = Spread.of([0.80, 0.84, 0.88])
    assert theirs == Spread(pytest.approx(0.84), pytest.approx(0.04))
    for mean, units, holds in [(0.85, 0.5, True), (0.8201, -0.995, True), (0.8199, -1.005, False)]:
        found = Comparison(Spread(mean, 0.1), theirs)
        assert found.half_sds == pytest.approx(units)
        assert found.holds is holds


def test_without_deviation_the_means_alone_decide():
    same = Comparison(Spread.of([0.9]), Spread.of([0.9]))
    assert same.half_sds is None
    assert same.holds
    assert not Comparison(Spread.of([0.89]), Spread.of([0.9])).holds


def test_the_rival_is_the_fastest_variant_that_had_all_seeds():
    ours = [record("ours", seed, 0.9, 3.0) for seed in range(3)]
    float32 = [record("float32", seed, 0.95, 9.0) for seed in range(3)]
    bfloat16 = [record("bfloat16", seed, 0.85, 6.0) for seed in range(2)]
    tried_once = [record("bfloat16+compile", 0, 0.99, 1.0)]
    variants = by_variant([*ours, *float32, *tried_once, *bfloat16], "sst2")
    assert rivals(variants) == ("float32", ours, float32)
    late = record("bfloat16", 2, 0.85, 6.0)
    assert rivals({**variants, "bfloat16": [*bfloat16, late]}) == ("bfloat16", ours, [*bfloat16, late])
    assert rivals({"ours": ours}) is None


def test_the_table_says_who_wins_and_by_how_much():
    records = [record("ours", seed, 0.9, 3.0) for seed in range(2)]
    records += [record("float32", seed, 0.95 + seed / 50, 9.0) for seed in range(2)]
    row = summary(records, {"sst2": ("accuracy",), "cola": ("mcc",)}).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["sst2", "accuracy", "90.00 ± 0.00", "96.00 ± 1.41"]
    assert cells[5:] == ["NO", "3.0", "9.0 (float32)", "0.33", "0.45"]


def test_records_of_other_settings_are_refused_and_older_files_go_on(tmp_path: Path):
    path = tmp_path / "records.json"
    Records(path, {"epochs": 3}, ("seed",)).add({"seed": 0})
    Records(path, {"data": "here", "epochs": 3}, ("seed",)).add({"seed": 1})
    assert Records(path, {"data": "here", "epochs": 3}, ("seed",)).has(seed=0)
    for others in ({"data": "there", "epochs": 3}, {"data": "here", "epochs": 4}):
        with pytest.raises(SystemExit, match="was made with other settings"):
            Records(path, others, ("seed",))


def test_io_tags_become_bio_and_bio_stays():
    assert strict_bio(["I-PER", "I-PER", "O", "I-PER", "I-LOC"]) == ["B-PER", "I-PER", "O", "B-PER", "B-LOC"]
    assert strict_bio(["B-X", "I-X", "B-X", "O"]) == ["B-X", "I-X", "B-X", "O"]
    assert strict_bio(["NOUN", "PROPN"]) == ["NOUN", "PROPN"]


def test_examples_come_back_from_the_files_that_both_sides_read(tmp_path: Path):
    answers = [{"text": "Zoë", "answer_start": 0}]
    asked = [
        {"title": title, "context": context, "id": f"{title}{n}", "question": "Who?", "answers": answers}
        for title, context in [("a", "Zoë sang."), ("a", "Zoë slept."), ("b", "Zoë ran.")]
        for n in range(2)
    ]
    kinds = {
        "classify": [{"text": "one\ntwo", "label": "pos"}, {"text": "“three”\u2028", "label": "neg"}],
        "regress": [{"text": "a", "pair": "b", "label": 2.5}],
        "tag": [{"words": ["Zoë", "sang"], "tags": ["B-PER", "O"]}, {"words": ["."], "tags": ["O"]}],
        "answer": asked,
    }
    for kind, examples in kinds.items():
        path = tmp_path / f"{kind}{ENDINGS[kind]}"
        write(kind, examples, path)
        assert read(kind, path) == examples
    few = some("answer", asked, 4, "a name")
    assert len(few) == 4
    assert few == some("answer", asked, 4, "a name")


def test_published_layouts_are_read(tmp_path: Path):
    files = {
        "sst2/train.tsv": 'label\tsentence\n1\ta "good one\n',
        "sst2/dev.tsv": "label\tcontent\n0\tna\u2028ïve\n",
        "cola/in_domain_train.tsv": "gj04\t1\t\tHe left.\n",
        "cola/in_domain_dev.tsv": "gj04\t0\t*\tLeft he.\n",
        "cola/out_of_domain_dev.tsv": "clc95\t1\t\tShe left.\n",
        "ud-english-ewt/x-ud-train-00.conllu": "# text = It's 1 000\n1-2\tIt's\t_\t_\n1\tIt\tit\tPRON\n2\t's\tbe\tAUX\n"
        "3\t1 000\t1000\tNUM\n3.1\tx\tx\tX\n\n",
        "ud-english-ewt/x-ud-train-01.conllu": "1\tGo\tgo\tVERB\n",
        "wikigold/wikigold.conll.txt": "-DOCSTART- O\n\nZoë I-PER\nsang O\n\n" * 5,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert SETS["sst2"].read(tmp_path / "sst2") == (
        [{"text": 'a "good one', "label": "1"}],
        [{"text": "na\u2028ïve", "label": "0"}],
    )
    assert SETS["cola"].read(tmp_path / "cola") == (
        [{"text": "He left.", "label": "1"}],
        [{"text": "Left he.", "label": "0"}, {"text": "She left.", "label": "1"}],
    )
    train, _ = SETS["ud-english-ewt"].read(tmp_path / "ud-english-ewt")
    assert train == [
        {"words": ["It", "'s", "1000"], "tags": ["PRON", "AUX", "NUM"]},
        {"words": ["Go"], "tags": ["VERB"]},
    ]
    train, dev = SETS["wikigold"].read(tmp_path / "wikigold")
    assert (len(train), len(dev)) == (4, 1)
    assert dev[0] == {"words": ["Zoë", "sang"], "tags": ["B-PER", "O"]}


def test_figures_are_those_of_the_field():
    golds = {"answers": [{"text": "the Amazon River", "answer_start": 0}, {"text": "Amazon", "answer_start": 4}]}
    assert measure("answer", [golds, golds], ["An amazon!", "Amazon river basin"]) == {
        "exact_match": 0.5,
        "f1": pytest.approx((1 + 0.8) / 2),
    }
    tags = [{"tags": ["B-X", "I-X", "O"]}]
    assert measure("tag", tags, [["B-X", "I-X", "O"]])["f1"] == 1.0
    loose = measure("tag", tags, [["I-X", "I-X", "O"]])
    assert (loose["f1"], loose["f1_default"]) == (0.0, 1.0)
    assert measure("tag", [{"tags": ["NOUN", "VERB"]}], [["NOUN", "NOUN"]]) == {"accuracy": 0.5}
    scores = measure("regress", [{"label": 1.0}, {"label": 2.0}, {"label": 3.0}], [1.0, 2.0, 9.0])
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["pearson"] < 0.95
