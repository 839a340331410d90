"""Which files a corpus is made of."""

import os
import zipfile
from pathlib import Path

import pytest

from bertsmith.errors import CorpusError
from bertsmith.text.corpus import list_sources


def names(*corpus: Path | str) -> list[str]:
    return [os.path.basename(source.url) for source in list_sources([str(item) for item in corpus])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.jsonl.gz", "sub/c.parquet", ".hidden.txt", ".git/d.txt", "notes.md", "x.neg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")
    return tmp_path


def test_a_folder_gives_known_endings_in_order_without_hidden_files(folder):
    assert names(folder) == ["a.jsonl.gz", "b.txt", "c.parquet"]


def test_format_and_compression_come_from_the_name(folder):
    kinds = [(source.format, source.compression) for source in list_sources([str(folder)])]
    assert kinds == [("jsonl", "gz"), ("txt", None), ("parquet", None)]


def test_a_named_file_of_unknown_ending_is_text(folder):
    assert [source.format for source in list_sources([str(folder / "x.neg"), str(folder / "notes.md")])] == [
        "txt",
        "txt",
    ]


def test_globs_go_into_folders_and_each_file_comes_once(folder):
    assert names(folder / "*.txt", folder / "b.txt") == ["b.txt"]
    assert names(folder / "**" / "*.parquet") == ["c.parquet"]
    assert names(folder / "**") == ["a.jsonl.gz", "b.txt", "notes.md", "c.parquet", "x.neg"]


def test_a_name_with_glob_characters_is_itself_first(tmp_path):
    (tmp_path / "a[1].txt").write_text("text")
    assert names(tmp_path / "a[1].txt") == ["a[1].txt"]


def test_the_fingerprint_follows_the_file(folder):
    path = folder / "b.txt"
    [before] = list_sources([str(path)])
    assert list_sources([str(path)]) == [before]
    path.write_text("other text")
    assert list_sources([str(path)])[0].fingerprint != before.fingerprint


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("b.tx", ["no such file", "Did you mean", "b.txt?"]),
        ("*.csv", ["no file fits this pattern"]),
        ("nowhere/a.txt", ["no such file", "nowhere", "does not exist either"]),
        ("data.json", [".json is not read", ".jsonl"]),
        ("archive.tar.gz", [".tar is not read"]),
        ("empty", ["no text file in this folder", "1 files of other kinds", ".parquet"]),
        ("gone.txt", ["cannot be opened"]),
        ("nothing://a.txt", ["nothing"]),
        ("memory://no/such.txt", ["no such file"]),
    ],
)
def test_what_is_not_there_is_said_with_a_next_step(folder, monkeypatch, item, words):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    for name in ("empty/a.png", "data.json", "archive.tar.gz"):
        (folder / name).write_text("{}")
    (folder / "gone.txt").symlink_to("removed.txt")
    with pytest.raises(CorpusError) as caught:
        list_sources([item])
    for word in [item, *words]:
        assert word in str(caught.value)


def test_no_corpus_at_all():
    with pytest.raises(CorpusError, match="name at least one"):
        list_sources([])


def test_urls_name_files_globs_and_folders():
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("one.txt", "deep/two.txt.gz", "three.png", ".four.txt"):
        memory.pipe(f"/corpus/{name}", b"text")
    assert names("memory://corpus/one.txt") == ["one.txt"]
    assert names("memory://corpus/*.txt") == ["one.txt"]
    assert names("memory://corpus") == ["two.txt.gz", "one.txt"]
    assert list_sources(["memory://corpus/one.txt"])[0].size_bytes == 4
    with pytest.raises(CorpusError, match="no file fits"):
        list_sources(["memory://corpus/*.csv"])


def test_chained_urls_reach_into_archives(tmp_path):
    from bertsmith.config import CorpusConfig
    from bertsmith.text.corpus import read_corpus

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("in/a.txt", "first\n\nsecond")
        archive.writestr("in/b.txt", "third")
    sources = list_sources([f"zip://in::file://{tmp_path}/all.zip"])
    texts = [document.text for document in read_corpus(sources, CorpusConfig(), skipped=[])]
    assert texts == ["first", "second", "third"]


def test_a_caller_may_know_other_endings(tmp_path):
    for name in ("a.json", "b.jsonl.gz", "c.txt"):
        (tmp_path / name).write_text("{}")
    formats = {".json": "json", ".jsonl": "jsonl"}
    assert [source.format for source in list_sources([str(tmp_path)], formats)] == ["json", "jsonl"]
    assert [source.format for source in list_sources([str(tmp_path / "a.json")], formats)] == ["json"]
    with pytest.raises(CorpusError, match=r"a\.json: \.json is not read"):
        list_sources([str(tmp_path / "a.json")])
    (tmp_path / "a.json").unlink()
    (tmp_path / "b.jsonl.gz").unlink()
    with pytest.raises(CorpusError, match=r"Read are \.json, \.jsonl, each also with \.gz"):
        list_sources([str(tmp_path)], formats)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (PermissionError("Access Denied"), r"must not be listed \(Access Denied\)\. Check your credentials"),
        (OSError("Slow Down"), r"cannot be listed \(OSError: Slow Down\)\. Check the URL, the store and the network"),
    ],
)
def test_a_store_that_lets_nobody_list_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, said: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.isdir", refuse)
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.info", refuse)
    with pytest.raises(CorpusError, match=f"memory://bucket/text: {said}"):
        list_sources(["memory://bucket/text"])


def test_a_url_of_no_known_kind_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"nosuch://bucket/text: no URL of a known kind \(Protocol not known: nosuch"):
        list_sources(["nosuch://bucket/text"])


def test_a_tokenizers_vocabulary_is_no_text(folder):
    """Nor is a model's, imported or exported, in a folder or a store; a vocab.txt without a tokenizer is."""
    import fsspec

    (folder / "words").mkdir()
    (folder / "words/vocab.txt").write_text("text")
    (folder / "model").mkdir()
    for name in ("vocab.txt", "tokenizer_config.json", "tokenizer.json"):
        (folder / "model" / name).write_text("{}")
    shown = ["a.jsonl.gz", "b.txt", "c.parquet", "vocab.txt"]
    assert names(folder) == shown
    fsspec.filesystem("memory").put(str(folder), "/with-a-model", recursive=True)
    assert names("memory://with-a-model") == shown
    with pytest.raises(CorpusError, match="a model, a tokenizer"):
        names(folder / "model")
