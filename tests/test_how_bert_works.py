"""docs/how-bert-works.md: its model is made, its blocks are run, and what they print is what the page shows."""

import importlib.util
import re
from pathlib import Path

import pytest

import bertsmith

DOCS = Path(__file__).parents[1] / "docs"
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def module(name: str):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


PAGE = (DOCS / "how-bert-works.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("docs")
    module("small_bert").make(made / "small-bert")
    return made


def check_alike(shown: str, printed: str) -> None:
    """The same but for the last digit of a number, which another processor may round differently."""
    assert _NUMBER.sub("#", shown) == _NUMBER.sub("#", printed)
    for one, other in zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True):
        unit = 10.0 ** -len(one.partition(".")[2]) if "." in one else 0.0
        assert abs(float(one) - float(other)) <= 1.01 * unit, (one, other, printed)


def test_every_number_is_printed_by_the_library(folder):
    runs = list(module("make").run(PAGE, folder))
    shown = [(block[2], printed) for block, printed in runs]
    assert len([each for each, _ in shown if each]) >= 10
    for text, printed in shown:
        check_alike(text or "", printed)
    assert "<svg" in (folder / "attention.svg").read_text()
    assert (folder / "how-bert-works.html").stat().st_size > 100_000


def test_what_the_page_says_of_the_model_is_so(folder):
    small_bert = module("small_bert")
    documents = list(small_bert.documents())
    assert f"{len(set(documents))} pairs of sentences on" in PAGE
    assert f"In the {len(documents)} pairs" in PAGE
    taker = [re.search(r"gave the (\w+)", text)[1] for text in documents if "pain." in text and "pill" in text]
    assert (taker.count("patient"), taker.count("child")) == (len(taker) * 2 / 3, len(taker) / 3)
    bert = bertsmith.load(folder / "small-bert").bert
    assert f"| {sum(each.numel() for each in bert.parameters()):,} |" in PAGE
    assert f"| {bert.config.vocab_size} |" in PAGE
    assert f"Then, {small_bert.STEPS} times" in PAGE


@pytest.mark.parametrize(
    ("printed", "alike"), [("a 0.65", True), ("a 0.66", True), ("a 0.67", False), ("b 0.65", False)]
)
def test_the_comparison_can_fail(printed, alike):
    if alike:
        check_alike("a 0.65", printed)
        return
    with pytest.raises(AssertionError):
        check_alike("a 0.65", printed)
