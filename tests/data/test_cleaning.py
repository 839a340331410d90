"""Cleaning finds what was planted, counts it, and decides the same whatever the units, workers and stops."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import bertsmith
from bertsmith.cleaning_config import CleaningConfig
from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data import build, units
from bertsmith.data.cleaning import decide as deciding
from bertsmith.data.cleaning import passes
from bertsmith.data.cleaning.decide import boilerplate_of, decide
from bertsmith.data.cleaning.minhash import PLACES, bands_for, signatures_of
from bertsmith.data.cleaning.passes import Cleaning, language_filter
from bertsmith.data.cleaning.preview import preview_cleaning
from bertsmith.data.cleaning.survey import EXACT, KEPT, NEAR, count_lines, survey
from bertsmith.data.cleaning.words import words_of
from bertsmith.data.prepare import prepare_corpus
from bertsmith.data.sample import sample_documents
from bertsmith.data.shards import PreparedCorpus
from bertsmith.errors import BertsmithError, ConfigError, CorpusError, PreparedCorpusError
from bertsmith.prepare_config import PrepareConfig
from bertsmith.progress import Silent
from bertsmith.text.wordpiece import WordPiece

ALL_STEPS = CleaningConfig(
    drop_boilerplate_lines=5,
    mend_unicode=True,
    least_document_characters=40,
    most_symbol_share=0.3,
    drop_duplicates="near",
)
MENU = "Home | News | Contact"


def made_up(rng: np.random.Generator, documents: int, words: int = 120) -> list[list[str]]:
    """Documents of words of a made-up language, some far more frequent than others, as in any language."""
    known = ["".join(rng.choice(list("aeioubdfgklmnprst"), rng.integers(2, 9))) for _ in range(4000)]
    return [
        [known[index] for index in rng.zipf(1.2, int(rng.integers(words // 2, 2 * words))) % len(known)]
        for _ in range(documents)
    ]


def edited(rng: np.random.Generator, document: list[str], share: float) -> list[str]:
    """A document with this share of its words replaced by others of it."""
    changed = rng.choice(len(document), round(share * len(document)), replace=False)
    copy = list(document)
    for place in changed:
        copy[place] = document[int(rng.integers(len(document)))] + "x"
    return copy


def pairs_of(document: list[str]) -> set[tuple[str, ...]]:
    return {*itertools.pairwise(document), (document[-1],)}


def jaccard(one: list[str], other: list[str]) -> float:
    a, b = pairs_of(one), pairs_of(other)
    return len(a & b) / len(a | b)


def surveyed(texts: list[str], config: CleaningConfig, *, unit: int = 10**9) -> list[pa.RecordBatch]:
    return [survey(texts[at : at + unit], [], config, frozenset()) for at in range(0, len(texts), unit)]


# -- words and signatures


def test_words_are_told_whatever_their_case_and_punctuation() -> None:
    words = words_of(["The cat, sat.", "the CAT sat!", "", "the cat satt", "猫が 好き"])
    assert words.starts.tolist() == [0, 3, 6, 6, 9, 13]  # Chinese and Japanese have a word a letter
    one, other, third = words.hashes[:3], words.hashes[3:6], words.hashes[6:9]
    assert (one == other).all()
    assert (one == third).tolist() == [True, True, False]
    assert len(set(words.hashes.tolist())) == 3 + 1 + 4


def test_symbols_are_counted_among_what_is_written() -> None:
    shares = words_of(["ab!? \n", "(((", "  ", "नमस्ते दुनिया", "a" * 200_000 + "!" * 300_000]).symbol_shares
    assert shares.tolist() == [0.5, 1.0, 0.0, 0.0, 0.6]  # signs above and below letters are no symbols


def test_words_do_not_depend_on_the_documents_beside() -> None:
    texts = [" ".join(document) for document in made_up(np.random.default_rng(0), 300)] * 2
    together = words_of(texts)
    assert sum(map(len, texts)) > 1 << 17  # several parts
    alone = [words_of([text]).hashes for text in texts]
    assert (together.hashes == np.concatenate(alone)).all()


def test_signatures_agree_as_often_as_the_jaccard_index_says() -> None:
    rng = np.random.default_rng(1)
    documents = made_up(rng, 60)
    for share in (0.02, 0.05, 0.15, 0.5):
        copies = [edited(rng, document, share) for document in documents]
        one, other = (signatures_of(words_of([" ".join(d) for d in side])) for side in (documents, copies))
        errors = (one == other).mean(axis=1) - [jaccard(a, b) for a, b in zip(documents, copies, strict=True)]
        assert abs(errors.mean()) < 0.02
        assert np.abs(errors).max() < 4 * 0.5 / PLACES**0.5  # four standard errors


@pytest.mark.parametrize("share", [0.21, 0.4, 0.5, 0.65, 0.8, 0.95, 1.0])
def test_bands_bring_alike_documents_together(share: float) -> None:
    bands, rows = bands_for(share)
    assert bands * rows <= PLACES
    assert 1 - (1 - share**rows) ** bands >= 0.99


# -- duplicates


def test_planted_near_duplicates_are_found_and_hardly_anything_else() -> None:
    rng = np.random.default_rng(2)
    originals = made_up(rng, 1500)
    planted = [edited(rng, document, 0.05) for document in originals[:500]]
    documents = originals + planted
    order = rng.permutation(len(documents))
    twin = {**{1500 + i: i for i in range(500)}, **{i: 1500 + i for i in range(500)}}
    decision = decide(
        surveyed([" ".join(documents[i]) for i in order], CleaningConfig(drop_duplicates="near"), unit=300),
        CleaningConfig(drop_duplicates="near"),
    )
    dropped = np.flatnonzero(decision.fates == NEAR)
    right = [twin.get(int(order[at])) == int(order[decision.like[at]]) for at in dropped]
    assert sum(right) >= 0.95 * 500
    assert len(dropped) - sum(right) <= 0.01 * 1500
    assert (decision.like[dropped] < dropped).all()  # the first one is kept
    assert (decision.like[decision.fates == KEPT] == -1).all()


def test_exact_duplicates_go_and_near_ones_stay_where_only_they_are_asked_for() -> None:
    texts = ["one two three four five six", "one two three four five six!", "seven", "seven", "seven"]
    config = CleaningConfig(drop_duplicates="exact")
    decision = decide(surveyed(texts, config, unit=2), config)
    assert decision.fates.tolist() == [KEPT, KEPT, KEPT, EXACT, EXACT]
    assert decision.like.tolist() == [-1, -1, -1, 2, 2]
    near = CleaningConfig(drop_duplicates="near")
    assert decide(surveyed(texts, near), near).fates.tolist() == [KEPT, NEAR, KEPT, EXACT, EXACT]


def test_documents_without_words_are_no_near_duplicates() -> None:
    config = CleaningConfig(drop_duplicates="near")
    assert decide(surveyed(["!!!", "???", "—"], config), config).fates.tolist() == [KEPT] * 3


def test_many_alike_that_meet_unlike_ones_are_found() -> None:
    rng = np.random.default_rng(3)
    originals = made_up(rng, 10, words=200)
    texts = [" ".join(edited(rng, document, 0.03)) for document in originals for _ in range(50)]
    config = CleaningConfig(drop_duplicates="near")
    fates = decide(surveyed([texts[i] for i in rng.permutation(500)], config), config).fates
    assert (fates == KEPT).sum() == 10


# -- lines


def test_lines_of_many_documents_are_found_in_any_number_of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"  {MENU} \nText {index}.\nText {index}.\n\nText {index // 3} again." for index in range(30)]
    batches = [count_lines(texts[:7]), count_lines(texts[7:])]
    expected = count_lines([MENU]).column("line").to_pylist()
    for at_once in (4 << 20, 5):
        monkeypatch.setattr(deciding, "LINES_AT_ONCE", at_once)
        assert boilerplate_of(batches, 3).tolist() == expected
        assert len(boilerplate_of(batches, 2)) == 11  # a line twice in a document counts once
        assert boilerplate_of(batches, 30).tolist() == []


# -- in prepare


@pytest.fixture(scope="module")
def corpus_text() -> tuple[list[str], dict[str, int]]:
    """Documents with something for every step, and how many of each there are."""
    rng = np.random.default_rng(4)
    good = [" ".join(document) + "." for document in made_up(rng, 120, words=60)]
    texts = [f"{MENU}\n{text}" if index < 30 else text for index, text in enumerate(good)]
    texts += ["too short"] * 4 + [MENU] * 3
    texts += [f"{index} " + "$%&" * 30 for index in range(5)]
    texts += [f"Das ist schÃ¶n und gut so {text}" for text in good[40:46]]  # near duplicates too
    texts += [good[0], good[1]]  # exact, once the menu is out
    texts += [" ".join(edited(rng, good[index].split(), 0.04)) for index in range(60, 70)]
    return texts, {"lines": 33, "menus": 3, "short": 4, "symbols": 5, "mended": 6, "exact": 2, "near": 16}


def write_notes(folder: Path, texts: list[str]) -> Path:
    folder.mkdir()
    for index in range(3):
        (folder / f"{index}.txt").write_text("\n\n".join(texts[index * 50 :][: 50 if index < 2 else None]))
    return folder


@pytest.fixture
def notes(tmp_path: Path, corpus_text: tuple[list[str], dict[str, int]]) -> Path:
    return write_notes(tmp_path / "notes", corpus_text[0])


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, corpus_text: tuple[list[str], dict[str, int]]) -> PreparedCorpus:
    """All steps, by one worker, in few units, without a stop."""
    folder = tmp_path_factory.mktemp("straight")
    return prepared(write_notes(folder / "notes", corpus_text[0]), folder / "corpus")


def prepared(notes: Path, out: Path, config: CleaningConfig = ALL_STEPS, **options: object) -> PreparedCorpus:
    language = options.pop("language_filter", None)
    return prepare_corpus(
        [str(notes)],
        out,
        tokenizer=TokenizerConfig(vocab_size=400),
        config=CorpusConfig(**{"workers": 1, "held_out_share": 0.1, **options}),
        seed=0,
        making=PrepareConfig(shard_tokens=2000),
        cleaning=Cleaning(config, language),  # type: ignore[arg-type]
        reporter=Silent(),
    )


def files_of(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.glob("*.arrow")}
    return {**found, "tokenizer": (folder / "tokenizer/tokenizer.json").read_bytes()}


def dies(*_: object, **__: object) -> None:
    raise BertsmithError("killed here")


def texts_of(corpus: PreparedCorpus) -> list[str]:
    pieces = WordPiece.load(corpus.tokenizer_folder)
    found = []
    for entry in corpus.shards:
        shard = corpus.open(entry)
        starts = shard.sentence_starts[shard.document_starts]
        found += [pieces.decode(shard.tokens[a:b].tolist()) for a, b in itertools.pairwise(starts)]
    return found


def test_every_step_is_counted_in_the_manifest(
    straight: PreparedCorpus, corpus_text: tuple[list[str], dict[str, int]]
) -> None:
    texts, planted = corpus_text
    manifest = straight.manifest
    account = manifest["cleaning"]
    steps = account["steps"]
    assert account["read"] == {"documents": len(texts), "characters": sum(map(len, texts))}
    assert steps["boilerplate_lines"]["lines"] == steps["boilerplate_lines"]["changed"] == planted["lines"]
    # The line and, where text follows it, the end of the line.
    assert steps["boilerplate_lines"]["characters"] == 33 * len(MENU) + 30
    assert steps["mended"]["changed"] == planted["mended"]
    dropped = {name: step["dropped"] for name, step in steps.items() if step["dropped"]}
    assert dropped == {
        "empty": planted["menus"],
        "short": planted["short"],
        "symbols": planted["symbols"],
        "exact_duplicates": planted["exact"],
        "near_duplicates": planted["near"],
    }
    kept = len(texts) - sum(dropped.values())
    assert account["kept"]["documents"] == kept == manifest["counts"]["documents"]
    gone = sum(step["characters"] for step in steps.values())
    mended = account["read"]["characters"] - account["kept"]["characters"] - gone
    assert mended == planted["mended"]  # Ã¶ -> ö, a character each
    assert manifest["made_from"]["cleaning"] == ALL_STEPS.chosen()


def test_the_text_is_cleaned_for_the_tokenizer_and_the_shards(notes: Path, tmp_path: Path) -> None:
    only = CleaningConfig(mend_unicode=True, drop_boilerplate_lines=5)
    corpus = prepared(notes, tmp_path / "corpus", only)
    texts = texts_of(corpus)
    assert sum("das ist schon und gut so" in text for text in texts) == 6
    assert not any("home" in text or "|" in text for text in texts)
    assert "$" in WordPiece.load(corpus.tokenizer_folder).tokens
    most = CleaningConfig(most_symbol_share=0.3)
    assert "$" not in WordPiece.load(prepared(notes, tmp_path / "words", most).tokenizer_folder).tokens


def test_the_bytes_are_the_same_whatever_the_workers_and_units(
    tmp_path: Path, straight: PreparedCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 3000)
    second = prepared(straight.folder.parent / "notes", tmp_path / "second", workers=2)
    assert files_of(second.folder) == files_of(straight.folder)
    assert second.manifest == straight.manifest


@pytest.mark.parametrize("where", ["boilerplate_of", "train_tokenizer", "deal"])
def test_a_stopped_build_goes_on_and_ends_the_same(
    tmp_path: Path, straight: PreparedCorpus, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 3000)
    with monkeypatch.context() as patch:
        patch.setattr(passes if hasattr(passes, where) else build, where, dies)
        with pytest.raises(BertsmithError, match="killed here"):
            prepared(straight.folder.parent / "notes", tmp_path / "killed")
    made = sorted((tmp_path / "killed/building").glob("*.arrow"))
    assert len(made) > 3
    for path in made[::3]:
        path.unlink()
    again = prepared(straight.folder.parent / "notes", tmp_path / "killed")
    assert files_of(again.folder) == files_of(straight.folder)
    assert again.manifest == straight.manifest


def test_finished_surveys_are_not_made_again(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def language_of(text: str) -> str:
        asked.append(text)
        return "en"

    options = {"language_filter": language_filter(language_of, ["en"])}
    with monkeypatch.context() as patch:
        patch.setattr(build, "train_tokenizer", dies)
        with pytest.raises(BertsmithError, match="killed here"):
            prepared(notes, tmp_path / "corpus", **options)
    count = len(asked)
    assert count == 150
    prepared(notes, tmp_path / "corpus", **options)
    assert len(asked) == count


def test_other_cleaning_is_noticed_and_none_leaves_no_trace(notes: Path, tmp_path: Path) -> None:
    plain = prepared(notes, tmp_path / "plain", CleaningConfig())
    assert "cleaning" not in plain.manifest
    assert "cleaning" not in plain.manifest["made_from"]
    with pytest.raises(PreparedCorpusError, match="drop_duplicates was None, now exact"):
        prepared(notes, tmp_path / "plain", CleaningConfig(drop_duplicates="exact"))
    prepared(notes, tmp_path / "clean", CleaningConfig(least_document_characters=40))
    with pytest.raises(PreparedCorpusError, match="least_document_characters was 40, now 50"):
        prepared(notes, tmp_path / "clean", CleaningConfig(least_document_characters=50))


def test_a_stopped_build_with_other_cleaning_begins_again(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(build, "train_tokenizer", dies)
        with pytest.raises(BertsmithError, match="killed here"):
            prepared(notes, tmp_path / "corpus", CleaningConfig(drop_boilerplate_lines=2))
    again = prepared(notes, tmp_path / "corpus", CleaningConfig(drop_boilerplate_lines=100))
    assert again.manifest["cleaning"]["steps"] == {}


def test_whole_units_may_go(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (notes / "9.txt").write_text("\n\n".join(["tiny one"] * 40))
    monkeypatch.setattr(units, "UNIT_BYTES", 300)
    corpus = prepared(notes, tmp_path / "corpus", CleaningConfig(least_document_characters=40))
    assert corpus.manifest["cleaning"]["steps"]["short"]["dropped"] == 4 + 3 + 40


def test_nothing_left_says_which_step_took_it(notes: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"leaves nothing.*150 of 150 documents dropped \(150 too short\)"):
        prepared(notes, tmp_path / "corpus", CleaningConfig(least_document_characters=10**6))


def test_text_that_changes_meanwhile_is_an_error(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = build.train_tokenizer

    def changes(*arguments: object, **options: object) -> WordPiece:
        tokenizer = real(*arguments, **options)  # type: ignore[arg-type]
        (notes / "2.txt").write_text("Another text.")
        return tokenizer

    monkeypatch.setattr(build, "train_tokenizer", changes)
    with pytest.raises(PreparedCorpusError, match=r"has changed while it was being prepared"):
        prepared(notes, tmp_path / "corpus")


# -- languages


def language_by_letter(text: str) -> str:
    return "de" if text.startswith("Das") else "en"


def test_documents_of_other_languages_go(notes: Path, tmp_path: Path) -> None:
    corpus = bertsmith.prepare(
        notes,
        out=tmp_path / "corpus",
        vocab_size=400,
        workers=1,
        language_of=language_by_letter,
        keep_languages="de",
        reporter=Silent(),
    )
    assert corpus.manifest["counts"]["documents"] == 6
    assert corpus.manifest["cleaning"]["steps"]["language"]["dropped"] == 144
    made_from = corpus.manifest["made_from"]["cleaning"]
    assert made_from == {"keep_languages": ["de"], "language_of": f"{__name__}:language_by_letter"}


@pytest.mark.parametrize(
    ("language_of", "keep", "message"),
    [
        (language_by_letter, (), "belong together"),
        (None, ["de"], "belong together"),
        (lambda text: text[10**9], ["de"], r"0\.txt: language_of fails on the document that begins 'Home.*IndexError"),
    ],
)
def test_a_language_filter_that_cannot_work_is_said(
    notes: Path, tmp_path: Path, language_of: Callable[[str], str] | None, keep: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        bertsmith.prepare(
            notes, out=tmp_path / "corpus", language_of=language_of, keep_languages=keep, reporter=Silent()
        )


# -- preview


def test_a_preview_shows_what_would_go_and_writes_nothing(
    notes: Path, tmp_path: Path, straight: PreparedCorpus
) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = preview_cleaning([str(notes)], cleaning=Cleaning(ALL_STEPS), reading=CorpusConfig(), documents=1000)
    assert sorted(tmp_path.rglob("*")) == before
    assert found.account == straight.manifest["cleaning"]
    by_step: dict[str, list[object]] = {}
    for example in found.examples:
        by_step.setdefault(example.step, []).append(example)
        assert len(example.text) <= 160
    assert set(map(len, by_step.values())) <= {1, 2, 3}
    assert len(by_step) == 7
    lines = by_step["boilerplate lines taken out"]
    assert [line.text for line in lines] == [MENU]  # type: ignore[attr-defined]
    near = by_step["dropped: near duplicate"][0]
    assert near.beside  # type: ignore[attr-defined]
    assert near.beside != near.text  # type: ignore[attr-defined]
    mended = by_step["Unicode mended"][0]
    assert "schÃ¶n" in mended.text  # type: ignore[attr-defined]
    assert "schön" in mended.beside  # type: ignore[attr-defined]


def test_a_preview_reads_no_more_than_it_says(notes: Path) -> None:
    config = CleaningConfig(drop_duplicates="exact")
    found = preview_cleaning([str(notes)], cleaning=Cleaning(config), reading=CorpusConfig(), documents=30)
    assert found.account["read"]["documents"] == 30


@pytest.mark.parametrize("documents", [7, 90])
def test_a_sample_of_many_short_files_is_spread_and_has_what_was_asked_for(tmp_path: Path, documents: int) -> None:
    """It was of every second of the files alone, or of the last ones."""
    for index in range(100):
        (tmp_path / f"{index:02d}.txt").write_text(f"Document {index}.")
    config = CleaningConfig(drop_duplicates="exact")
    found = preview_cleaning([str(tmp_path)], cleaning=Cleaning(config), reading=CorpusConfig(), documents=documents)
    assert found.account["read"]["documents"] == documents
    sample = sample_documents([str(tmp_path)], CorpusConfig(), documents)
    numbers = [int(Path(source).stem) for source in sample.sources]
    assert numbers == sorted(set(numbers))
    assert numbers[0] < 100 / 7
    assert max(np.diff(numbers)) <= -(-100 // 7)


def test_a_sample_takes_of_a_long_file_what_the_short_ones_have_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join(f"Document {index}." for index in range(50)))
    (tmp_path / "b.txt").write_text("The only one.")
    sample = sample_documents([str(tmp_path)], CorpusConfig(), 30)
    assert sample.texts == [*(f"Document {index}." for index in range(29)), "The only one."]


def test_options_that_do_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="say --drop-duplicates near"):
        CleaningConfig(near_duplicate_share=0.8)
    assert CleaningConfig().chosen() == {}
    assert json.dumps(ALL_STEPS.chosen())
