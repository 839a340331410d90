"""Rows of labelled tables, from files and from Python objects, with their places."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertsmith.data.labelled.rows import Table, read_tables
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.streams import BadInput

COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}
CELLS = {"text": ['a "quoted" word', "zwei, drei"], "label": ["x", "y"]}


def read_rows(data, config, skipped):
    """The rows of all tables, one after the other."""
    for table in read_tables(data, config, skipped):
        yield from table.rows


def as_bytes(ending: str) -> bytes:
    pairs = list(zip(CELLS["text"], CELLS["label"], strict=True))
    if ending == ".csv":
        return b'text,label\n"a ""quoted"" word",x\n"zwei, drei",y\n'
    if ending == ".tsv":
        return "".join(f"{text}\t{label}\n" for text, label in [("text", "label"), *pairs]).encode()
    if ending == ".jsonl":
        return "\n".join(json.dumps({"text": text, "label": label}) for text, label in pairs).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(CELLS), sink)
    return sink.getvalue().to_pybytes()


def values(data: object, **options: object) -> list[dict[str, object]]:
    return [dict(row.values) for row in read_rows(data, LabelledConfig(**options), [])]


def only_table(data: object, **options: object) -> Table:
    [table] = read_tables(data, LabelledConfig(**options), [])
    return table


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("compression", COMPRESS)
def test_every_format_in_every_compression_gives_the_same_rows(tmp_path, ending, compression):
    path = tmp_path / f"train{ending}{compression}"
    path.write_bytes(COMPRESS[compression](as_bytes(ending)))
    rows = list(read_rows(path, LabelledConfig(), []))
    assert [row.values for row in rows] == [
        {"text": 'a "quoted" word', "label": "x"},
        {"text": "zwei, drei", "label": "y"},
    ]
    first = {".jsonl": "line 1", ".parquet": "row 1"}.get(ending, "line 2")
    assert rows[0].place == f"{path}, {first}"


def test_several_files_and_globs_come_in_order(tmp_path):
    for name in ("b.csv", "a.csv"):
        write(tmp_path, name, f"text\n{name}\n")
    assert [row["text"] for row in values([str(tmp_path / "b.csv"), str(tmp_path / "*.csv")])] == ["b.csv", "a.csv"]
    write(tmp_path, "labels.txt", "no table")
    assert [row["text"] for row in values(tmp_path)] == ["a.csv", "b.csv"]


def test_values_keep_their_types_and_what_is_missing_is_none(tmp_path):
    record = {"choices": ["a", "b"], "answers": {"start": [3]}, "n": 1, "ok": True, "none": None}
    assert values(write(tmp_path, "a.jsonl", json.dumps(record))) == [record]
    pq.write_table(pa.table({"n": [1.5, float("nan"), None], "s": [["a"], [], None]}), tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet") == [{"n": 1.5, "s": ["a"]}, {"n": None, "s": []}, {"n": None, "s": None}]


def test_half_characters_of_json_are_mended_wherever_they_are(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"a": ["x\\ud800", {"b\\uDC00": "\\ud83d\\ude00"}]}')
    assert values(path) == [{"a": ["x\ufffd", {"b\ufffd": "😀"}]}]


@pytest.mark.parametrize(
    ("options", "columns", "count"),
    [
        ({}, ("first", "1"), 1),
        ({"header": False}, ("1", "2"), 2),
        ({"text_column": "1"}, ("1", "2"), 2),
        ({"text_column": "1", "label_column": "2"}, ("1", "2"), 2),
        ({"text_column": "1", "header": True}, ("first", "1"), 1),
        ({"text_column": "first", "label_column": "2"}, ("first", "1"), 1),
        ({"label_column": "2"}, ("first", "1"), 1),
    ],
)
def test_whether_there_is_a_header(tmp_path, options, columns, count):
    table = only_table(write(tmp_path, "a.csv", "first,1\nsecond,0\n"), **options)
    assert table.columns == columns
    assert len(list(table.rows)) == count


def test_a_header_is_seen_behind_numbers(tmp_path):
    path = write(tmp_path, "a.tsv", "id\tsentence\tlabel\n1\tfine\t0\n")
    table = only_table(path, text_column="2", label_column="3")
    assert table.columns == ("id", "sentence", "label")
    assert table.column("2") == "sentence"
    assert only_table(path, text_column="2").columns == table.columns
    assert only_table(path, text_column="2", label_column="1").columns == ("1", "2", "3")


def test_columns_by_name_and_number(tmp_path):
    table = only_table(write(tmp_path, "a.csv", "text,2020,,text\na,b,c,d\n"))
    assert table.columns == ("text", "2020", "3", "4")
    assert [table.column(named) for named in (None, "text", "2020", "2", "3")] == [None, "text", "2020", "2020", "3"]
    assert next(table.rows).values == {"text": "a", "2020": "b", "3": "c", "4": "d"}
    with pytest.raises(CorpusError, match=r'a\.csv: no column "texts"; there are "text", "2020".*Did you mean "text"'):
        table.column("texts")
    with pytest.raises(CorpusError, match=r'no column "5"'):
        table.column("5")


def test_columns_of_objects_are_the_keys_of_the_first_hundred(tmp_path):
    lines = [{"a": 1}] * 99 + [{"b": 2}, {"c": 3}]
    assert only_table(write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)))).columns == ("a", "b")
    table = only_table(lines)
    assert table.columns == ("a", "b")
    assert len(list(table.rows)) == 101


def test_too_few_and_too_many_cells(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\na,1\nb\nc,1,2\nd,0\n")
    with pytest.raises(CorpusError, match=r"a\.csv, line 3: 1 cells where the first line has 2.*--on-bad-input skip"):
        values(path)
    skipped: list[BadInput] = []
    rows = read_rows(path, LabelledConfig(on_bad_input="skip"), skipped)
    assert [row.values["text"] for row in rows] == ["a", "d"]
    assert [(bad.place, bad.reason) for bad in skipped] == [
        ("line 3", "1 cells where the first line has 2"),
        ("line 4", "3 cells where the first line has 2"),
    ]


@pytest.mark.parametrize(("name", "cut"), [("a.csv", ","), ("a.tsv", "\t")])
def test_a_row_of_empty_cells_is_told_and_a_blank_line_is_not(tmp_path, name, cut):
    lines = ["text,label", "a,1", "", " , ", ",,", "b,"]
    path = write(tmp_path, name, "\n".join(lines).replace(",", cut) + "\n")
    with pytest.raises(CorpusError, match=rf"{name}, line 4: all 2 cells are empty\. .*--on-bad-input skip"):
        values(path)
    skipped: list[BadInput] = []
    rows = read_rows(path, LabelledConfig(on_bad_input="skip"), skipped)
    assert [row.values for row in rows] == [{"text": "a", "label": "1"}, {"text": "b", "label": ""}]
    assert [(bad.place, bad.reason) for bad in skipped] == [
        ("line 4", "all 2 cells are empty"),
        ("line 5", "all 3 cells are empty"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', "line 2: malformed JSON"),
        ("a.jsonl", b'{"text": "x"}\n["x"]\n', "line 2: a JSON object is needed, found a list"),
        ("a.tsv", b"text\nna\xefve\n", "line 2, byte 7: byte 0xef is no UTF-8"),
        ("a.csv", b'text\n"open\n', "line 2: a quotation mark opens here and is never closed"),
        ("a.parquet", b"text", "damaged, or no Parquet file"),
        ("a.txt", b"text", "no table"),
    ],
)
def test_what_cannot_be_parsed_is_told_with_its_place(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError) as caught:
        values(tmp_path / name)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_an_empty_file_has_no_table(tmp_path):
    assert (
        list(read_tables([write(tmp_path, "a.csv", ""), write(tmp_path, "b.jsonl", "\n")], LabelledConfig(), [])) == []
    )


def test_a_row_reports_what_the_reader_finds_in_it(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"text": " good "}\n{"text": " "}\n{"text": null}\n{"text": 5}\n{}')
    skipped: list[BadInput] = []
    rows = list(read_rows(path, LabelledConfig(on_bad_input="skip"), skipped))
    assert [row.text("text") for row in rows] == ["good", None, None, None, None]
    assert [bad.reason for bad in skipped] == [
        'empty text in "text"',
        'no text in "text"',
        '"text" must be a text, found a number',
        'no text in "text"',
    ]
    [row] = read_rows(write(tmp_path, "b.jsonl", "{}"), LabelledConfig(), [])
    with pytest.raises(CorpusError, match=r"b\.jsonl, line 1: strange\. Do something\.$"):
        row.report("strange", remedy="Do something.")


def test_notes_of_two_sources_do_not_mix(tmp_path):
    paths = [write(tmp_path, f"{name}.jsonl", "{}\n" * 150) for name in "ab"]
    skipped: list[BadInput] = []
    rows = list(read_rows(paths, LabelledConfig(on_bad_input="skip"), skipped))
    for row in rows[:100] + rows[150:] + rows[100:150]:
        row.report("bad")
    assert {path: sum(bad.count for bad in skipped if bad.source == path) for path in paths} == dict.fromkeys(
        paths, 150
    )


EXPECTED = [{"text": "one", "n": 1.0}, {"text": None, "n": None}]


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"text": ["one", None], "n": [1, np.nan]}),
        pd.DataFrame({"text": pd.array(["one", pd.NA], "string"), "n": pd.array([1, pd.NA], "Int64")}, index=[7, 9]),
        pa.table({"text": ["one", None], "n": [1, None]}),
        {"text": ["one", None], "n": np.array([1, np.nan])},
        {"text": pd.Series(["one", None]), "n": (1, None)},
        [{"text": "one", "n": 1}, {"text": float("nan"), "n": None}],
        ({"text": text, "n": n} for text, n in (("one", 1), (None, None))),
    ],
    ids=["pandas", "pandas-na", "pyarrow", "arrays", "mixed", "dicts", "generator"],
)
def test_tables_that_are_python_objects(data):
    rows = list(read_rows(data, LabelledConfig(), []))
    assert [row.values for row in rows] == EXPECTED
    assert [row.place for row in rows] == ["row 1 of the data", "row 2 of the data"]


def test_polars_by_its_ways():
    class Column:
        def __init__(self, name: str, cells: list[object]) -> None:
            self.name, self._cells = name, cells

        def to_list(self) -> list[object]:
            return self._cells

    class Frame:
        columns = ("text", "n")

        def get_columns(self) -> list[Column]:
            return [Column("text", ["one", None]), Column("n", [1, None])]

    assert values(Frame()) == EXPECTED


def test_datasets_tell_the_names_of_classes():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["bad", "good"]),
            "many": datasets.Sequence(datasets.ClassLabel(names=["joy", "anger"])),
        }
    )
    table = {"text": ["a", "b", "c"], "label": [1, 0, -1], "many": [[0, 1], [], [1]]}
    data = datasets.Dataset.from_dict(table, features=features)
    expected = [
        {"text": "a", "label": "good", "many": ["joy", "anger"]},
        {"text": "b", "label": "bad", "many": []},
        {"text": "c", "label": None, "many": ["anger"]},
    ]
    assert values(data) == expected
    assert values(data.with_format("numpy")) == expected
    assert values(data.to_iterable_dataset()) == expected
    with pytest.raises(CorpusError, match=r'several splits \(train\).*data\["train"\]'):
        values(datasets.DatasetDict({"train": data}))


def test_a_frame_with_a_column_twice_keeps_the_first():
    frame = pd.DataFrame([["one", "two", 3]], columns=["text", "text", 0])
    assert values(frame) == [{"text": "one", "0": 3}]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"text": ["a"], "label": ["x", "y"]}, '"text" has 1, "label" has 2'),
        ({"text": "a"}, '"text" must be a list'),
        (5, "labelled data cannot be of type int"),
        ([{"text": "a"}, "b"], "row 2 of the data: a dict is needed, found a text. Mend it"),
    ],
)
def test_objects_that_are_no_table(data, words):
    with pytest.raises(CorpusError) as caught:
        values(data)
    assert words in str(caught.value)
