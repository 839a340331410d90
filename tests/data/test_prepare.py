"""Preparing loses nothing, holds out by content, goes on where it stopped, and does not depend on its processes."""

import itertools
import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data import build, units
from bertsmith.data.prepare import prepare_corpus
from bertsmith.data.remote_corpus import is_prepared_place
from bertsmith.data.shards import PreparedCorpus, open_corpus
from bertsmith.errors import BertsmithError, ConfigError, CorpusError, PreparedCorpusError
from bertsmith.files import sealed
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Silent
from bertsmith.text.wordpiece import WordPiece
from data.corpora import raw_text

DOCUMENTS = 300


@pytest.fixture(scope="module")
def tokenizer() -> WordPiece:
    return WordPiece.train([raw_text(0, documents=100)], TokenizerConfig(vocab_size=300))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for index in range(3):
        (folder / f"{index}.txt").write_text(raw_text(index, documents=DOCUMENTS // 3))
    return folder


def prepared(
    notes: Path, out: Path, tokenizer: WordPiece, *, seed: int = 0, shard_tokens: int = 2000, **options: object
) -> PreparedCorpus:
    config = CorpusConfig(**{"held_out_share": 0.1, "workers": 1, **options})
    return prepare_corpus(
        [str(notes)],
        out,
        tokenizer=tokenizer,
        config=config,
        seed=seed,
        making=PrepareConfig(shard_tokens=shard_tokens),
        reporter=Silent(),
    )


def documents_of(corpus: PreparedCorpus, split: str = "train") -> list[list[int]]:
    """Every document's tokens, in the order of the shards."""
    found = []
    for entry in corpus.of(split):  # type: ignore[arg-type]
        shard = corpus.open(entry)
        starts = shard.sentence_starts[shard.document_starts]
        found += [shard.tokens[a:b].tolist() for a, b in itertools.pairwise(starts)]
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.arrow")}


def test_every_document_is_there_once_with_the_tokenizers_ids(
    notes: Path, tmp_path: Path, tokenizer: WordPiece
) -> None:
    corpus = prepared(notes, tmp_path / "corpus", tokenizer)
    texts = [text for path in sorted(notes.iterdir()) for text in path.read_text().strip().split("\n\n")]
    expected = [tokenizer.encode(text, add_special_tokens=False).input_ids for text in texts]
    found = documents_of(corpus) + documents_of(corpus, "held-out")
    assert sorted(found) == sorted(map(list, expected))
    assert len(corpus.of("train")) > 2
    assert corpus.manifest["counts"]["documents"] == DOCUMENTS


def test_shards_are_arrow_that_other_tools_read(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    corpus = prepared(notes, tmp_path / "corpus", tokenizer)
    with pa.memory_map(str(corpus.folder / "train-00000.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.schema.field("sentences").type == pa.list_(pa.list_(pa.uint16()))
    assert set(table.column("source").to_pylist()) <= {str(path) for path in notes.iterdir()}
    assert len(table) == corpus.of("train")[0].documents


def test_documents_are_held_out_by_their_text(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    corpus = prepared(notes, tmp_path / "corpus", tokenizer)
    held_out = documents_of(corpus, "held-out")
    assert 0.03 * DOCUMENTS < len(held_out) < 0.2 * DOCUMENTS
    (notes / "0.txt").rename(notes / "9.txt")
    again = prepared(notes, tmp_path / "again", tokenizer, seed=5)
    assert sorted(documents_of(again, "held-out")) == sorted(held_out)
    assert documents_of(again) != documents_of(corpus)  # the order is the seed's


def test_two_documents_are_enough_to_hold_one_out(tmp_path: Path, tokenizer: WordPiece) -> None:
    (tmp_path / "two.txt").write_text("A first one. It is short.\n\nA second one.")
    corpus = prepared(tmp_path / "two.txt", tmp_path / "corpus", tokenizer, held_out_share=0.01)
    assert (corpus.documents("train"), corpus.documents("held-out")) == (1, 1)
    (tmp_path / "one.txt").write_text("An only one. It is short.")
    alone = prepared(tmp_path / "one.txt", tmp_path / "alone", tokenizer, held_out_share=0.01)
    assert (alone.documents("train"), alone.documents("held-out")) == (1, 0)
    (tmp_path / "same.txt").write_text("The same one.\n\nThe same one.")
    copies = prepared(tmp_path / "same.txt", tmp_path / "copies", tokenizer, held_out_share=0.01)
    assert (copies.documents("train"), copies.documents("held-out")) == (2, 0)
    with pytest.raises(CorpusError, match="all documents would be held out"):
        prepared(tmp_path / "same.txt", tmp_path / "none", tokenizer, held_out_share=0.999999)


def test_shards_are_the_same_bytes_whatever_the_processes_and_units(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(notes, tmp_path / "first", tokenizer)
    monkeypatch.setattr(units, "UNIT_BYTES", 3000)
    second = prepared(notes, tmp_path / "second", tokenizer, workers=2)
    assert files_of(first.folder) == files_of(second.folder)
    assert first.fingerprint == second.fingerprint


def test_a_stopped_build_goes_on_and_ends_the_same(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 3000)
    straight = prepared(notes, tmp_path / "straight", tokenizer)
    killed = tmp_path / "killed"

    def dies(*_: object, **__: object) -> None:
        raise BertsmithError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(build, "deal", dies)
        with pytest.raises(BertsmithError, match="killed here"):
            prepared(notes, killed, tokenizer)
    made = sorted((killed / "building").glob("unit-*.arrow"))
    assert len(made) > 3
    made[0].unlink()
    times = {path: path.stat().st_mtime_ns for path in made[1:]}
    seen = {}

    def looks(paths: list[Path], *rest: object, **options: object) -> object:
        seen.update({path: path.stat().st_mtime_ns for path in paths})
        return real(paths, *rest, **options)  # type: ignore[arg-type]

    real = build.deal
    monkeypatch.setattr(build, "deal", looks)
    prepared(notes, killed, tokenizer)
    assert files_of(killed) == files_of(straight.folder)
    assert {path: seen[path] for path in times} == times  # finished units were not made again
    assert not (killed / "building").exists()


def test_a_changed_source_is_noticed(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    prepared(notes, tmp_path / "corpus", tokenizer)
    prepared(notes, tmp_path / "corpus", tokenizer)  # the same again is fine
    (notes / "1.txt").write_text(raw_text(77, documents=3))
    (notes / "4.txt").write_text("One more.")
    with pytest.raises(PreparedCorpusError, match=r"1\.txt has changed") as raised:
        prepared(notes, tmp_path / "corpus", tokenizer)
    assert "4.txt is new" in str(raised.value)


def test_another_tokenizer_or_option_is_noticed(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    prepared(notes, tmp_path / "corpus", tokenizer)
    other = WordPiece.train([raw_text(1, documents=50)], TokenizerConfig(vocab_size=200))
    with pytest.raises(PreparedCorpusError, match="tokenizer was"):
        prepared(notes, tmp_path / "corpus", other)
    with pytest.raises(PreparedCorpusError, match="language was en, now de"):
        prepared(notes, tmp_path / "corpus", tokenizer, language="de")


def test_a_flipped_bit_or_a_lost_shard_is_named(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    corpus = prepared(notes, tmp_path / "corpus", tokenizer)
    entry = corpus.of("train")[1]
    path = corpus.folder / entry.file
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 4
    path.write_bytes(whole)
    with pytest.raises(PreparedCorpusError, match=rf"{entry.file}.*checksum"):
        corpus.open(entry)
    path.unlink()
    with pytest.raises(PreparedCorpusError, match=rf"{entry.file}.*not there"):
        corpus.open(entry)
    manifest = corpus.folder / "manifest.json"
    manifest.write_text(manifest.read_text()[:-30])
    with pytest.raises(PreparedCorpusError, match=r"manifest\.json: damaged"):
        open_corpus(corpus.folder)
    shutil.rmtree(corpus.folder)
    with pytest.raises(PreparedCorpusError, match="bertsmith prepare"):
        open_corpus(corpus.folder)


def test_broken_text_stops_or_is_left_out_and_counted(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    (notes / "1.txt").write_bytes(b"Good one.\n\nBad \xff one.\n\nGood again.\n")
    with pytest.raises(CorpusError, match=r"1\.txt"):
        prepared(notes, tmp_path / "stops", tokenizer)
    corpus = prepared(notes, tmp_path / "skips", tokenizer, on_bad_input="skip")
    assert corpus.manifest["counts"]["documents"] == 2 * DOCUMENTS // 3 + 2
    assert corpus.manifest["skipped"][0]["source"].endswith("1.txt")


def test_nothing_to_read_is_said(tmp_path: Path, tokenizer: WordPiece) -> None:
    (tmp_path / "empty.txt").write_text("\n\n  \n")
    with pytest.raises(CorpusError, match=r"empty\.txt"):
        prepared(tmp_path / "empty.txt", tmp_path / "corpus", tokenizer)


def test_token_counts_are_of_training_documents(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    corpus = prepared(notes, tmp_path / "corpus", tokenizer)
    flat = [token for document in documents_of(corpus) for token in document]
    assert (corpus.token_counts() == np.bincount(flat, minlength=tokenizer.vocab_size)).all()


def test_a_mistake_before_the_first_unit_is_forgiven(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    (notes / "table.csv").write_text("body,label\nSome words.,1\n")
    with pytest.raises(CorpusError, match='no column "text"'):
        prepared(notes / "table.csv", tmp_path / "corpus", tokenizer)
    assert prepared(notes / "table.csv", tmp_path / "corpus", tokenizer, text_column="body").tokens("train") > 0


def test_another_tokenizer_after_a_mistake_is_the_one_that_is_used(
    notes: Path, tmp_path: Path, tokenizer: WordPiece
) -> None:
    (notes / "table.csv").write_text("body,label\nSome words.,1\n")
    other = WordPiece.train([raw_text(1, documents=50)], TokenizerConfig(vocab_size=200))
    with pytest.raises(CorpusError, match='no column "text"'):
        prepared(notes / "table.csv", tmp_path / "corpus", tokenizer)
    corpus = prepared(notes / "table.csv", tmp_path / "corpus", other, text_column="body")
    assert WordPiece.load(corpus.tokenizer_folder).fingerprint == other.fingerprint == corpus.manifest["tokenizer"]


def test_skipping_goes_on_where_stopping_stopped(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 1000)
    (notes / "2.txt").write_bytes(b"Bad \xff one.\n\nGood again.\n")
    with pytest.raises(CorpusError, match=r"2\.txt"):
        prepared(notes, tmp_path / "corpus", tokenizer)
    assert list((tmp_path / "corpus/building").glob("unit-*.arrow"))
    assert prepared(notes, tmp_path / "corpus", tokenizer, on_bad_input="skip").manifest["skipped"]


def test_what_bertsmith_wrote_is_no_text(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    inside = prepared(notes, notes / "corpus", tokenizer)
    assert prepared(notes, tmp_path / "again", tokenizer).documents("train") == inside.documents("train")
    with pytest.raises(CorpusError, match="bertsmith's own"):
        prepared(notes / "corpus", tmp_path / "of-a-corpus", tokenizer)


def test_a_manifest_of_someone_elses_makes_no_prepared_corpus(
    notes: Path, tmp_path: Path, tokenizer: WordPiece
) -> None:
    """A folder of text with one was taken for a damaged corpus, and could not be trained on."""
    (notes / "manifest.json").write_text('{"name": "a site"}')
    fsspec.filesystem("memory").pipe("/someone/text/manifest.json", b"{}")
    assert not is_prepared_place(str(notes))
    assert not is_prepared_place("memory://someone/text")
    folder = prepared(notes, tmp_path / "corpus", tokenizer).folder
    for gone in ("token_counts.npy", "index.arrow"):
        (folder / gone).rename(tmp_path / gone)
        assert is_prepared_place(str(folder)), "it is damaged, which is told when it is opened"
        (tmp_path / gone).rename(folder / gone)


def test_a_manifest_of_another_version_or_without_a_key_is_an_error(
    notes: Path, tmp_path: Path, tokenizer: WordPiece
) -> None:
    path = prepared(notes, tmp_path / "corpus", tokenizer).folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "format_version": 3, "index_crc32": None}))
    with pytest.raises(PreparedCorpusError, match="format version 3"):
        open_corpus(path.parent)
    del manifest["made_from"], manifest["own_sha256"]
    path.write_text(json.dumps(sealed(manifest)))
    with pytest.raises(PreparedCorpusError, match="without made_from"):
        open_corpus(path.parent)


def test_a_module_beside_the_text_does_not_reach_the_workers(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    assert prepared(notes, tmp_path / "corpus", tokenizer, workers=2).documents("train") > 0


def test_shards_of_no_tokens_are_refused(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    with pytest.raises(ConfigError, match="shard_tokens"):
        prepared(notes, tmp_path / "corpus", tokenizer, shard_tokens=0)


def test_a_kill_after_the_manifest_leaves_no_units_behind(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    corpus = prepared(notes, tmp_path / "corpus", tokenizer)
    (corpus.folder / "building").mkdir()
    (corpus.folder / "building/unit-000000-000000.arrow").touch()
    prepared(notes, tmp_path / "corpus", tokenizer)
    assert not (corpus.folder / "building").exists()


@pytest.mark.parametrize(
    "name", ["tokenizer/vocab.txt", "train-me.arrow", "held-out-1.arrow", "building/plan.txt", "manifest.json"]
)
def test_files_that_no_build_has_made_are_not_taken_for_its_own(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, name: str
) -> None:
    """A trained tokenizer that lay in the folder was deleted in silence."""
    mine = tmp_path / "work" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ConfigError, match=rf"work: {name.removesuffix('/vocab.txt')}: already there.*another folder"):
        prepared(notes, tmp_path / "work", tokenizer)
    assert mine.read_text() == "mine"
    (tmp_path / "free").mkdir()
    (tmp_path / "free/letters.arrow").write_text("mine")
    assert prepared(notes, tmp_path / "free", tokenizer).of("train")
