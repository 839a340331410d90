"""Examples to be answered are read one by one: no file is held whole, and what is broken is met on the way."""

import json
import tracemalloc
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertsmith.data.labelled.choices import stream_choices
from bertsmith.data.labelled.questions import stream_questions
from bertsmith.data.labelled.texts import stream_texts
from bertsmith.data.labelled.words import stream_words
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig

COUNT = 12_000
TEXT = "a nurse saw the doctor in the ward, and the doctor saw the nurse: number"


def rows(values):
    return "".join(json.dumps(each) + "\n" for each in values)


FILES = {
    "a.csv": (stream_texts, "text,label\n" + "".join(f'"{TEXT} {n}",\n' for n in range(COUNT)) + "one cell\n"),
    "a.tsv": (stream_texts, "text\tlabel\n" + "".join(f"{TEXT} {n}\t\n" for n in range(COUNT)) + "one cell\n"),
    "a.jsonl": (stream_texts, rows({"text": f"{TEXT} {n}"} for n in range(COUNT)) + "{\n"),
    "a.txt": (stream_texts, "".join(f"{TEXT} {n}\n" for n in range(COUNT)) + "\udcff\n"),
    "words.txt": (stream_words, "".join(f"{TEXT} {n}\n" for n in range(COUNT)) + "\udcff\n"),
    "a.conll": (stream_words, "".join("a O\nnurse O\n\n" for n in range(COUNT)) + "one\n"),
    "words.jsonl": (stream_words, rows({"text": f"{TEXT} {n}"} for n in range(COUNT)) + "{\n"),
    "questions.jsonl": (stream_questions, rows({"question": "Who?", "context": TEXT} for _ in range(COUNT)) + "{\n"),
    "choices.jsonl": (stream_choices, rows({"text": TEXT, "choices": ["a", "b"]} for _ in range(COUNT)) + "{\n"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_length_takes_the_same_memory(tmp_path, name):
    stream, text = FILES[name]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    next(stream(str(path), LabelledConfig(), [], []))  # what is imported and kept once
    tracemalloc.start()
    examples = stream(str(path), LabelledConfig(), [], [])
    assert len(list(islice(examples, 10))) == 10
    tracemalloc.reset_peak()
    assert sum(1 for _ in islice(examples, COUNT - 10)) == COUNT - 10
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 << 20, "a block or two of the file; all examples would be 5 MB and more"
    with pytest.raises(CorpusError, match=rf"{name}, line "):  # the last line, which was not looked at before
        next(examples)


def test_rows_of_parquet_come_one_by_one(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["fine"] * 5000 + [None]}), path)
    examples = stream_texts(str(path), LabelledConfig(), [], [])
    assert sum(1 for _ in islice(examples, 5000)) == 5000
    with pytest.raises(CorpusError, match=r"a\.parquet, row 5,001: no text"):
        next(examples)


@pytest.mark.parametrize(
    ("stream", "name", "said"),
    [
        (stream_texts, "a.csv", "no example found"),
        (stream_words, "a.conll", "no text"),
        (stream_questions, "a.jsonl", "no question found"),
        (stream_choices, "a.jsonl", "no example found"),
    ],
)
def test_nothing_to_answer_is_an_error(tmp_path, stream, name, said):
    (tmp_path / name).write_text("\n")
    with pytest.raises(CorpusError, match=said):
        list(stream(str(tmp_path / name), LabelledConfig(), [], []))
