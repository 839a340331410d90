"""Questions as data sets write them, and what is wrong with others."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from bertsmith.data.labelled.examples import GoldAnswer, QuestionExample
from bertsmith.data.labelled.questions import read_questions, stream_questions
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig

STOP, SKIP = LabelledConfig(), LabelledConfig(on_bad_input="skip")
CONTEXT = "  The Émile saw 😀 a cat.\r\nThe cat saw Émile.  "


def gold(text, start=None):
    return {"text": text, "answer_start": CONTEXT.index(text) if start is None else start}


def squad(*questions, context=CONTEXT):
    return {"version": "2.0", "data": [{"title": "T", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def ask(answers, name="q1", **more):
    return {"id": name, "question": " Who saw? ", "answers": answers, **more}


@pytest.fixture
def written(tmp_path):
    def write(content, name="dev.json"):
        path = tmp_path / name
        if name.endswith(".jsonl"):
            path.write_text("".join(json.dumps(each) + "\n" for each in content), encoding="utf-8")
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write


def fault_of(data, config=STOP):
    with pytest.raises(CorpusError) as caught:
        read_questions(data, config)
    return str(caught.value)


# What is read.


def test_squad_2(written):
    plausible = {"is_impossible": True, "plausible_answers": [gold("a cat")]}
    path = written(squad(ask([gold("a cat"), gold("Émile")], is_impossible=False), ask([], "q2", **plausible)))
    first, second = read_questions(path, STOP).examples
    assert first == QuestionExample(
        "Who saw?",
        CONTEXT,
        (GoldAnswer("a cat", 18), GoldAnswer("Émile", 6)),
        id="q1",
        place=f'{path}, question "q1"',
    )
    assert (second.answers, second.id) == ((), "q2")
    assert first.context is second.context  # held once


def test_starts_as_texts_and_ids_as_numbers(written):
    [example] = read_questions(written(squad(ask([gold(" a cat", "17")], 959))), STOP).examples
    assert (example.id, example.answers) == ("959", (GoldAnswer(" a cat", 17),))


def test_compressed_and_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "dev.json.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(squad(ask([gold("a cat")]))).encode()))
    assert len(read_questions([path], STOP).examples) == 1


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ([{"question": "Who?", "context": CONTEXT, "answers": []}], "question 1"),
        ({"data": [{"question": "Who?", "context": CONTEXT, "answers": []}]}, "question 1"),
        ({"data": [{"context": CONTEXT, "qas": [{"question": "Who?", "answers": []}]}]}, "paragraph 1, question 1"),
        (
            {
                "data": [
                    {"paragraphs": []},
                    {"paragraphs": [{"context": CONTEXT, "qas": [{"question": "Who?", "answers": []}]}]},
                ]
            },
            "article 2, paragraph 1, question 1",
        ),
    ],
)
def test_layouts_without_ids_have_numbers_for_places(written, content, place):
    path = written(content)
    [example] = read_questions(path, STOP).examples
    assert (example.place, example.id) == (f"{path}, {place}", f"{path}, {place}")
    assert (example.question, example.context, example.answers) == ("Who?", CONTEXT, ())


FORMS = [
    {"answers": [gold("a cat")]},
    {"answers": {"text": ["a cat"], "answer_start": [18]}},
    {"answers": {"text": "a cat", "answer_start": 18.0}},
    {"answers": ["a cat"]},
    {"answers": "a cat"},
    {"answer": "a cat"},
    {"answer": "a cat", "answer_start": 18},
    {"answer": {"text": "a cat", "start": 18}},
    {"answers": {"text": np.array(["a cat"], object), "answer_start": np.array([18])}},
]


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_an_answer(form):
    [example] = read_questions([{"question": "Who?", "context": CONTEXT, **form}], STOP).examples
    assert example.answers == (GoldAnswer("a cat", 18),)
    assert example.place == example.id == "row 1 of the data"


@pytest.mark.parametrize(
    "form",
    [
        {"answers": []},
        {"answers": {"text": [], "answer_start": []}},
        {"is_impossible": True},
        {"answer": "", "is_impossible": "True"},
    ],
)
def test_all_forms_of_no_answer(form):
    [example] = read_questions([{"question": "Who?", "context": CONTEXT, **form}], STOP).examples
    assert example.answers == ()


def test_an_answer_without_a_start_that_stands_several_times_is_the_first_with_a_note(written):
    rows = [{"question": "Who?", "context": CONTEXT, "answer": text} for text in ("Émile", "cat", "😀")]
    labelled = read_questions(written(rows, "dev.jsonl"), STOP)
    assert [example.answers[0].start for example in labelled.examples] == [6, 20, 16]
    assert labelled.notes == [
        "2 answer(s) without answer_start stand several times in their contexts; the first place was taken"
    ]
    assert labelled.examples[1].place.endswith("dev.jsonl, line 2")


def test_columns_of_other_names_in_a_csv(tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text('passage,query,gold\n"A cat, a dog.",Who?,a dog\n', encoding="utf-8")
    config = LabelledConfig(text_column="passage", pair_column="query", label_column="gold")
    [example] = read_questions(str(path), config).examples
    assert example == QuestionExample(
        "Who?", "A cat, a dog.", (GoldAnswer("a dog", 7),), id=f"{path}, line 2", place=f"{path}, line 2"
    )


def test_tables_of_python(written):
    rows = [
        {"id": str(n), "question": "Who?", "context": CONTEXT, "answers": {"text": ["a cat"], "answer_start": [18]}}
        for n in range(2)
    ]
    path = written(rows, "dev.jsonl")
    for data in (
        pd.DataFrame(rows),
        Dataset.from_list(rows),
        rows,
        path,
        squad(ask([gold("a cat")], "0"), ask([gold("a cat")], "1")),
    ):
        examples = read_questions(data, STOP).examples
        assert [example.id for example in examples] == ["0", "1"]
        assert [example.answers for example in examples] == [(GoldAnswer("a cat", 18),)] * 2


def test_examples_are_taken_as_they_are_once_they_are_checked():
    good = QuestionExample("Who?", CONTEXT, (GoldAnswer("a cat", 18),), id="7", place="x")
    assert read_questions([good], STOP).examples == [good]
    bad = QuestionExample("Who?", CONTEXT, (GoldAnswer("a cat", 17),))
    assert fault_of([good, bad]).startswith('question 2 of the data: the answer "a cat" does not stand at character 17')


def test_what_is_to_be_predicted_has_no_answers(written):
    path = written(squad({"id": "q", "question": "Who?"}, ask([gold("nowhere", 3)], "q2")))
    assert [example.answers for example in stream_questions(path, STOP, [], [])] == [None, None]


def test_a_folder_gives_its_json_and_its_tables_in_order(written, tmp_path):
    written(squad(ask([gold("a cat")])), "b.json")
    written([{"question": "Who?", "context": CONTEXT, "answer": "😀"}], "a.jsonl")
    (tmp_path / "notes.txt").write_text("not a question")
    assert [example.answers[0].text for example in read_questions(str(tmp_path), STOP).examples] == ["😀", "a cat"]


# What is wrong.

BAD = [
    (
        ask([gold("a cat", 20)]),
        'the answer "a cat" does not stand at character 20 of its context, where "cat.\\r" stands; '
        "it stands once, at character 18",
    ),
    (ask([gold("a cat", 22)]), "it stands once, at character 18 (22 counts bytes)"),
    (ask([gold("a cat", 19)]), "it stands once, at character 18 (19 counts UTF-16 units)"),
    (ask([gold("cat", 1)]), "it stands 2 times elsewhere"),
    (ask([gold("A CAT. The", 18)]), r'"a cat.\r\nThe" at character 18 differs from it in white space or case only'),
    (ask([gold("dog", 3)]), "it stands nowhere in it"),
    (ask([gold("a cat", 999)]), f"of its context, for it has {len(CONTEXT)} characters; it stands once"),
    (ask(["dog"]), 'the answer "dog" is not in its context; it stands nowhere in it'),
    (ask([gold("a cat", -1)]), '"answer_start" must be a number from 0, found -1'),
    (ask([gold("a cat", True)]), '"answer_start" must be a number from 0, found True'),
    (ask([gold(" \u200b", 0)]), 'an answer is empty; of a question that has none, "answers" is an empty list'),
    (ask([{"answer_start": 3}]), '"answers" must be a list of {"text", "answer_start"}, found null'),
    (ask(7), '"answers" must be a list of {"text", "answer_start"}, found a number'),
    (ask({"text": ["a cat"], "answer_start": [1, 2]}), "1 answers and 2 answer_start; each answer needs one"),
    (ask([gold("a cat")], is_impossible=True), '"is_impossible" is true, and yet there is the answer "a cat"'),
    ({"id": "q1", "question": "Who?"}, 'no "answers"; of a question that has none, they are an empty list'),
    ({"id": "q1", "question": " ", "answers": []}, "the question is empty"),
    ({"id": "q1", "answers": []}, 'no "question"; there are "context", "id", "answers"'),
    ({"id": "q1", "question": 7, "answers": []}, '"question" must be a text, found a number'),
]


@pytest.mark.parametrize(("broken", "reason"), BAD)
def test_a_broken_question_is_told_with_its_place_or_left_out(written, broken, reason):
    path = written(squad(broken, ask([gold("a cat")], "good")))
    message = fault_of(path)
    assert message.startswith(f'{path}, question "q1": ')
    assert message.endswith(". Mend it, or leave it out with --on-bad-input skip.")
    assert reason in message
    labelled = read_questions(path, SKIP)
    assert [example.id for example in labelled.examples] == ["good"]
    assert [(bad.source, bad.place) for bad in labelled.skipped] == [(path, 'question "q1"')]
    assert reason in labelled.skipped[0].reason


def test_an_empty_context(written):
    assert "the context is empty" in fault_of(written(squad(ask([]), context=" \n")))


def test_two_questions_of_one_id(written):
    first, second = written(squad(ask([])), "a.json"), written(squad(ask([])), "b.json")
    said = f'{second}, question "q1": the id "q1" is also that of {first}, question "q1"; each needs its own'
    assert fault_of([first, second]).startswith(said)
    assert len(read_questions([first, second], SKIP).examples) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [', "line 1, column 11: malformed JSON (Expecting value)"),
        (
            '{"a": 1}\n{"a": 2}',
            "line 2, column 1: malformed JSON (Extra data; a file with one object a line is .jsonl)",
        ),
        ('{"question": "Who?"}', 'the file: no SQuAD: it has neither "data" nor "paragraphs" nor "qas"'),
        ("[" * 100_000, "the file: malformed JSON (nested too deeply)"),
        ('{"data": []}', "no question found. Give SQuAD's .json, or rows with question, context, answers."),
    ],
)
def test_a_file_that_is_no_squad(written, content, message):
    assert message in fault_of(written(content))


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "dev.json"
    path.write_bytes(b'{"data":\n["\xe9"]}')
    assert "line 2, byte 11: byte 0xe9 is no UTF-8" in fault_of(str(path))


def test_half_characters_do_not_shift_the_answer(written):
    content = json.dumps(squad(ask([gold("a cat")]))).replace("Who saw", "Who \\ud800 saw")
    [example] = read_questions(written(content), STOP).examples
    assert example.question == "Who \ufffd saw?"
