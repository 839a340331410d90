"""What notebooks show of answers."""

import re

import pytest

import bertsmith
from bertsmith.tasks.classification import Classification
from bertsmith.tasks.fill_mask import Fill, Fills
from bertsmith.tasks.multiple_choice import Choice
from bertsmith.tasks.question_answering import AnswerSpan, Span
from bertsmith.tasks.tagging import TaggedSpan, Tagging

EVIL = "<img src=x onerror=alert(1)>\ud800"
SAFE = "&lt;img src=x onerror=alert(1)&gt;\ufffd"
ANSWERS = [
    (Classification((EVIL,), {"so": 0.25, EVIL: 0.75}), SAFE, [(SAFE, "75.0%"), ("so", "25.0%")]),
    (Classification((), {"a": 0.25, "b": 0.4}), "no label", [("b", "40.0%"), ("a", "25.0%")]),
    (
        Tagging(("B-PER",), (TaggedSpan(EVIL, 0, 3, "Ann", 0.5),), (0.5,)),
        "1 found",
        [(f"Ann ({SAFE})", "50.0%")],
    ),
    (Tagging(("O",), (), (0.5,)), "nothing is marked", []),
    (
        AnswerSpan(EVIL, 0, 3, 0.5, alternatives=(Span("ward", 4, 8, 0.125),)),
        SAFE,
        [(SAFE, "50.0%"), ("ward", "12.5%")],
    ),
    (
        AnswerSpan("", 0, 0, 0.5, no_answer=True),
        "no answer in this text",
        [("no answer in this text", "50.0%")],
    ),
    (Choice(1, EVIL, (0.25, 0.75)), SAFE, [("choice 0", "25.0%"), ("choice 1", "75.0%")]),
    (Fills([Fill("a", 3, 0.75, EVIL), Fill("##b", 4, 0.25, "x")]), SAFE, [("a", "75.0%"), ("##b", "25.0%")]),
]


@pytest.mark.parametrize(("answer", "said", "rows"), ANSWERS)
def test_an_answer_draws_itself_with_every_text_as_text(answer, said, rows):
    drawn = answer._repr_html_()
    assert re.search(r"<b[^>]*>(.*?)</b>", drawn)[1] == said
    assert re.findall(r"<tr><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td>", drawn) == rows
    assert "<img" not in drawn


def test_many_labels_are_cut_to_the_likeliest():
    shares = {f"label {number}": (number + 1) / 210 for number in range(20)}
    drawn = Classification(("label 19",), shares)._repr_html_()
    assert re.findall(r"label (\d+)</td>", drawn) == ["19", "18", "17", "16", "15"]


def test_fills_of_a_mask_draw_themselves_and_are_a_list(tiny_bert):
    fills = bertsmith.load(tiny_bert).fill("a [MASK]", top_k=3)
    assert len(re.findall("<tr>", fills._repr_html_())) == 3
    assert isinstance(fills, list)
    assert fills == list(fills)
