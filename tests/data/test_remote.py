"""Corpora behind URLs: written shard by shard, read through a bounded cache; and stores that fail."""

import random
import shutil
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith import remote
from bertsmith.config import CorpusConfig, PretrainConfig, TokenizerConfig
from bertsmith.data import remote_corpus, units
from bertsmith.data.cache import ShardCache
from bertsmith.data.output import output_of
from bertsmith.data.prepare import prepare_corpus
from bertsmith.data.remote_corpus import open_place
from bertsmith.data.shards import FORMAT_VERSION, PreparedCorpus, ShardEntry, ShardIndex, open_corpus
from bertsmith.errors import BertsmithError, ConfigError, PreparedCorpusError, StoreError
from bertsmith.files import crc32_of, locked, sealed, write_json
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Silent
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.pretrain import pretrain
from data.corpora import raw_text
from data.store import Store, running
from training.runs import SMALL, weights

URL = "s3://bucket/corpus"
PARTS_GB = 1.8e-5  # a third of the notes


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remote") / "notes"
    folder.mkdir()
    for index in range(6):
        (folder / f"{index}.txt").write_text(raw_text(index, documents=60))
    return folder


@pytest.fixture(scope="module")
def tokenizer() -> WordPiece:
    return WordPiece.train([raw_text(0, documents=100)], TokenizerConfig(vocab_size=300))


@pytest.fixture(autouse=True)
def _impatient_and_tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "WAITS_S", (0.01, 0.02, 0.05, 0.1))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with running(monkeypatch) as server:
        yield server


def prepared(notes: Path, out: Path | str, tokenizer: WordPiece, **making: Any) -> PreparedCorpus:
    return prepare_corpus(
        [str(notes)],
        out,
        tokenizer=tokenizer,
        config=CorpusConfig(workers=1, held_out_share=0.1),
        seed=0,
        making=PrepareConfig(**{"shard_tokens": 1000, **making}),
        reporter=Silent(),
    )


def keys(corpus: PreparedCorpus) -> list[str]:
    return [f"corpus/{entry.file}" for entry in corpus.shards]


def is_shard(key: str) -> bool:
    return key.endswith(".arrow") and "index" not in key


class Each:
    """The first so many requests of one method for each shard go wrong."""

    def __init__(self, method: str, *faults: str) -> None:
        self.method, self.faults = method, faults
        self.seen: Counter[str] = Counter()

    def __call__(self, method: str, key: str) -> str | None:
        if method != self.method or not is_shard(key):
            return None
        self.seen[key] += 1
        return self.faults[self.seen[key] - 1] if self.seen[key] <= len(self.faults) else None


def test_training_from_a_slow_and_failing_store_is_training_from_the_disk(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, store: Store
) -> None:
    local = prepared(notes, tmp_path / "corpus", tokenizer)
    there = prepared(notes, URL, tokenizer)
    assert there.fingerprint == local.fingerprint
    assert there.manifest == local.manifest
    store.fault = Each("GET", "fail", "flip", "cut", "slow")
    for name, corpus in (("one", str(local.folder)), ("two", URL)):
        config = PretrainConfig(**{**SMALL, "cache_gb": 1e-4, "cache_folder": str(tmp_path / name)})
        pretrain([corpus], tmp_path / f"{name}-bert", config=config)
    assert weights(tmp_path / "one-bert") == weights(tmp_path / "two-bert")
    assert max(store.fault.seen.values()) >= 4
    kept = sum(path.stat().st_size for path in (tmp_path / "two").glob("*/*.arrow"))
    assert 0 < kept <= 1e5


def test_a_shard_that_vanishes_or_never_comes_is_named_with_what_to_do(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, store: Store
) -> None:
    corpus = prepared(notes, URL, tokenizer)
    first, second = list(corpus.of("train"))[:2]
    store.fault = Each("GET", *["fail"] * 100)
    with pytest.raises(StoreError, match=rf"{URL}/{first.file}: could not be read, 5 times.*same command again"):
        corpus.open(first)
    store.fault = lambda method, key: None
    assert len(corpus.open(first).tokens) == first.tokens
    remote.RemoteFolder(URL).remove(second.file)
    with pytest.raises(PreparedCorpusError, match=rf"{URL}/{second.file}: .*not there.*Restore"):
        corpus.open(second)
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_an_upload_that_is_cut_is_done_again(notes: Path, tmp_path: Path, tokenizer: WordPiece, store: Store) -> None:
    local = prepared(notes, tmp_path / "corpus", tokenizer)
    store.fault = Each("PUT", "cut", "fail")
    there = prepared(notes, URL, tokenizer)
    assert there.manifest == local.manifest
    assert len(store.fault.seen) > 5
    for entry in there.shards:
        assert there.open(entry).tokens.tolist() == local.open(entry).tokens.tolist()


def test_a_build_goes_on_by_shards_and_none_is_listed_twice(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, store: Store
) -> None:
    local = prepared(notes, tmp_path / "corpus", tokenizer)
    enough = len(local.shards) // 2

    def breaks(method: str, key: str) -> str | None:
        arrived = sum(done == "PUT" and is_shard(name) for done, name in store.done)
        return "cut" if method == "PUT" and is_shard(key) and arrived >= enough else None

    store.fault = breaks
    with pytest.raises(StoreError, match=r"could not be written"):
        prepared(notes, URL, tokenizer)
    assert not remote.RemoteFolder(URL).exists("manifest.json")
    before = {key for method, key in store.done if method == "PUT" and is_shard(key)}
    assert len(before) >= enough
    store.fault = lambda method, key: None
    there = prepared(notes, URL, tokenizer)
    assert there.manifest == local.manifest
    assert len(set(keys(there))) == len(there.shards)
    assert {store.done["PUT", key] for key in before} == {1}  # none was uploaded again
    assert not remote.RemoteFolder(URL).names("building")
    assert not list((tmp_path / "cache/bertsmith/staging").iterdir())


def test_another_machine_goes_on_at_the_part_that_was_not_finished(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 1000)
    parts = {"part_gb": PARTS_GB}
    local = prepared(notes, tmp_path / "corpus", tokenizer, **parts)
    store.fault = lambda method, key: "fail" if method == "PUT" and key.endswith("part-000002.json") else None
    with pytest.raises(StoreError, match=r"part-000002\.json"):
        prepared(notes, URL, tokenizer, **parts)
    shutil.rmtree(tmp_path / "cache")
    store.fault = lambda method, key: None
    store.done.clear()
    there = prepared(notes, URL, tokenizer, **parts)
    assert there.manifest == local.manifest
    again = {key for method, key in store.done if method == "PUT" and is_shard(key)}
    assert 0 < len(again) < len(there.shards)  # of the two parts that had their record none


def test_parts_lose_no_document_and_hold_out_the_same_ones(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepared(notes, tmp_path / "whole", tokenizer)
    monkeypatch.setattr(units, "UNIT_BYTES", 1000)
    parts = prepared(notes, tmp_path / "parts", tokenizer, part_gb=PARTS_GB)
    assert parts.fingerprint != whole.fingerprint
    for split in ("train", "held-out"):
        assert _documents(parts, split) == _documents(whole, split)
    assert (parts.token_counts() == whole.token_counts()).all()
    with pytest.raises(PreparedCorpusError, match="part_gb was"):
        prepared(notes, tmp_path / "parts", tokenizer, part_gb=2 * PARTS_GB / 3)


def _documents(corpus: PreparedCorpus, split: str) -> list[list[int]]:
    found = []
    for entry in corpus.of(split):  # type: ignore[arg-type]
        shard = corpus.open(entry)
        found += [part.tolist() for part in np.split(shard.tokens, shard.sentence_starts[shard.document_starts[1:-1]])]
    return sorted(found)


def test_any_file_system_will_do_and_a_bucket_that_was_emptied_is_filled_again(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://{tmp_path.name}/corpus"
    folder = remote.RemoteFolder(url)

    def fails(self: remote.RemoteFolder, path: Path, name: str) -> None:
        if name == "manifest.json":
            raise StoreError("here")
        real(self, path, name)

    real = remote.RemoteFolder.put
    with monkeypatch.context() as patch:
        patch.setattr(remote.RemoteFolder, "put", fails)
        with pytest.raises(StoreError, match="here"):
            prepared(notes, url, tokenizer)
    folder._fs.rm(folder._path(""), recursive=True)
    there = prepared(notes, url, tokenizer)
    assert there.manifest == prepared(notes, tmp_path / "corpus", tokenizer).manifest
    assert all(len(there.open(entry).tokens) == entry.tokens for entry in there.shards)
    (notes.parent / "other.txt").write_text("Something else.")
    with pytest.raises(PreparedCorpusError, match=r"other\.txt is new"):
        prepared(notes.parent / "other.txt", url, tokenizer)


def test_the_cache_is_bounded_shared_and_mended(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"memory://{tmp_path.name}/corpus"
    monkeypatch.setattr(remote_corpus, "_TRIES", 1000)
    prepared(notes, url, tokenizer)
    cache = tmp_path / "small"
    size = 40_000
    ranks = [open_place(url, cache=cache, cache_gb=size / 1e9) for _ in range(3)]
    wrong: list[str] = []

    def reads(corpus: PreparedCorpus, seed: int) -> None:
        entries = list(corpus.shards)
        random.Random(seed).shuffle(entries)
        for place, entry in enumerate(entries):
            corpus.ahead(entries[place + 1 : place + 4])
            shard = corpus.open(entry)
            if len(shard.tokens) != entry.tokens or shard.name != entry.file:
                wrong.append(entry.file)

    threads = [threading.Thread(target=reads, args=[corpus, seed]) for seed, corpus in enumerate(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    last = ranks[0].shards[0]
    ranks[0].open(last)
    files = list(cache.glob("*/*.arrow"))
    largest = max(path.stat().st_size for path in files)
    assert sum(path.stat().st_size for path in files) <= size + 6 * largest  # those that are fetched ahead just now
    path = next(path for path in files if path.name == last.file)
    path.write_bytes(b"damaged" + path.read_bytes()[7:])
    assert len(ranks[1].open(last).tokens) == last.tokens
    assert crc32_of(path) == last.crc32


def test_what_goes_again_as_it_comes_does_not_end_fetching_ahead(
    notes: Path, tmp_path: Path, tokenizer: WordPiece, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is shared: another process may make room between a shard's coming and its being marked as used."""
    monkeypatch.setattr(remote_corpus, "_FETCHERS", 1)
    url = f"memory://{tmp_path.name}/corpus"
    prepared(notes, url, tokenizer)
    corpus = open_place(url, cache=tmp_path / "cache", cache_gb=1.0)
    take, lost, come = corpus.cache.take, [], threading.Event()

    def takes(name: str, **given: Any) -> Path:
        path = take(name, **given)
        if not lost:
            lost.append(path)
            raise FileNotFoundError(path)
        come.set()
        return path

    monkeypatch.setattr(corpus.cache, "take", takes)
    corpus.ahead(corpus.shards[:2])
    assert come.wait(30)


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 250)

    def take(name: str) -> list[str]:
        cache.take(f"corpus/{name}.arrow", good=lambda path: True, fetch=lambda path: _write(path, 100))
        return sorted(path.stem for path in tmp_path.glob("*/*.arrow"))

    assert take("a") == ["a"]
    assert take("b") == ["a", "b"]
    assert take("a") == ["a", "b"]
    assert take("c") == ["a", "c"]
    with pytest.raises(OSError, match="half"):
        cache.take("corpus/d.arrow", good=lambda path: True, fetch=_fails)
    assert take("e") == ["c", "e"]


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * size)


def _fails(path: Path) -> None:
    raise OSError("half")


def test_what_is_no_corpus_or_no_url_is_said(tmp_path: Path) -> None:
    with pytest.raises(PreparedCorpusError, match=r"memory://none/corpus: no manifest.json"):
        open_place("memory://none/corpus")
    with pytest.raises(ConfigError, match="nosuch"):
        open_place("nosuch://bucket/corpus")


def test_an_index_of_many_shards_takes_no_memory(tmp_path: Path, tokenizer: WordPiece) -> None:
    shards = 50_000
    entries = [ShardEntry(f"train-{index:05d}.arrow", "train", 10, 100, 4000, index) for index in range(shards)]
    ShardIndex.of(entries).write(tmp_path / "index.arrow")
    manifest = {
        "format_version": FORMAT_VERSION,
        "fingerprint": "f",
        "tokenizer": "t",
        "made_from": {},
        "counts": {},
        "index_crc32": crc32_of(tmp_path / "index.arrow"),
    }
    write_json(tmp_path / "manifest.json", sealed(manifest))
    del entries
    tracemalloc.start()
    corpus = open_corpus(tmp_path)
    total, last = corpus.tokens("train"), corpus.of("train")[shards - 1]
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (total, last.file) == (4000 * shards, f"train-{shards - 1:05d}.arrow")
    assert held < shards  # a tuple of Python objects takes some 400 bytes a shard
    assert peak < 3_000_000  # the checksum is read in pieces of a megabyte


@pytest.mark.parametrize("name", ["tokenizer/tokenizer.json", "train-of-thought.arrow", "building/plan.txt"])
def test_files_in_a_store_that_no_build_has_made_stay(
    store: Store, notes: Path, tokenizer: WordPiece, tmp_path: Path, name: str
) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    there = remote.RemoteFolder(URL)
    there.put(tmp_path / "mine", name)
    with pytest.raises(ConfigError, match=r"s3://bucket/corpus: .*already there"):
        prepared(notes, URL, tokenizer)
    assert there.read(name) == b"mine"
    assert there.names() == [name.split("/")[0]]


def test_a_url_that_another_run_has_is_named_as_it_was_given(notes: Path, tmp_path: Path, tokenizer: WordPiece) -> None:
    url = "memory://held/corpus"
    lock = output_of(url, tmp_path).folder / "building/lock"
    with locked(url, lock), pytest.raises(BertsmithError, match="memory://held/corpus: another run is writing"):
        prepared(notes, url, tokenizer, staging=str(tmp_path))
