"""The demo on small samples; as it is it takes three minutes, and is run by `make demo`."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bertsmith import demo
from bertsmith.cli.demo import verdict
from bertsmith.cli.main import main
from bertsmith.config import ModelConfig, TokenizerConfig
from bertsmith.data.labelled.texts import read_classified
from bertsmith.demo_corpus import docstrings, paragraphs, write_corpus
from bertsmith.demo_parts import PartExamples, count_labels, read_examples, write_examples
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.inference.predictor import load
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_model_folder, write_model_folder
from bertsmith.progress import Silent
from bertsmith.text.wordpiece import WordPiece

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


def test_a_corpus_leaves_out_what_a_classifier_is_measured_on(tmp_path):
    root = tmp_path / "bees"
    root.mkdir()
    (root / "a.py").write_text(MODULE, encoding="utf-8")
    hidden = "After that the hive is open for everybody."
    write_corpus(tmp_path / "out", Silent(), without={hidden}, roots=[("bees", root)])
    lines = (tmp_path / "out" / "bees.txt").read_text(encoding="utf-8").split("\n")
    assert hidden not in lines
    assert "A module about the keeping of bees in towns." in lines


def write_library(root, **counts):
    """Modules with so many docstrings each, of nine words."""
    for module, count in counts.items():
        functions = [f'def f{n}():\n    """{module} docstring number {n} of the many here."""' for n in range(count)]
        (root / f"{module}.py").write_text("\n".join(functions), encoding="utf-8")


def test_every_part_has_as_many_examples_and_no_text_is_on_both_sides(tmp_path):
    write_library(tmp_path, turtle=9, random=6, statistics=6, pickle=30, uuid=30, smtplib=7)
    examples = read_examples(tmp_path, train=3, dev=5)
    assert Counter(part for _, part in examples.train) == {"windows": 3, "numbers": 3}  # email has too few
    assert Counter(part for _, part in examples.dev) == {"windows": 5, "numbers": 5}
    assert all(text.startswith("turtle") == (part == "windows") for text, part in examples.train + examples.dev)
    texts = [text for text, _ in examples.train + examples.dev]
    assert len(set(texts)) == 16
    assert examples == read_examples(tmp_path, train=3, dev=5)


def test_a_docstring_that_stands_twice_is_one_example(tmp_path):
    same = '"""The very same docstring of nine words stands here."""\n'
    for module in ("turtle", "random"):
        (tmp_path / f"{module}.py").write_text(same, encoding="utf-8")
    with pytest.raises(CorpusError, match="2 docstrings in 0 of the parts concurrency, email"):
        read_examples(tmp_path, train=1, dev=1)


def test_examples_are_written_a_line_each_and_read_by_finetune(tmp_path):
    file = tmp_path / "dev.csv"
    write_examples((('Two lines,\nof a "docstring".', "xml"), ("Another.", "web"), ("A third.", "web")), file)
    assert file.read_text(encoding="utf-8").count("\n") == 4
    assert count_labels(file) == {"xml": 1, "web": 2}
    read = read_classified(str(file), LabelledConfig()).examples
    assert [(example.text, example.labels) for example in read][:2] == [
        ('Two lines, of a "docstring".', ("xml",)),
        ("Another.", ("web",)),
    ]


@pytest.fixture
def small(monkeypatch):
    """A demo of made-up text, small enough for a test."""

    def write_few(folder, _reporter, *, without):
        assert without == {f"Opens window number {n} of the screen." for n in range(20, 30)} | {
            f"Sends letter number {n} by mail." for n in range(20, 30)
        }
        folder.mkdir(parents=True)
        lines = [f"The function number {n} returns a list of {n % 9} strings." for n in range(2400)]
        documents = ["\n".join(lines[n : n + 8]) for n in range(0, len(lines), 8)]
        return (folder / "few.txt").write_text("\n\n".join(documents), encoding="utf-8")

    texts = [
        (text, part)
        for n in range(30)
        for text, part in (
            (f"Opens window number {n} of the screen.", "windows"),
            (f"Sends letter number {n} by mail.", "email"),
        )
    ]
    monkeypatch.setattr(demo, "write_corpus", write_few)
    monkeypatch.setattr(demo, "read_examples", lambda: PartExamples(tuple(texts[:40]), tuple(texts[40:])))
    monkeypatch.setattr(demo, "PRETRAINING", demo.PRETRAINING.but(batch_size=4, evaluation_rows=8))
    monkeypatch.setattr(demo, "FINETUNING", demo.FINETUNING.but(steps=3))


def test_the_demo_pretrains_fills_classifies_and_goes_on_where_it_was(tmp_path, monkeypatch, small):
    made = demo.run_demo(tmp_path / "d", minutes=0.02, reporter=Silent())
    assert set(made.fills) == set(demo.SENTENCES)
    assert all(len(fills) == 5 for masks in made.fills.values() for fills in masks)
    assert (made.model / "README.md").exists()
    assert made.parts.guessing == 0.5
    assert (made.parts.train, made.parts.dev) == (40, 20)
    assert load(made.parts.pretrained.out).classify(["Sends a letter."])[0].label in {"windows", "email"}
    files = sorted((tmp_path / "d").glob("*/model.safetensors"))
    written = [file.stat().st_mtime_ns for file in files]
    assert len(files) == 4
    for name in ("write_corpus", "read_examples"):
        monkeypatch.setattr(demo, name, None)
    again = demo.run_demo(tmp_path / "d", minutes=0.02, reporter=Silent())
    assert again.metrics == made.metrics
    assert again.fills == made.fills
    assert again.parts.pretrained.metrics == made.parts.pretrained.metrics
    assert again.parts.never_pretrained.metrics == made.parts.never_pretrained.metrics
    assert [file.stat().st_mtime_ns for file in files] == written


def test_the_never_pretrained_encoder_is_the_one_that_pretraining_began_from(tmp_path):
    vocabulary = WordPiece.train(
        ["some words to learn from, and some more of them"] * 3, TokenizerConfig(vocab_size=80)
    )
    shape = ModelConfig.preset("tiny", vocab_size=vocabulary.vocab_size)
    generator = torch.Generator().manual_seed(demo.PRETRAINING.seed)
    begun = Bert(shape, ("masked_lm",), generator=generator)
    vocabulary.save(tmp_path / "bert")
    write_model_folder(begun, tmp_path / "bert")
    demo._write_never_pretrained(tmp_path / "bert", tmp_path / "never")
    never, report = read_model_folder(tmp_path / "never")
    assert report.absent == ("pooler", "masked_lm", "next_sentence")
    for (name, ours), theirs in zip(begun.encoder.named_parameters(), never.encoder.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def comparison(pretrained, never):
    results = [SimpleNamespace(out=Path("d/x"), metrics={"accuracy": share}) for share in (pretrained, never)]
    return demo.Comparison(*results, guessing=0.1, train=500, dev=1000)


@pytest.mark.parametrize(
    ("pretrained", "never", "said"),
    [
        (0.62, 0.54, "bought 8.0 points"),
        (0.55, 0.54, "within the noise"),
        (0.54, 0.55, "within the noise"),
        (0.37, 0.55, "cost 18.0 points"),
    ],
)
def test_the_demo_claims_no_more_than_it_measured(pretrained, never, said):
    assert said in verdict(comparison(pretrained, never))


def test_noise_is_two_standard_errors_of_the_difference():
    assert comparison(0.5, 0.5).noise == pytest.approx(2 * (2 * 0.25 / 1000) ** 0.5)


def test_json_has_the_figures_of_both(tmp_path, capsys, small):
    assert main(["demo", "--out", str(tmp_path / "d"), "--minutes", "0.02", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["out"] == str(tmp_path / "d" / "bert")
    figures = said["classifier"]
    assert figures["majority_share"] == 0.5
    gain = figures["metrics"]["accuracy"] - figures["never_pretrained_metrics"]["accuracy"]
    assert figures["gain"] == pytest.approx(gain)
    assert "mlm_loss" in said["metrics"]
