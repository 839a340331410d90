"""Rows of a corpus before training: what is shown is what training would make."""

import json
from pathlib import Path

import pytest

from bertsmith.cli.main import main
from bertsmith.config import CorpusConfig, PretrainConfig
from bertsmith.data.preview import RowsPreview, preview_rows
from bertsmith.errors import CorpusError
from bertsmith.text.wordpiece import WordPiece
from data.corpora import raw_text


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("preview") / "text.txt"
    path.write_text(raw_text(0, documents=60))
    return path


def preview(corpus: Path, tokenizer: Path, **options) -> RowsPreview:
    training = PretrainConfig(**{"max_length_tokens": 48, **options})
    return preview_rows(
        [str(corpus)], WordPiece.load(tokenizer), reading=CorpusConfig(), training=training, documents=50, rows=4
    )


def test_rows_are_sequences_of_the_corpus_with_some_tokens_hidden(corpus, tiny_bert):
    found, tokenizer = preview(corpus, tiny_bert), WordPiece.load(tiny_bert)
    known = {" ".join(_cut(tokenizer, line)) for line in corpus.read_text().splitlines() if line}
    assert (len(found.rows), found.documents) == (4, 50)
    for row in found.rows:
        assert sum(len(sequence.tokens) for sequence in row) <= 48
        for sequence in row:
            shown = [token.shown for token in sequence.tokens]
            assert (shown[0], shown[-1]) == ("[CLS]", "[SEP]")
            assert sum(token.hidden is not None for token in sequence.tokens) == max(1, round(0.15 * len(shown)))
            original = [token.hidden or token.shown for token in sequence.tokens]
            middle = original.index("[SEP]")
            assert {token.segment for token in sequence.tokens[: middle + 1]} == {0}
            assert {token.segment for token in sequence.tokens[middle + 1 :]} == {1}
            first = " ".join(original[1:middle])
            assert any(first in line or line in first for line in known)


def _cut(tokenizer: WordPiece, line: str) -> list[str]:
    return [tokenizer.tokens[token_id] for token_id in tokenizer.encode_sentences([line])[0]]


def test_figures_are_near_what_the_options_ask_for(corpus, tiny_bert):
    figures = preview(corpus, tiny_bert, mask_share=0.3).figures
    assert figures["masked_share"] == pytest.approx(0.3, abs=0.02)
    assert figures["mask_token_share"] == pytest.approx(0.8, abs=0.06)
    assert figures["random_share"] + figures["kept_share"] == pytest.approx(1 - figures["mask_token_share"])
    assert 0.1 < figures["is_next_share"] < 0.6, "half, less those sentences that stand alone"
    assert 0.8 < figures["fill_share"] <= 1


def test_without_pairs_there_is_one_segment_and_no_label(corpus, tiny_bert):
    found = preview(corpus, tiny_bert, objective="mlm")
    assert found.figures["is_next_share"] is None
    for sequence in found.rows[0]:
        assert sequence.is_next is None
        assert {token.segment for token in sequence.tokens} == {0}


def test_the_seed_decides(corpus, tiny_bert):
    assert preview(corpus, tiny_bert) == preview(corpus, tiny_bert)
    assert preview(corpus, tiny_bert) != preview(corpus, tiny_bert, seed=1)


def test_a_text_of_which_nothing_is_left_is_said(tmp_path, tiny_bert):
    (tmp_path / "a.txt").write_text("\u0301\u0301")
    with pytest.raises(CorpusError, match="leaves nothing of the text"):
        preview(tmp_path / "a.txt", tiny_bert)


def test_the_command_shows_rows_and_figures(corpus, tiny_bert, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    words = ["preview", str(corpus), "--tokenizer", str(tiny_bert), "--max-length-tokens", "48", "--rows", "2"]
    assert main(words) == 0
    shown, err = capsys.readouterr()
    assert "rows of --max-length-tokens 48; 60% of the budget before long rows goes to shorter ones" in err
    assert "row 2: " in shown
    assert "[MASK]→" in shown
    assert "tokens to be guessed" in shown
    assert "budget goes to rows of" not in err
    assert main([*words, "--early-share", "0", "--long-share", "0.1", "--long-length-tokens", "64"]) == 0
    err = capsys.readouterr().err
    assert "shorter ones" not in err
    assert "The last 10% of the budget goes to rows of 64 tokens" in err
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    expected = preview_rows(
        [str(corpus)],
        WordPiece.load(tiny_bert),
        reading=CorpusConfig(),
        training=PretrainConfig(max_length_tokens=48),
        documents=500,
        rows=2,
    )
    assert said == json.loads(json.dumps(expected.values()))
