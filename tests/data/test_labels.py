"""Labels as they are written in data, and which there may be."""

import numpy as np
import pandas as pd
import pytest
from labelled_files import classified, message, plain, write

from bertsmith.data.labelled.texts import read_classified
from bertsmith.errors import ConfigError, CorpusError
from bertsmith.finetune_config import LabelledConfig


def test_labels_are_strings():
    data = [("a", 0), ("b", 1.0), ("c", True), ("d", " yes "), ("e", np.int64(3)), ("f", 2.5), ("g", ["only"])]
    read = classified([{"text": text, "label": label} for text, label in data])
    assert [example.labels for example in read.examples] == [
        ("0",), ("1",), ("true",), ("yes",), ("3",), ("2.5",), ("only",),
    ]  # fmt: skip


def test_a_number_that_a_missing_neighbour_made_a_float(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b"], "label": [1, None]})
    read = classified(frame, on_bad_input="skip")
    assert plain(read) == [("a", "1")]
    assert [(bad.place, bad.reason) for bad in read.skipped] == [("row 2", "no label")]
    frame.to_csv(tmp_path / "a.csv")
    assert plain(classified(tmp_path / "a.csv", labels=("0", "1"), on_bad_input="skip")) == [("a", "1")]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("joy,anger", ("joy", "anger")),
        (" joy , anger,joy", ("joy", "anger")),
        ("", ()),
        ("joy,,anger", ("joy", "anger")),
        ('["joy", "anger, cold"]', ("joy", "anger, cold")),
        ("['joy', 'anger']", ("joy", "anger")),
        ("[]", ()),
        (["joy", 3], ("joy", "3")),
        (np.array([1, 2]), ("1", "2")),
        (4, ("4",)),
    ],
)
def test_several_labels(cell, labels):
    [example] = classified([{"text": "t", "label": cell}], multi_label=True).examples
    assert example.labels == labels


@pytest.mark.parametrize("missing", [None, float("nan"), np.float64("nan")])
def test_a_missing_label_is_not_the_same_as_none_of_the_labels(missing):
    rows = [{"text": "t", "label": []}, {"text": "u", "label": missing}, {"text": "v", "label": ["joy", missing]}]
    said = message(rows[:2], multi_label=True)
    assert "row 2 of the data: no label; where none of them holds, there is an empty list or an empty text" in said
    read = classified(rows, multi_label=True, on_bad_input="skip")
    assert [(example.text, example.labels) for example in read.examples] == [("t", ())]
    assert [bad.place for bad in read.skipped] == ["row 2", "row 3"]
    assert read.skipped[1].reason.startswith("one of the labels is missing")


def test_several_labels_in_files(tmp_path):
    path = write(tmp_path, "a.tsv", "text\tlabels\nboth\tjoy|anger\nnone\t\n")
    assert [e.labels for e in classified(path, multi_label=True, label_separator="|").examples] == [
        ("joy", "anger"),
        (),
    ]
    lines = write(tmp_path, "a.jsonl", '{"text": "t", "labels": ["joy"]}\n{"text": "u"}')
    assert 'line 2: no "labels"' in message(lines, multi_label=True)
    for cell in ("null", "NaN", "[null]", '"[null]"'):
        lines = write(tmp_path, "b.jsonl", f'{{"text": "t", "labels": ["joy"]}}\n{{"text": "u", "labels": {cell}}}')
        assert "b.jsonl, line 2: " in message(lines, multi_label=True)


def test_several_labels_where_one_is_needed():
    said = message([{"text": "t", "label": ["a", "b"]}])
    assert "row 1 of the data: 2 labels; with --multi-label" in said


def notes_on(*labels, **options):
    read = classified([{"text": f"text {n}", "label": label} for n, label in enumerate(labels)], **options)
    return [note for note in read.notes if "column" not in note or "--label-column" in note]


def test_labels_that_look_like_mistakes_are_told():
    assert notes_on("Good", "good", "bad", "so") == [
        'labels that differ in capitals only are taken for different ones: "Good", "good"'
    ]
    assert notes_on("a", "nan", "nan", "None") == [
        'the label "nan" of 2 example(s) is a label as any other',
        'the label "None" of 1 example(s) is a label as any other',
    ]
    assert notes_on("joy", "anger", "joy, anger") == [
        'a label such as "joy, anger" is taken for one; with --multi-label it is several'
    ]
    assert notes_on("joy", "anger", "joy, anger", multi_label=True) == []
    assert notes_on("yes, please", "no") == []
    assert notes_on(*map(str, range(60))) == ["there are 60 labels to 60 examples; is --label-column the right one?"]
    assert notes_on(*map(str, range(60)), *map(str, range(60)), *map(str, range(60))) == []
    assert notes_on(*map(str, range(20))) == []
    assert (
        classified([{"text": "t", "label": "None"}], labels=("None", "a")).notes
        == classified([{"text": "t", "label": "a"}], labels=("None", "a")).notes
    ), "labels that are known need no doubt"


def test_numbers_are_places_of_the_names(tmp_path):
    names = write(tmp_path, "labels.txt", "joy\nanger\n\nlove\n")
    path = write(tmp_path, "a.tsv", "fine\t0\tx1\nboth\t1,2\tx2\n")
    options = {"text_column": "1", "label_column": "2", "multi_label": True}
    read = classified(path, labels=None, **options)
    assert [e.labels for e in read.examples] == [("0",), ("1", "2")]
    read = read_classified(path, LabelledConfig(labels=str(names), **options))
    assert [e.labels for e in read.examples] == [("joy",), ("anger", "love")]
    assert any("places in --labels" in note for note in read.notes)
    with pytest.raises(CorpusError, match=r"a\.tsv, line 2: label 2: --labels has 2 names.*or pass --labels"):
        read_classified(path, LabelledConfig(labels="joy,anger", **options))


def test_numbers_that_are_names_stay(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\na,1\nb,0\n")
    assert plain(read_classified(path, LabelledConfig(labels="0,1"))) == [("a", "1"), ("b", "0")]


def test_names_and_places_do_not_mix(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\na,1\nb,joy\n")
    with pytest.raises(CorpusError, match=r'some labels are numbers, such as 1, and some are names, such as "joy"'):
        read_classified(path, LabelledConfig(labels="joy,anger"))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("missing.txt", "there is no such file"),
        ("one.txt", "the file holds 1"),
        ("a,b,a", "a is there more than once"),
        ("latin.txt", "cannot be read"),
    ],
)
def test_lists_of_labels_that_are_none(tmp_path, monkeypatch, labels, words):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "one.txt", "joy\n")
    (tmp_path / "latin.txt").write_bytes(b"na\xefve\n")
    with pytest.raises(ConfigError) as caught:
        read_classified([{"text": "t", "label": "a"}], LabelledConfig(labels=labels))
    assert words in str(caught.value)
    assert labels in str(caught.value)


def test_a_label_that_training_did_not_have(tmp_path):
    path = write(tmp_path, "dev.csv", "text,label\ngood,positive\nso so,netural\n")
    known = ("negative", "neutral", "positive")
    assert message(path, labels=known) == (
        f'{path}, line 3: label "netural" is not one of negative, neutral, positive. Mend the line, or pass --labels.'
    )
    many = (*known, *(f"class {number}" for number in range(40)))
    assert 'label "netural" is not one of the 43 labels, the nearest is "neutral"' in message(path, labels=many)
    read = classified(path, labels=known, on_bad_input="skip")
    assert plain(read) == [("good", "positive")]
    assert [(bad.source, bad.place) for bad in read.skipped] == [(str(path), "line 3")]
    with pytest.raises(CorpusError, match='"netural" is not one of positive, neutral'):
        read_classified(path, LabelledConfig(labels="positive,neutral"))
