"""Files to documents, and what is said of broken ones."""

import bz2
import gzip
import json
import lzma
import re
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertsmith.config import CorpusConfig
from bertsmith.errors import CorpusError
from bertsmith.text import corpus, streams
from bertsmith.text.corpus import BadInput, Document, list_sources, read_corpus, read_documents

COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def read(path: Path, **options: object) -> tuple[list[str], list[BadInput]]:
    skipped: list[BadInput] = []
    documents = read_corpus(list_sources([str(path)]), CorpusConfig(**options), skipped=skipped)
    return [document.text for document in documents], skipped


def skip(path: Path, **options: object) -> tuple[list[str], list[tuple[str, str]]]:
    texts, skipped = read(path, on_bad_input="skip", **options)
    return texts, [(bad.place, bad.reason) for bad in skipped]


def message(path: Path, **options: object) -> str:
    with pytest.raises(CorpusError) as caught:
        read(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def as_bytes(ending: str, texts: list[str]) -> bytes:
    if ending == ".txt":
        return "\n\n".join(texts).encode()
    if ending == ".jsonl":
        return "\n".join(json.dumps({"id": 1, "text": text}) for text in texts).encode()
    if ending == ".csv":
        return ("id,text\n" + "".join('1,"' + text.replace('"', '""') + '"\n' for text in texts)).encode()
    if ending == ".tsv":
        return ("id\ttext\n" + "".join(f"1\t{text}\n" for text in texts)).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": [1] * len(texts), "text": texts}), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("compression", COMPRESS)
def test_every_format_in_every_compression(tmp_path, ending, compression):
    texts = ['A "quoted" one, with commas.', "日本語 und Ümläute", "x" * 5000]
    path = tmp_path / f"corpus{ending}{compression}"
    path.write_bytes(COMPRESS[compression](as_bytes(ending, texts)))
    [source] = list_sources([str(path)])
    expected = [Document(text, str(path), ordinal) for ordinal, text in enumerate(texts)]
    assert list(read_documents(source, CorpusConfig(), skipped=[])) == expected


def test_archives_of_several_frames_are_read_to_the_end(tmp_path):
    for ending in (".gz", ".bz2", ".xz", ".zst"):
        path = tmp_path / f"a.txt{ending}"
        path.write_bytes(COMPRESS[ending](b"one\n") + COMPRESS[ending](b"\ntwo"))
        assert read(path)[0] == ["one", "two"]


def test_urls_are_read(tmp_path):
    import fsspec

    fsspec.filesystem("memory").pipe("/c/a.txt.gz", gzip.compress(b"one\n\ntwo"))
    documents = list(read_corpus(list_sources(["memory://c/a.txt.gz"]), CorpusConfig(), skipped=[]))
    assert [document.text for document in documents] == ["one", "two"]


@pytest.mark.parametrize(
    ("data", "per", "texts"),
    [
        (b"a\nb\n\nc\n", "blank-line", ["a\nb", "c"]),
        (b"\n\n a\r\nb\r\n \t\r\n\r\nc\r\n", "blank-line", ["a\nb", "c"]),
        (b"a\n\xe3\x80\x80\nb\n\xc2\xa0\nc", "blank-line", ["a", "b", "c"]),
        (b"a\rb\r\rc", "blank-line", ["a\nb", "c"]),
        (b"\xef\xbb\xbfa\n\nb", "blank-line", ["a", "b"]),
        (b"a\x00b", "blank-line", ["a\x00b"]),
        (b"a\nb\n\n c \n", "line", ["a", "b", "c"]),
        (b"a\nb\n\nc\n", "file", ["a\nb\n\nc"]),
    ],
)
def test_where_documents_end(tmp_path, data, per, texts):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert read(path, document_per=per)[0] == texts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(text=st.text("ab é\n\r", max_size=60), block=st.integers(1, 9), per=st.sampled_from(["blank-line", "line"]))
def test_block_boundaries_do_not_matter(tmp_path_factory, monkeypatch, text, block, per):
    if "\r" in text:  # lone ones are line ends only in files that have no others
        text = text.replace("\r", "").replace("\n", "\r\n")
    path = tmp_path_factory.getbasetemp() / "blocks.txt"
    path.write_bytes(text.encode())
    unix = text.replace("\r\n", "\n")
    parts = re.split(r"\n\s*\n" if per == "blank-line" else r"\n", unix)
    expected = [part.strip() for part in parts if part.strip()]
    monkeypatch.setattr(streams, "BLOCK_BYTES", block)
    [source] = list_sources([str(path)])
    documents = read_documents(source, CorpusConfig(document_per=per), skipped=[])
    assert [document.text for document in documents] == expected


@pytest.mark.parametrize("block", [3, 1 << 20])
def test_an_undecodable_byte_is_named_by_offset_and_line(tmp_path, monkeypatch, block):
    monkeypatch.setattr(streams, "BLOCK_BYTES", block)
    path = tmp_path / "latin.txt"
    data = "\ufeffgut\r\n\r\nzwei\nZeilen\n\nna\nschön\n\nEnde".encode().replace("ö".encode(), b"\xf6")
    path.write_bytes(data)
    place = f"line 7, byte {data.index(0xF6)}"
    said = message(path)
    assert place in said
    assert "byte 0xf6 is no UTF-8" in said
    assert "iconv -f latin1" in said
    texts, bad = skip(path)
    assert texts == ["gut", "zwei\nZeilen", "Ende"]
    assert [where for where, _ in bad] == [place]
    path.with_suffix(".gz").write_bytes(gzip.compress(data))
    assert place in message(path.with_suffix(".gz"))


def test_utf_16_is_recognised(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("text".encode("utf-16"))
    assert "iconv -f utf-16" in message(path)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_truncated_archive(tmp_path, ending):
    numbers = [f"document {n} {n * 7919 % 1000}" for n in range(100_000)]
    data = COMPRESS[ending]("\n\n".join(numbers).encode())
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(data[: len(data) // 2])
    said = message(path)
    assert "archive is truncated" in said
    assert re.search(r"byte [\d,]+ of the text", said)
    assert "--on-bad-input skip" in said
    texts, bad = skip(path)
    assert 10_000 < len(texts) < 90_000
    assert texts == numbers[: len(texts)]
    assert len(bad) == 1


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst", ".parquet"])
def test_a_file_that_is_not_what_its_name_says(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"plain text, and no archive at all" * 10)
    assert "damaged, or no" in message(path)


def test_a_file_that_cannot_be_opened(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("text")
    [source] = list_sources([str(path)])

    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(streams, "open_bytes", refuse)
    with pytest.raises(CorpusError, match=r"a\.txt.*no permission to read"):
        list(read_documents(source, CorpusConfig(), skipped=[]))


def test_bad_lines_of_jsonl(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = ['{"text": "one"}', '{"text": ', "[1]", '{"text": 5}', '{"body": "x"}', "", '{"text": "six \\ud800!"}']
    path.write_text("\n".join(lines))
    assert f"{path}, line 2: malformed JSON" in message(path)
    texts, bad = skip(path)
    assert texts == ["one", "six \ufffd!"]
    assert [place for place, _ in bad] == ["line 2", "line 3", "line 4", "line 5"]
    reasons = [reason for _, reason in bad]
    assert reasons[1] == "a JSON object is needed, found a list"
    assert reasons[2] == '"text" must be a text, found a number'
    assert reasons[3] == 'no column "text"; there are "body"; name one with --text-column'


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_a_missing_column_is_answered_with_those_there_are(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(as_bytes(ending, ["one"]))
    said = message(path, text_column="sentence")
    assert 'no column "sentence"; there are "id", "text"; name one with --text-column' in said
    assert read(path, text_column="text")[0] == ["one"]


def test_csv_quotes_lines_and_cells(tmp_path):
    path = tmp_path / "a.csv"
    data = b'id,text\r\n1,"two\r\nlines, ""quoted"""\r\n2,a,b\r\n3\r\n4,caf\xe9\r\n5,last\r\n'
    path.write_bytes(data)
    texts, bad = skip(path)
    assert texts == ['two\nlines, "quoted"', "last"]
    assert [place for place, _ in bad] == ["line 4", "line 5", f"line 6, byte {data.index(0xE9)}"]
    assert bad[0][1] == "3 cells where the first line has 2"
    assert "0xe9" in bad[2][1]


def test_a_row_of_empty_cells_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,one\n\n,\n2,\n")
    assert "line 4: all 2 cells are empty" in message(path)
    assert skip(path) == (["one"], [("line 4", "all 2 cells are empty")])


def test_an_open_quote_does_not_swallow_the_rest_in_silence(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text\none\n"two\nthree\nfour\n')
    assert "line 3: a quotation mark opens here and is never closed" in message(path)


def test_tsv_keeps_bare_quotation_marks(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('label\ttext\n1\t" tis a pity\n0\t"he said ""no"""\n1\t"a" and "b"\n')
    assert read(path)[0] == ['" tis a pity', 'he said "no"', '"a" and "b"']


def test_parquet_nulls_kinds_and_damage(tmp_path):
    path = tmp_path / "a.parquet"
    column = pa.array(["one", None, "three"]).dictionary_encode()
    pq.write_table(pa.table({"text": column, "n": [1, 2, 3]}), path)
    assert skip(path) == (["one", "three"], [("row 2", "no text (null)")])
    assert 'column "n" must hold text, found int64' in message(path, text_column="n")
    path.write_bytes(path.read_bytes()[:-20])
    assert "damaged, or no Parquet file" in message(path)


@pytest.mark.parametrize("ending", [".txt", ".jsonl"])
def test_a_monstrous_document_is_cut_at_white_space(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(corpus, "MAX_DOCUMENT", 1000)
    monkeypatch.setattr(streams, "BLOCK_BYTES", 100)
    text = " ".join(f"wörd{n}" for n in range(2000))
    path = tmp_path / f"a{ending}"
    path.write_bytes(as_bytes(ending, [text, "short"]))
    texts, _ = read(path)
    assert len(texts) > 10
    assert max(map(len, texts)) <= 1100
    assert texts[-1] == "short"
    assert " ".join(texts[:-1]) == text


def test_a_monstrous_word_is_cut_between_characters(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_DOCUMENT", 1000)
    path = tmp_path / "a.txt"
    path.write_text("日" * 5000, encoding="utf-8")
    assert "".join(read(path)[0]) == "日" * 5000


def test_a_monstrous_line_of_jsonl_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 5000)
    monkeypatch.setattr(streams, "BLOCK_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(as_bytes(".jsonl", ["one", "x" * 9000, "three", "y" * 9000]))
    texts, bad = skip(path)
    assert texts == ["one", "three"]
    assert [place for place, _ in bad] == ["line 2", "line 4"]


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "MAX_DOCUMENT", 1 << 20)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"no line ever ends here " * 2_000_000, compresslevel=1))
    [source] = list_sources([str(path)])
    tracemalloc.start()
    size = sum(len(document.text) for document in read_documents(source, CorpusConfig(), skipped=[]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 45_000_000
    assert peak < 12 << 20


def test_notes_of_bad_places_stay_few(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("no json\n" * 5000 + '{"text": "one"}\n')
    texts, skipped = read(path, on_bad_input="skip")
    assert texts == ["one"]
    assert len(skipped) <= 100
    assert sum(bad.count for bad in skipped) == 5000
    assert skipped[-1].place == "line 100 and after"


def test_no_document_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(" \n\n ")
    assert "no document found in 1 file" in message(path)
    path.write_bytes(b"\xff")
    with pytest.raises(CorpusError, match="1 left out, first line 1, byte 0"):
        read(path, on_bad_input="skip")
