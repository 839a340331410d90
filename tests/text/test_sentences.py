"""Documents to sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.text.sentences import split_sentences


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        (
            "en",
            "Dr. Smith came.  He left at 5.30 p.m. today. Why?",
            ["Dr. Smith came.", "He left at 5.30 p.m. today.", "Why?"],
        ),
        (
            "tr",
            "Prof. Dr. Ahmet geldi. Saat 5.30 idi. Nasılsın?",
            ["Prof. Dr. Ahmet geldi.", "Saat 5.30 idi.", "Nasılsın?"],
        ),
        ("zh", "你好。再见！你呢", ["你好。", "再见！", "你呢"]),
        ("xx", "One. Two.", ["One.", "Two."]),
        ("en", " \n\t\n ", []),
        ("en", "", []),
    ],
)
def test_known_texts(language, text, sentences):
    assert split_sentences(text, language) == sentences


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", "\u2028", "\x0c"])
def test_a_line_break_ends_a_sentence(end):
    assert split_sentences(f"A heading{end}and a text{end}", "en") == ["A heading", "and a text"]


def test_a_text_without_an_end_stays_whole():
    text = "word " * 1_900
    assert split_sentences(text, "en") == [text.strip()]


def test_a_very_long_line_is_cut_at_its_ends_or_white_space():
    sentence = "This one is a sentence of 40 characters."
    assert split_sentences(f"{sentence} " * 3_000, "en") == [sentence] * 3_000
    words = split_sentences("word " * 10_000, "en")
    assert " ".join(words) == ("word " * 10_000).strip()
    assert max(map(len, words)) <= 10_000
    assert "".join(split_sentences("学" * 25_001, "zh")) == "学" * 25_001


@given(st.text(st.characters(codec=None), max_size=80), st.sampled_from(["en", "de", "tr", "zh", "hi"]))
def test_nothing_but_white_space_is_lost(text, language):
    sentences = split_sentences(text, language)
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)
    kept = "".join(sentences)
    readable = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    assert "".join(kept.split()) == "".join(readable.split())
