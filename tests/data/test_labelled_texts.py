"""Texts and pairs with labels or scores: GLUE's layouts, columns by name, what is broken, Python objects."""

import numpy as np
import pandas as pd
import pytest
from labelled_files import classified, message, plain, unlabelled, write

from bertsmith.data.labelled.examples import TextExample
from bertsmith.data.labelled.texts import read_scored
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig

# GLUE's layouts, in a line or two of each.
GLUE = {
    "CoLA/train.tsv": "gj04\t1\t\tIt sank.\ngj04\t0\t*\tIt the sank.\n",
    "SST-2/train.tsv": "sentence\tlabel\nhide new secretions \t0\n",
    "MRPC/train.tsv": '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t70\t71\t"He" said so .\tSo "he" said .\n',
    "QQP/train.tsv": 'id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhy?\t"Why ""so""?"\t0\n',
    "MNLI/train.tsv": "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
    "0\t31\t31n\tgov\t( a )\t( b )\t(R a)\t(R b)\tA man.\tA person.\tneutral\tentailment\n",
    "MNLI/dev_matched.tsv": "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n"
    "0\t63\t63n\tgov\t( a )\t( b )\t(R a)\t(R b)\tA man.\tNo man.\tneutral\tneutral\tentailment\tneutral\tneutral\t-\n"
    "1\t63\t63n\tgov\t( a )\t( b )\t(R a)\t(R b)\tA man.\tNo man.\tneutral\tneutral\tneutral\tneutral\t"
    "neutral\tneutral\n",
    "QNLI/train.tsv": "index\tquestion\tsentence\tlabel\n0\tWhen?\tThen.\tnot_entailment\n",
    "RTE/train.tsv": "index\tsentence1\tsentence2\tlabel\n0\tOne.\tTwo.\tentailment\n",
    "WNLI/train.tsv": "index\tsentence1\tsentence2\tlabel\n0\tOne.\tTwo.\t1\n",
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CoLA/train.tsv", [("It sank.", "1"), ("It the sank.", "0")]),
        ("SST-2/train.tsv", [("hide new secretions", "0")]),
        ("MRPC/train.tsv", [('"He" said so .', 'So "he" said .', "1")]),
        ("QQP/train.tsv", [("Why?", 'Why "so"?', "0")]),
        ("MNLI/train.tsv", [("A man.", "A person.", "entailment")]),
        ("MNLI/dev_matched.tsv", [("A man.", "No man.", "neutral")]),
        ("QNLI/train.tsv", [("When?", "Then.", "not_entailment")]),
        ("RTE/train.tsv", [("One.", "Two.", "entailment")]),
        ("WNLI/train.tsv", [("One.", "Two.", "1")]),
    ],
)
def test_the_layouts_of_glue(tmp_path, name, expected):
    read = classified(write(tmp_path, name, GLUE[name]))
    assert plain(read) == expected
    assert read.skipped == []
    assert any("the text is column" in note for note in read.notes)


def test_pairs_without_an_agreed_label_are_counted(tmp_path):
    read = classified(write(tmp_path, "dev.tsv", GLUE["MNLI/dev_matched.tsv"]))
    assert any(note.startswith("1 example(s) left out") and "gold_label" in note for note in read.notes)
    marks = write(tmp_path, "marks.tsv", "text\tlabel\ngood\t+\nbad\t-\n")
    assert plain(classified(marks)) == [("good", "+"), ("bad", "-")]  # elsewhere it is a label


@pytest.mark.parametrize(
    ("header", "line", "expected"),
    [
        ("index\tsentence", "0\tIt sank.", ("It sank.",)),
        ("index\t#1 ID\t#2 ID\t#1 String\t#2 String", "0\t7\t8\tHe said.\tSo he.", ("He said.", "So he.")),
        ("id\tquestion1\tquestion2", "0\tWhy?\tSo?", ("Why?", "So?")),
        ("index\tquestion\tsentence", "0\tWhen?\tThen.", ("When?", "Then.")),
        ("index\tsentence1\tsentence2", "0\tOne.\tTwo.", ("One.", "Two.")),
        (
            "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
            "0\tnews\tf\t2012\t1\ta\tb\tOne.\tTwo.",
            ("One.", "Two."),
        ),
    ],
)
def test_test_files_without_labels(tmp_path, header, line, expected):
    path = write(tmp_path, "test.tsv", f"{header}\n{line}\n")
    read = unlabelled(path)
    assert plain(read) == [expected]
    assert read.examples[0].labels is None
    assert "no column for the label" in message(path)


def test_sts_b_with_and_without_a_header(tmp_path):
    header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
    path = write(tmp_path, "train.tsv", f"{header}\n0\tmain\tf\t2012\t1\tnone\tnone\tA plane.\tAn air plane.\t4.75\n")
    [example] = read_scored(path, LabelledConfig()).examples
    assert example == TextExample("A plane.", "An air plane.", score=4.75, place=f"{path}, line 2")
    bare = write(tmp_path, "sts.csv", 'A plane.,"An ""air"" plane, taking off.",5.0\n')
    config = LabelledConfig(text_column="1", pair_column="2", label_column="3")
    [example] = read_scored(bare, config).examples
    assert (example.text, example.pair, example.score) == ("A plane.", 'An "air" plane, taking off.', 5.0)
    assert any("no line of names" in note for note in read_scored(bare, config).notes)
    assert not any("no line of names" in note for note in read_scored(bare, config.but(header=False)).notes)


def test_columns_are_found_in_each_file_and_told(tmp_path):
    train = write(tmp_path, "train.tsv", "sentence\tlabel\nfine\t1\n")
    dev = write(tmp_path, "dev.csv", "Id,Category,Review Text\n7,0,awful\n")
    more = write(tmp_path, "more.jsonl", '{"label": 1, "content": "good"}')
    assert plain(classified([str(train), str(dev), str(more)])) == [("fine", "1"), ("awful", "0"), ("good", "1")]
    assert f'{dev}: the text is column "Review Text", the label "Category"' in classified(dev).notes
    assert classified(dev, text_column="Review Text", label_column="2").notes == []
    assert any("these files are read" in note for note in classified(tmp_path).notes)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("One.", "Two.", "a")),
        ({"text_column": "sentence1"}, ("One.", "a")),
        ({"text_column": "sentence2", "pair_column": "sentence1"}, ("Two.", "One.", "a")),
        ({"pair_column": "sentence2"}, ("One.", "Two.", "a")),
        ({"pair_column": "note", "label_column": "mark"}, ("One.", "aside", "b")),
        ({"text_column": "5", "label_column": "mark"}, ("aside", "b")),
    ],
)
def test_named_columns_win(tmp_path, options, expected):
    path = write(tmp_path, "a.csv", "sentence1,sentence2,label,mark,note\nOne.,Two.,a,b,aside\n")
    assert plain(classified(path, **options)) == [expected]


def test_a_column_called_text_is_the_text():
    assert plain(classified([{"text": "t", "question": "q", "answer": "a", "label": 1}])) == [("t", "1")]
    assert plain(classified([{"text": "t", "text_pair": "p", "label": 1}])) == [("t", "p", "1")]


def test_columns_that_are_not_found_are_asked_for(tmp_path):
    said = message(write(tmp_path, "a.csv", "words,mood\nfine,good\n"))
    assert "a.csv: no column for the text under a usual name (text, sentence" in said
    assert '"words", "mood"' in said
    assert "--text-column and --label-column" in said
    assert "by number: --text-column 1" in said
    said = message(write(tmp_path, "b.csv", "text,mood\nfine,good\n"))
    assert "b.csv: no column for the label" in said
    assert 'no column "feeling"; there are "text", "mood"' in message(tmp_path / "b.csv", label_column="feeling")


# What is broken.


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('" ",good', 'empty text in "text"'),
        ("text,", "no label"),
        ("text, ", "no label"),
        ("text", "1 cells where the first line has 2"),
        ("text,good,3", "3 cells where the first line has 2"),
    ],
)
def test_a_bad_example_stops_or_is_counted(tmp_path, line, reason):
    path = write(tmp_path, "a.csv", f"text,label\nfirst,good\n{line}\nlast,bad\n")
    assert message(path) == f"{path}, line 3: {reason}. Mend it, or leave it out with --on-bad-input skip."
    read = classified(path, on_bad_input="skip")
    assert plain(read) == [("first", "good"), ("last", "bad")]
    assert [(bad.place, bad.reason) for bad in read.skipped] == [("line 3", reason)]


def test_bad_rows_of_json_and_objects(tmp_path):
    lines = ['{"text": "a", "label": {"is": 1}}', '{"text": 5, "label": 1}', '{"label": 1}', '{"text": "d"}', "{"]
    path = write(tmp_path, "a.jsonl", "\n".join(['{"text": "a", "label": 0}', *lines]))
    read = classified(path, on_bad_input="skip")
    assert [(bad.place, bad.reason.split(" (")[0]) for bad in read.skipped] == [
        ("line 6", "malformed JSON"),  # the first rows are parsed before any is looked at
        ("line 2", "a label must be a text or a number, found an object"),
        ("line 3", '"text" must be a text, found a number'),
        ("line 4", 'no text in "text"'),
        ("line 5", 'no "label"'),
    ]
    assert message({"text": ["a", None], "label": [1, 1]}).startswith('row 2 of the data: no text in "text". Mend it')


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("high", 'score "high" is no number'),
        ("", "no score"),
        ("inf", "score inf is not finite"),
        (None, "no score"),
        (True, "a score must be a number, found a boolean"),
        ([1], "a score must be a number, found a list"),
    ],
)
def test_scores_are_finite_numbers(cell, reason):
    data = [{"text": "a", "score": " 2.50 "}, {"text": "b", "score": np.float32(1)}, {"text": "c", "score": cell}]
    with pytest.raises(CorpusError) as caught:
        read_scored(data, LabelledConfig())
    assert str(caught.value).startswith(f"row 3 of the data: {reason}.")
    read = read_scored(data, LabelledConfig(on_bad_input="skip"))
    assert [example.score for example in read.examples] == [2.5, 1.0]
    assert [bad.reason for bad in read.skipped] == [reason]


def test_a_score_is_found_before_a_label():
    row = {"text": "a", "label": "x", "score": 3}
    assert read_scored([row], LabelledConfig()).examples[0].score == 3
    assert classified([row]).examples[0].labels == ("x",)


@pytest.mark.parametrize("data", ["", "text,label\n", "\n\n"])
def test_nothing_to_read(tmp_path, data):
    path = write(tmp_path, "a.csv", data)
    assert f"{path}: no example found" in message(path)
    with pytest.raises(CorpusError, match="no example found"):
        read_scored(path, LabelledConfig())


def test_nothing_left_after_what_was_bad(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\n,x\n,y\n")
    assert "no example found (2 left out, first" in message(path, on_bad_input="skip")
    assert 'line 2: empty text in "text"' in message(path, on_bad_input="skip")
    assert "the data: no example found" in message([])


def test_texts_with_different_labels_are_told():
    data = [("a", 1), ("a", 0), ("a", 1), ("b", 1), ("b", 1)]
    read = classified([{"text": text, "label": label} for text, label in data])
    assert len(read.examples) == 5
    assert any(note.startswith("1 text(s) are there more than once") for note in read.notes)
    assert not any("more than once" in note for note in classified([{"text": "b", "label": 1}] * 2).notes)


# Python objects.


@pytest.mark.parametrize(
    "data",
    [
        (["a", "b"], ["x", "y"]),
        (np.array(["a", "b"]), np.array(["x", "y"])),
        (pd.Series(["a", "b"], index=[5, 6]), pd.Series(["x", "y"])),
        pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}),
        {"text": ["a", "b"], "label": ["x", "y"]},
        [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}],
    ],
    ids=["lists", "arrays", "series", "pandas", "dict", "dicts"],
)
def test_python_objects(data):
    read = classified(data)
    assert [(e.text, e.labels, e.place) for e in read.examples] == [
        ("a", ("x",), "row 1 of the data"),
        ("b", ("y",), "row 2 of the data"),
    ]


def test_texts_and_labels_as_a_tuple():
    pairs = classified(([("a", "b"), ["c", "d"]], [0, 1]))
    assert plain(pairs) == [("a", "b", "0"), ("c", "d", "1")]
    assert pairs.notes == []
    assert [e.score for e in read_scored((["a", "b"], [0.5, 2]), LabelledConfig()).examples] == [0.5, 2]
    assert "2 texts and 1 labels" in message((["a", "b"], ["x"]))
    assert 'row 2 of the data: no text in "pair"' in message(([("a", "b"), "c"], [0, 1]))


def test_two_paths_in_a_tuple_are_paths(tmp_path):
    paths = tuple(str(write(tmp_path, name, f"text,label\n{name},x\n")) for name in ("a.csv", "b.csv"))
    assert plain(classified(paths)) == [("a.csv", "x"), ("b.csv", "x")]


def test_examples_are_taken_as_they_are():
    examples = [TextExample(" a ", "b", ("x",), place="here"), TextExample("c", labels=("y",))]
    assert classified(examples).examples == examples
    assert unlabelled(tuple(examples)).examples == examples
    assert message(examples, labels=("x", "z")).startswith('row 2 of the data: label "y" is not one of x, z.')
    assert message([TextExample("a")]).startswith("row 1 of the data: no label.")
    assert message([TextExample("a", labels=("x", "y"))]).startswith("row 1 of the data: 2 labels")
    many = [TextExample("a", labels=("x", "y")), TextExample("b", labels=())]
    assert classified(many, multi_label=True).examples == many
    scored = [TextExample("a", score=1.5), TextExample("b")]
    assert read_scored(scored, LabelledConfig(on_bad_input="skip")).examples == scored[:1]


def test_a_split_of_datasets_names_its_classes():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"premise": datasets.Value("string"), "hypothesis": datasets.Value("string"),
         "label": datasets.ClassLabel(names=["yes", "no"])}
    )  # fmt: skip
    data = datasets.Dataset.from_dict({"premise": ["a"], "hypothesis": ["b"], "label": [1]}, features=features)
    assert plain(classified(data)) == [("a", "b", "no")]


def test_half_characters_do_not_pass():
    [example] = classified([{"text": "a\ud800b", "label": 1}]).examples
    assert example.text == "a\ufffdb"
