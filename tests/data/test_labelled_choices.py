"""Texts with choices as data sets write them, and what is wrong with others."""

import json

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from bertsmith.data.labelled.choices import read_choices, stream_choices
from bertsmith.data.labelled.examples import ChoiceExample
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig

STOP, SKIP = LabelledConfig(), LabelledConfig(on_bad_input="skip")
SWAG = (
    ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label\n"
    '0,v1,1,"A man sits, He",A man sits,He,gold,"sings, loudly.",sleeps.,flies.,melts.,2\n'
    "1,v2,2,A cat. It,A cat.,It,gold,purrs.,barks.,moos.,sings.,0\n"
)


def fault_of(data, config=STOP, **options):
    with pytest.raises(CorpusError) as caught:
        read_choices(data, config, **options)
    return str(caught.value)


def one(values):
    [example] = read_choices([values], STOP).examples
    return example.text, example.choices, example.label


def test_swag(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(SWAG, encoding="utf-8")
    labelled = read_choices(str(path), STOP)
    assert labelled.examples[0] == ChoiceExample(
        "A man sits", ("He sings, loudly.", "He sleeps.", "He flies.", "He melts."), 2, f"{path}, line 2"
    )
    assert (labelled.examples[1].choices[0], labelled.examples[1].label) == ("It purrs.", 0)
    assert (len(labelled.examples), labelled.notes) == (2, [])


@pytest.mark.parametrize("text", ["text", "context", "question", "ctx", "premise"])
@pytest.mark.parametrize("choices", ["choices", "endings", "options"])
def test_usual_names(text, choices):
    assert one({text: " Why? ", choices: ["a dog ", "a cat"], "label": 1}) == ("Why?", ("a dog", "a cat"), 1)


@pytest.mark.parametrize("label", [1, "1", 1.0, np.int64(1), "B", "b", "a cat", " a cat "])
def test_a_label_is_a_number_a_letter_or_a_text(label):
    assert one({"text": "Why?", "choices": ["a dog", "a cat", "so"], "label": label})[2] == 1


def test_a_question_beside_a_text_is_what_each_choice_begins_with():
    race = {"article": "It rained.", "question": "Why wet?", "options": ["Rain.", "Sun."], "answer": "A"}
    assert one(race) == ("It rained.", ("Why wet? Rain.", "Why wet? Sun."), 0)


@pytest.mark.parametrize(
    "choices",
    [
        {"text": ["a dog", "a cat"], "label": ["1", "2"]},
        {"text": np.array(["a dog", "a cat"], object), "label": np.array(["1", "2"], object)},
        [{"label": "1", "text": "a dog"}, {"label": "2", "text": "a cat"}],
    ],
)
def test_choices_with_names_of_their_own_are_meant_by_these(choices):
    assert one({"question": "Why?", "choices": choices, "answerKey": "2"}) == ("Why?", ("a dog", "a cat"), 1)


def test_columns_of_letters():
    assert one({"question": "Why?", "A": "a dog", "B": "a cat", "C": "so", "answer": "C"}) == (
        "Why?",
        ("a dog", "a cat", "so"),
        2,
    )


def test_eleven_columns_are_in_the_order_of_their_numbers():
    choices = {f"ending{number}": f"e{number}" for number in (10, 2, 0, 1, 9, 3, 8, 4, 7, 5, 6)}
    assert one({"text": "Why?", **choices, "label": 10})[1:] == (tuple(f"e{number}" for number in range(11)), 10)


def test_columns_that_count_from_1_are_meant_by_labels_that_count_so_too():
    rows = [{"sentence": "It fell.", "option1": "cup", "option2": "table", "answer": str(n)} for n in (1, 2, 1)]
    labelled = read_choices(rows, STOP)
    assert [example.label for example in labelled.examples] == [0, 1, 0]
    assert labelled.notes == ['the data: "answer" counts the choices from 1']
    rows = [{"premise": "It fell.", "choice1": "cup", "choice2": "table", "label": n} for n in (0, 1, 1)]
    labelled = read_choices(rows, STOP)
    assert [example.label for example in labelled.examples] == [0, 1, 1]
    assert labelled.notes == []


def test_python_objects_and_files_say_the_same(tmp_path):
    rows = [{"text": "Why?", "choices": ["a dog", "a cat"], "label": 1}] * 2
    path = tmp_path / "dev.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for data in (rows, pd.DataFrame(rows), Dataset.from_list(rows), path, [path]):
        examples = read_choices(data, STOP).examples
        assert [(e.text, e.choices, e.label) for e in examples] == [("Why?", ("a dog", "a cat"), 1)] * 2
    assert examples[1].place == f"{path}, line 2"


def test_classes_of_a_dataset_are_numbers_of_choices():
    features = Features({name: Value("string") for name in ("sent1", "sent2", "ending0", "ending1")})
    features["label"] = ClassLabel(names=["0", "1"])
    row = {"sent1": "A cat.", "sent2": "It", "ending0": "barks", "ending1": "purrs", "label": 1}
    [example] = read_choices(Dataset.from_list([row], features=features), STOP).examples
    assert (example.choices, example.label) == (("It barks", "It purrs"), 1)


def test_columns_of_other_names():
    config = LabelledConfig(text_column="stem", pair_column="start", label_column="key")
    row = {"stem": "A cat.", "start": "It", "text": "x", "choices": ["barks", "purrs"], "label": 0, "key": 1}
    [example] = read_choices([row], config).examples
    assert (example.text, example.choices, example.label) == ("A cat.", ("It barks", "It purrs"), 1)


def test_what_is_to_be_predicted_has_no_labels():
    rows = [{"text": "Why?", "choices": ["a dog", "a cat"]}]
    assert next(stream_choices(rows, STOP, [], [])).label is None
    assert "no column for the label under a usual name (label, " in fault_of(rows)
    example = ChoiceExample("Why?", ("a", "b"), 1, "x")
    assert list(stream_choices([example], STOP, [], [])) == [ChoiceExample("Why?", ("a", "b"), None, "x")]


BAD = [
    ({"label": 2}, 'label "2" is neither a number 0 … 1 or a letter from A, nor the text of a choice'),
    ({"label": "cat"}, 'label "cat" is neither a number 0 … 1 or a letter from A, nor the text of a choice'),
    ({"label": None}, "no label"),
    ({"label": ""}, "no label"),
    ({"label": -1}, "no label"),
    ({"label": True}, "a label must be a number or a text, found a boolean"),
    ({"label": 0.5}, "a label must be a number or a text, found a number"),
    ({"choices": ["1", "2"], "label": "1"}, 'label "1" may be each of the choices 0, 1'),
    ({"choices": ["a dog", "a dog"], "label": "a dog"}, 'label "a dog" may be each of the choices 0, 1'),
    ({"choices": ["a dog"]}, "1 choice(s); there must be two at least"),
    ({"choices": ["a dog", " "]}, "choice 1 (of 0 … 1) is empty"),
    ({"choices": ["a dog", None]}, '"choices" must be a text, found null'),
    ({"choices": "a dog"}, '"choices" must be a list of texts, found a text'),
    ({"text": " "}, "the text is empty"),
    ({"text": 3}, '"text" must be a text, found a number'),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_a_broken_row_is_told_with_its_place_or_left_out(tmp_path, change, reason):
    good = {"text": "Why?", "choices": ["a dog", "a cat"], "label": 0}
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (good, {**good, **change})), encoding="utf-8")
    assert fault_of(str(path)) == f"{path}, line 2: {reason}. Mend it, or leave it out with --on-bad-input skip."
    labelled = read_choices(str(path), SKIP)
    assert len(labelled.examples) == 1
    assert [(bad.place, bad.reason) for bad in labelled.skipped] == [("line 2", reason)]


def test_a_broken_example_of_python():
    bad = ChoiceExample("Why?", ("a dog", "a cat"), 2)
    assert fault_of([bad]).startswith("example 1 of the data: label 2 is none of 0 … 1. ")
    assert fault_of([ChoiceExample("Why?", ("a", "b"))]).startswith("example 1 of the data: no label. ")


def test_tables_without_the_columns(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("a,b\n1,2\n")
    assert fault_of(str(path)).startswith(f"{path}: no column for the text under a usual name (sent1, text, ")
    path.write_text("text,ending0,label\nx,y,0\n")
    assert (
        'no column for the choices under a usual name (choices, endings, options, ending0, ending1); there are "text"'
        in (fault_of(str(path)))
    )


def test_no_example_at_all():
    rows = [{"text": "", "choices": ["a", "b"], "label": 0}] * 2
    assert fault_of(rows, SKIP).startswith("no example found (2 left out, first row 1: the text is empty). ")
