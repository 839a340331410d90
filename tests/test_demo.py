"""The demo's corpus, on a small sample; the demo itself takes three minutes and is run by `make demo`."""

import pytest

from bertsmith import demo, demo_corpus
from bertsmith.demo_corpus import docstrings, paragraphs, write_corpus
from bertsmith.progress import Silent

MODULE = '''
"""A module about the keeping of bees in towns.

Bees are kept in wooden boxes on flat roofs,
where the wind is not too strong.

Example
-------
>>> honey(3)
17

.. note::

    The code of this note is not prose at all.

Use it as follows::

    hive = Hive()
    hive.open()

After that the hive is open for everybody.

- the :class:`~bees.Hive` is a house of wood
- the ``Bee`` is an animal with two wings
"""
class Hive:
    """A house for bees that is made of wood."""
    def open(self):
        """Open."""
'''


def test_prose_is_kept_and_code_is_not(tmp_path):
    (tmp_path / "bees.py").write_text(MODULE, encoding="utf-8")
    lines = [line for docstring in docstrings(tmp_path / "bees.py") for line in paragraphs(docstring)]
    assert lines == [
        "A module about the keeping of bees in towns.",
        "Bees are kept in wooden boxes on flat roofs, where the wind is not too strong.",
        "After that the hive is open for everybody.",
        "the ~bees.Hive is a house of wood",
        "the Bee is an animal with two wings",
        "A house for bees that is made of wood.",
    ]


@pytest.mark.parametrize("source", [b"def broken(:\n", b"# coding: nonsense\n", b"\xff\xfe", b"\0"])
def test_what_does_not_parse_is_passed_over(tmp_path, source):
    (tmp_path / "broken.py").write_bytes(source)
    assert list(docstrings(tmp_path / "broken.py")) == []


def test_a_corpus_has_blank_lines_between_documents_and_no_line_twice(tmp_path):
    root = tmp_path / "bees"
    (root / "tests").mkdir(parents=True)
    for name in ("a.py", "b.py", "tests/c.py"):
        (root / name).write_text(MODULE, encoding="utf-8")
    other = MODULE.replace("bees", "cats").replace("hive", "cat").replace("Bee", "Cat").replace("wood", "wool")
    (root / "d.py").write_text(other.replace("towns", "houses"), encoding="utf-8")
    written = write_corpus(tmp_path / "out", Silent(), roots=[("bees", root)])
    text = (tmp_path / "out" / "bees.txt").read_text(encoding="utf-8")
    assert len(text.encode()) == written
    documents = text.strip().split("\n\n")
    assert len(documents) == 2  # b.py says nothing new, tests are not read
    lines = [line for document in documents for line in document.split("\n")]
    assert len(lines) == len(set(lines))


def test_writing_ends_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_corpus, "MAX_BYTES", 300)
    root = tmp_path / "bees"
    root.mkdir()
    for word in ("bees", "cats", "dogs", "cows"):
        (root / f"{word}.py").write_text(MODULE.replace("bees", word).replace("wood", word), encoding="utf-8")
    assert 300 < write_corpus(tmp_path / "out", Silent(), roots=[("bees", root)]) < 900


def test_the_demo_pretrains_fills_and_goes_on_where_it_was(tmp_path, monkeypatch):
    def write_few(folder, _reporter):
        folder.mkdir(parents=True)
        lines = [f"The function number {n} returns a list of {n % 9} strings." for n in range(2400)]
        documents = ["\n".join(lines[n : n + 8]) for n in range(0, len(lines), 8)]
        return (folder / "few.txt").write_text("\n\n".join(documents), encoding="utf-8")

    monkeypatch.setattr(demo, "write_corpus", write_few)
    monkeypatch.setattr(demo, "PRETRAINING", demo.PRETRAINING.but(batch_size=4, evaluation_rows=8))
    made = demo.run_demo(tmp_path / "d", minutes=0.02, reporter=Silent())
    assert set(made.fills) == set(demo.SENTENCES)
    assert all(len(fills) == 5 for masks in made.fills.values() for fills in masks)
    assert (made.model / "README.md").exists()
    weights = (made.model / "model.safetensors").stat()
    monkeypatch.setattr(demo, "write_corpus", None)
    again = demo.run_demo(tmp_path / "d", minutes=0.02, reporter=Silent())
    assert again.metrics == made.metrics
    assert again.fills == made.fills
    assert weights.st_size == (made.model / "model.safetensors").stat().st_size
