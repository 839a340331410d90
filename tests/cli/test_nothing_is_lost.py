"""A command writes over nothing that it did not make, and a reader that goes away stops no work."""

import subprocess
import sys
from pathlib import Path

import pytest

from bertsmith.cli.main import main
from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.data.prepare import prepare_corpus
from bertsmith.errors import BertsmithError, TokenizerError
from bertsmith.files import locked
from bertsmith.progress import Silent
from bertsmith.text.wordpiece import WordPiece
from data.corpora import raw_text


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(raw_text(0, documents=60))
    return path


def test_import_and_tokenizer_train_write_over_no_model(
    tiny_bert: Path, tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "copy"
    assert main(["import", str(tiny_bert), "--out", str(out)]) == 0
    before = files_of(out)
    assert main(["import", str(tiny_bert), "--out", str(out)]) == 2
    assert main(["tokenizer", "train", str(text), "--out", str(out), "--vocab-size", "200"]) == 2
    assert "already; choose another folder" in capsys.readouterr().err
    assert files_of(out) == before


def test_an_import_that_was_killed_is_done_again_by_the_same_words(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights came first, and with them alone the folder was refused."""

    def dies(*_: object) -> None:
        raise BertsmithError("killed here")

    words = ["import", str(tiny_bert), "--out", str(tmp_path / "copy")]
    with monkeypatch.context() as patch:
        patch.setattr(WordPiece, "save", dies)
        assert main(words) != 0
    assert main(words) == 0
    assert main(["import", str(tmp_path / "nowhere"), "--out", str(tmp_path / "new")]) == 2
    assert not (tmp_path / "new").exists()


def test_embed_writes_over_no_text(tiny_bert: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = text.read_bytes()
    assert main(["embed", str(tiny_bert), str(text), "--out", str(text)]) == 2
    assert "no .npy file" in capsys.readouterr().err
    assert text.read_bytes() == before


@pytest.mark.parametrize("command", [["prepare"], ["pretrain", "--steps", "1"], ["tokenizer", "train"]])
def test_a_file_in_the_way_is_named(
    command: list[str], text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "afile").touch()
    assert main([*command, str(text), "--out", str(tmp_path / "afile"), "--vocab-size", "200"]) == 2
    assert "a file is in the way" in capsys.readouterr().err


def test_a_second_build_in_a_folder_is_refused(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    with locked(out, out / "building/lock"), pytest.raises(BertsmithError, match="another run is writing"):
        prepare_corpus(
            [str(text)],
            out,
            tokenizer=TokenizerConfig(vocab_size=200),
            config=CorpusConfig(workers=1),
            seed=0,
            reporter=Silent(),
        )


def test_a_reader_of_stderr_that_goes_away_stops_no_run(text: Path, tmp_path: Path) -> None:
    options = "--size tiny --steps 3 --batch-size 4 --max-length-tokens 32 --evaluation-rows 4 --vocab-size 200"
    command = [sys.executable, "-m", "bertsmith", "pretrain", str(text), "--out", str(tmp_path / "run")]
    run = subprocess.Popen([*command, *options.split()], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert run.stderr is not None
    run.stderr.readline()
    run.stderr.close()
    assert run.wait(120) == 0
    assert (tmp_path / "run/README.md").exists()


def test_a_vocabulary_without_room_and_a_text_without_words_are_told_apart() -> None:
    alphabet = " ".join("abcdefghijklmnopqrstuvwxyz"[i:] for i in range(20))
    with pytest.raises(TokenizerError, match="no room for the letters of most words"):
        WordPiece.train([alphabet * 5], TokenizerConfig(vocab_size=10))
    with pytest.raises(TokenizerError, match="longer than 100 characters"):
        WordPiece.train(["abc" * 2000], TokenizerConfig(vocab_size=500))


def test_a_language_is_a_code(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(text), "--out", str(tmp_path / "corpus"), "--language", "english"]) == 2
    assert "codes are such as en, de" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["explain", "nowhere", "a [MASK]"], "page.html"),
        (["evaluate", "nowhere", "text.txt"], "answers.jsonl"),
        (["embed", "nowhere", "text.txt"], "vectors.npy"),
    ],
)
def test_where_an_answer_goes_is_seen_to_before_it_is_sought(
    words: list[str],
    name: str,
    text: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(text.parent)
    (tmp_path / name).mkdir()
    assert main([*words, "--out", name]) == 2
    assert f"{name}: this is a folder" in capsys.readouterr().err
    assert main([*words, "--out", f"new/{name}"]) == 2
    assert "nowhere" in capsys.readouterr().err, "the model comes after it"
    assert (tmp_path / "new").is_dir()
    assert main([*words, "--out", f"text.txt/{name}"]) == 2
    assert "a file is in the way" in capsys.readouterr().err
