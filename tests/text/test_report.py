"""The tokenizer report, against counts made by hand."""

import json

import pytest

from bertsmith.config import TokenizerConfig
from bertsmith.errors import TokenizerError
from bertsmith.text.report import tokenizer_report
from bertsmith.text.wordpiece import WordPiece

# Knows "low", "lower" and the letters of both; not "q", not "Ω".
TOKENIZER = WordPiece.train(["low lower " * 10], TokenizerConfig(vocab_size=100))


def test_every_figure_of_a_small_text():
    known = set(TOKENIZER.tokens)
    assert {"low", "lower", "##o", "w", "e"} <= known
    assert {"we", "woe", "q"} & known == set()
    report = tokenizer_report(TOKENIZER, ["low LOWER woe Ω", "lower we we we q Ω"])
    assert report.words == 10
    assert report.distinct_words == 6
    cut = {"woe": 3, "we": 2}  # w ##o ##e, w ##e
    assert report.tokens == 1 + 2 + cut["woe"] + 3 * cut["we"] + 3
    assert report.tokens_per_word == report.tokens / 10
    assert report.unk_word_share == 3 / 10
    assert report.unk_token_share == 3 / report.tokens
    assert report.whole_word_share == 3 / 10
    assert [(word.word, word.count) for word in report.worst_cut_words] == [("we", 3), ("woe", 1)]
    assert report.worst_cut_words[1].pieces == ["w", "##o", "##e"]
    assert [(c.character, c.count, c.code_point) for c in report.uncovered_characters] == [
        ("ω", 2, "U+03C9"),
        ("q", 1, "U+0071"),
    ]
    assert report.vocab_size == TOKENIZER.vocab_size


def test_at_most_twenty_words_and_all_of_it_is_json():
    words = [a + b + c for a in "elorw" for b in "elorw" for c in "elorw"]
    report = tokenizer_report(TOKENIZER, [" ".join(words)])
    assert len(report.worst_cut_words) == 20
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    assert report.to_dict()["worst_cut_words"][0].keys() == {"word", "count", "pieces"}


def test_no_word_to_report_on():
    with pytest.raises(TokenizerError, match="no word"):
        tokenizer_report(TOKENIZER, [" "])
