"""Plain text whose label is the name of its file or folder."""

import gzip
from pathlib import Path

import pytest
from labelled_files import classified, message, plain, unlabelled, write

from bertsmith.errors import CorpusError


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    folder = tmp_path / "reviews"
    write(folder, "neg/cv0.txt", "bad\n\n  and long \n")
    write(folder, "pos/cv1.txt", "good")
    write(folder, "pos/cv0.txt", "better\n")
    return folder


def test_a_folder_a_class(reviews):
    read = classified(reviews)
    assert plain(read) == [("bad\n\n  and long", "neg"), ("better", "pos"), ("good", "pos")]
    assert read.examples[0].place == str(reviews / "neg" / "cv0.txt")
    assert read.notes == [f"{reviews}: the label is the sub-folder's name, neg, pos"]
    assert plain(unlabelled(reviews)) == [("bad\n\n  and long",), ("better",), ("good",)]


def test_what_else_lies_in_such_a_folder(reviews):
    write(reviews, "README.txt", "about")
    write(reviews, "urls_pos.txt", "http://a")
    write(reviews, ".git/config.txt", "hidden")
    write(reviews, "pos/.hidden.txt", "hidden")
    write(reviews, "pos/notes.md", "no text of the set")
    write(reviews, "unsup/cv9.txt", "unknown")
    read = classified(reviews, labels=("neg", "pos"))
    assert [example.labels for example in read.examples] == [("neg",), ("pos",), ("pos",)]
    assert any("1 file(s) beside the sub-folders are left out" in note for note in read.notes)
    assert any("unsup are left out" in note for note in read.notes)
    assert len(classified(reviews).examples) == 4


def test_files_without_endings_are_texts_too(tmp_path):
    for name in ("sci.med/591", "rec.autos/102"):
        write(tmp_path, name, name)
    assert plain(classified(tmp_path)) == [("rec.autos/102", "rec.autos"), ("sci.med/591", "sci.med")]


def test_bad_files_of_a_class(reviews):
    write(reviews, "pos/cv2.txt", " \n")
    assert f"{reviews}/pos/cv2.txt, the file: empty text" in message(reviews)
    (reviews / "pos" / "cv2.txt").write_bytes(b"one\ntwo caf\xe9")
    assert f"{reviews}/pos/cv2.txt, line 2, byte 11: byte 0xe9 is no UTF-8" in message(reviews)
    read = classified(reviews, on_bad_input="skip")
    assert len(read.examples) == 3
    assert [bad.source for bad in read.skipped] == [f"{reviews}/pos/cv2.txt"]


def test_folders_of_folders_of_classes_are_no_classes(reviews):
    said = message(reviews.parent)
    assert "the folders in it hold folders of texts" in said
    assert f"such as {reviews}." in said


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["rt-polarity.neg", "rt-polarity.pos"], ["neg", "pos"]),
        (["neg.txt", "pos.txt"], ["neg", "pos"]),
        (["neg.txt.gz", "pos.txt.gz"], ["neg", "pos"]),
        (["train_not-spam.txt", "train_spam.txt"], ["not-spam", "spam"]),
        (["spam-dev.txt", "very-spam-dev.txt"], ["spam", "very-spam"]),
    ],
)
def test_a_file_a_class(tmp_path, names, labels):
    for name in names:
        data = b"one \n\ntwo\r\n"
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    expected = [(text, label) for label in labels for text in ("one", "two")]
    read = classified(tmp_path)
    assert plain(read) == expected
    assert read.examples[1].place == f"{tmp_path / names[0]}, line 3"
    assert plain(classified([tmp_path / name for name in names])) == expected
    assert plain(classified(str(tmp_path / "*"))) == expected
    assert plain(classified(tmp_path / names[0], labels=tuple(labels))) == expected[:2]


def test_text_files_that_tell_no_label(tmp_path):
    path = write(tmp_path, "reviews.txt", "one\ntwo\n")
    assert "the name of this text file tells no label" in message(path)
    assert "tells no label (neg, pos)" in message(path, labels=("neg", "pos"))
    assert "tells no label" in message(write(tmp_path, "not-spam.txt", "one"), labels=("ham", "spam"))
    assert plain(unlabelled(path)) == [("one",), ("two",)]
    with pytest.raises(CorpusError, match=r"reviews\.txt: no table"):
        classified([str(path), str(write(tmp_path, "a.csv", "text,label\na,b\n"))])


def test_a_folder_of_many_texts_is_no_set_of_classes(tmp_path):
    for number in range(101):
        write(tmp_path, f"{number}.txt", "text")
    assert "101 files of plain text" in message(tmp_path)
    assert "sub-folder" in message(tmp_path)
