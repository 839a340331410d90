import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data.labelled.examples import TaggedText
from bertsmith.data.labelled.schemes import strict_bio
from bertsmith.data.labelled.spans import Span, SpanError, split_words, words_with_tags
from bertsmith.data.labelled.words import read_tagged, stream_words, tagged_text
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig

SKIP = LabelledConfig(on_bad_input="skip")


def read(tmp_path, text, config=LabelledConfig(), name="train.conll", **given):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return read_tagged(path, config, **given)


def words_of(example):
    return [example.text[start:end] for start, end in example.words]


def pairs(labelled):
    return [list(zip(words_of(example), example.tags, strict=True)) for example in labelled.examples]


# CoNLL columns.


def test_columns_of_any_width_between_blank_lines(tmp_path):
    text = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n"
    read_all = read(tmp_path, text + "Peter NNP B-NP B-PER\nBlackburn NNP I-NP I-PER")
    assert pairs(read_all) == [[("EU", "B-ORG"), ("rejects", "O")], [("Peter", "B-PER"), ("Blackburn", "I-PER")]]
    assert [example.text for example in read_all.examples] == ["EU rejects", "Peter Blackburn"]
    assert read_all.examples[1].place == f"{tmp_path / 'train.conll'}, line 7"
    assert read_all.notes == []


def test_tabs_line_ends_of_windows_and_words_with_other_white_space(tmp_path):
    text = "New York\tB-LOC\r\n10\u00a0000\tO\r\n\t\r\nRome\tB-LOC\r\n"
    assert pairs(read(tmp_path, text, name="a.tsv")) == [
        [("New York", "B-LOC"), ("10\u00a0000", "O")],
        [("Rome", "B-LOC")],
    ]


def test_columns_by_number_and_by_name(tmp_path):
    text = "B-LOC\tRome\tNNP\n"
    found = read(tmp_path, text, LabelledConfig(text_column="2", label_column="1"))
    assert pairs(found) == [[("Rome", "B-LOC")]]
    named = read(tmp_path, "word\tpos\tner\nRome\tNNP\tB-LOC\n", LabelledConfig(label_column="pos"))
    assert pairs(named) == [[("Rome", "NNP")]]
    with pytest.raises(CorpusError, match=r'train.conll: no column "4". Give a number, 1 … 3, with --label-column'):
        read(tmp_path, text, LabelledConfig(label_column="4"))


def test_a_first_column_that_counts_is_not_the_word(tmp_path):
    text = "# http://example.org\n1\tRome\tB-LOC\n2\tburns\tO\n\n1\tHe\tO\n"
    assert pairs(read(tmp_path, text)) == [[("Rome", "B-LOC"), ("burns", "O")], [("He", "O")]]


def test_comments_are_told_from_words(tmp_path):
    text = "# id 7 domain=train\n# x\n# O\n#now O\nRome B-LOC\n# O\n"
    assert pairs(read(tmp_path, text)) == [[("#", "O"), ("#now", "O"), ("Rome", "B-LOC"), ("#", "O")]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Rome B-LOC\nburns\n", r"line 2: 1 column, where the others have 2"),
        ("Rome\n", r'line 1: one column \("Rome"\), where a word and its tag are needed'),
        ("Rome\tO\n\tO\n", r"line 2: an empty word, in column 1"),
        ("Rome\tO\nburns\t\n", r'line 2: the word "burns" has no tag, in column 2'),
        ("a O\nb B-X\n\nc O\nd I-X\n", r'line 5: tag "I-X" follows "O"; a span begins with "B-X"'),
        ("a O\nb B-X\nc I-Y\n", r'line 3: tag "I-Y" follows "B-X"'),
        ("a B-X\nb O\n\nc I-X\n", r'line 4: tag "I-X" stands first'),
        ("a B-X\nb I-X\nc X\n", r'line 3: tag "X" is neither O nor one with B- or I-'),
        ("a B-X\nb E-X\nc B-X\nd O\n", r'line 3: tag "B-X" opens a span that is not closed: "O" follows'),
        ("a S-X\nb O\nc E-X\n", r'line 3: tag "E-X" follows "O", where no span of its type is open'),
        ("\n\n", "no tagged sentence"),
    ],
)
def test_what_is_broken_has_a_line(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, text)


def test_broken_sentences_are_left_out_and_counted(tmp_path):
    text = "a B-X\n\nb\n\nc O\nd I-X\n\ne O\nf O\n"
    found = read(tmp_path, text, SKIP)
    assert pairs(found) == [[("a", "B-X")], [("e", "O"), ("f", "O")]]
    assert sorted(bad.place for bad in found.skipped) == ["line 3", "line 6"]


def test_a_byte_that_is_no_text_leaves_its_sentence_out(tmp_path):
    path = tmp_path / "a.conll"
    path.write_bytes(b"a O\nK\xf6ln B-LOC\nb O\n\nc O\n")
    found = read_tagged(path, SKIP)
    assert pairs(found) == [[("c", "O")]]
    assert "line 2" in found.skipped[0].place


def test_labels_that_training_lacks(tmp_path):
    labels = ("O", "B-LOC", "I-LOC")
    text = "Rome B-LOC\n\nMax B-PER\n"
    with pytest.raises(CorpusError, match=r'line 3: label "PER" is not one of LOC'):
        read(tmp_path, text, labels=labels)
    assert len(read(tmp_path, text, SKIP, labels=labels).examples) == 1
    with pytest.raises(CorpusError, match=r'line 1: label "ADJ" is not one of NOUN, VERB'):
        read(tmp_path, "a ADJ\n", labels=("NOUN", "VERB"))
    with pytest.raises(CorpusError, match='label "PER" is not one of LOC, ORG'):
        read(tmp_path, text, LabelledConfig(labels="ORG,LOC"))


# Schemes.

BIO = [("B-X", "I-X", "B-X", "O", "B-Y"), ("O", "B-Y", "I-Y", "I-Y")]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("BIO", BIO),
        ("IOB1", [("I-X", "I-X", "B-X", "O", "I-Y"), ("O", "I-Y", "I-Y", "I-Y")]),
        ("BIOES", [("B-X", "E-X", "S-X", "O", "S-Y"), ("O", "B-Y", "I-Y", "E-Y")]),
        ("BILOU", [("B-X", "L-X", "U-X", "O", "U-Y"), ("O", "B-Y", "I-Y", "L-Y")]),
        ("BMEWO", [("B-X", "E-X", "W-X", "O", "W-Y"), ("O", "B-Y", "M-Y", "E-Y")]),
        ("IOE", [("I-X", "E-X", "E-X", "O", "E-Y"), ("O", "I-Y", "I-Y", "E-Y")]),
        ("underscores", [("B_X", "I_X", "B_X", "O", "B_Y"), ("O", "B_Y", "I_Y", "I_Y")]),
    ],
)
def test_every_scheme_becomes_bio(name, written):
    found = strict_bio(written)
    assert found.sentences == BIO
    assert found.faults == {}
    assert ("turned into BIO" in found.note) == (name not in ("BIO", "underscores"))


def test_inside_tags_alone_begin_where_the_type_changes():
    found = strict_bio([("I-X", "I-X", "I-Y"), (), ("I-Y", "O", "I-X")])
    assert found.sentences == [("B-X", "I-X", "B-Y"), (), ("B-Y", "O", "B-X")]
    assert found.note == "the tags are IO; they were turned into BIO"


def test_tags_without_a_type_get_one():
    found = strict_bio([("O", "B", "I")])
    assert found.sentences == [("O", "B-ENTITY", "I-ENTITY")]
    assert "ENTITY" in found.note


def test_plain_tags_stay():
    tags = [("DET", "NOUN", "O"), ("B-side", "NOUN", "-LRB-")]
    assert strict_bio(tags).sentences == tags
    assert strict_bio(tags).note == ""


def test_which_scheme_it_is_all_files_tell(tmp_path):
    (tmp_path / "1.bio").write_text("a I-X\nb B-X\n")  # alone this could be IOB1
    (tmp_path / "2.bio").write_text("a O\nb B-X\nc I-X\n")
    with pytest.raises(CorpusError, match=r'1.bio, line 1: tag "I-X" stands first'):
        read_tagged([tmp_path / "1.bio", tmp_path / "2.bio"], LabelledConfig())
    (alone,) = read_tagged(tmp_path / "1.bio", LabelledConfig()).examples
    assert alone.tags == ("B-X", "B-X")


@given(st.lists(st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), max_size=8), max_size=4), st.data())
def test_bio_is_found_again_in_every_scheme_that_can_hold_it(drawn, data):
    sentences = [tuple(_mended(tags)) for tags in drawn]
    scheme = data.draw(st.sampled_from(["BIO", "BIOES", "BILOU", "BMEWO"]))
    found = strict_bio([_written(tags, scheme) for tags in sentences], spans=True)
    assert found.sentences == sentences
    assert found.faults == {}


def _mended(tags):
    """Strict BIO from any tags, word by word."""
    before = "O"
    for tag in tags:
        before = f"B{tag[1:]}" if tag[0] == "I" and before[1:] != tag[1:] else tag
        yield before


def _written(tags, scheme):
    if scheme == "BIO":
        return tags
    inside, end, single = {"BIOES": "IES", "BILOU": "ILU", "BMEWO": "MEW"}[scheme]
    written = []
    for tag, after in zip(tags, [*tags[1:], "O"], strict=False):
        last = not after.startswith("I-")
        prefix = {"B": single if last else "B", "I": end if last else inside, "O": "O"}[tag[0]]
        written.append(prefix + tag[1:])
    return tuple(written)


# CoNLL-U.

UD = """# sent_id = 1
# text = It's "du  vent"; don't.
1-2\tIt's\t_\t_\t_\t_\t_\t_\t_\t_
1\tIt\tit\tPRON\tPRP\t_\t2\t_\t_\t_
2\t's\tbe\tAUX\tVBZ\t_\t0\t_\t_\t_
3\t"\t"\tPUNCT\t``\t_\t2\t_\t_\tSpaceAfter=No
4-5\tdu\t_\t_\t_\t_\t_\t_\t_\t_
4\tde\tde\tADP\tIN\t_\t2\t_\t_\t_
5\tle\tle\tDET\tDT\t_\t2\t_\t_\t_
6\tvent\tvent\tNOUN\tNN\t_\t2\t_\t_\tSpaceAfter=No
7\t"\t"\tPUNCT\t''\t_\t2\t_\t_\tSpaceAfter=No
8\t;\t;\tPUNCT\t:\t_\t2\t_\t_\t_
8.1\tghost\tghost\tVERB\tVB\t_\t_\t_\t_\t_
9-10\tdon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
9\tdo\tdo\tAUX\tVBP\t_\t2\t_\t_\t_
10\tn't\tnot\tPART\tRB\t_\t2\t_\t_\t_
11\t.\t.\tPUNCT\t.\t_\t2\t_\t_\t_
"""


def test_universal_words_stand_in_the_text_as_it_was_written(tmp_path):
    (example,) = read(tmp_path, UD, name="a.conllu").examples
    assert example.text == "It's \"du  vent\"; don't."
    assert words_of(example) == ["It", "'s", '"', "d", "u", "vent", '"', ";", "do", "n't", "."]
    assert example.tags[:5] == ("PRON", "AUX", "PUNCT", "ADP", "DET")
    (same,) = read(tmp_path, UD, name="same.txt").examples
    assert (same.words, same.tags) == (example.words, example.tags)


@pytest.mark.parametrize("column", ["xpos", "5"])
def test_another_column_of_universal_words(tmp_path, column):
    (example,) = read(tmp_path, UD, LabelledConfig(label_column=column), name="a.conllu").examples
    assert example.tags[:3] == ("PRP", "VBZ", "``")


@pytest.mark.parametrize("text", ["", "# text = Another text.\n"])
def test_without_its_text_it_is_put_together(tmp_path, text):
    body = UD.split("\n", 2)[2]
    (example,) = read(tmp_path, text + body, name="a.conllu").examples
    assert example.text == "It's \"du vent\"; don't."
    assert words_of(example)[-3:] == ["do", "n't", "."]


@pytest.mark.parametrize(
    ("token", "forms", "shared"),
    [
        ("dámelo", ["da", "me", "lo"], ["dá", "me", "lo"]),
        ("Zum", ["zu", "dem"], ["Zu", "m"]),
        ("à", ["a", "a"], ["à", "à"]),
        ("abc", ["xxxxxx", "y", "z"], ["a", "b", "c"]),
    ],
)
def test_words_of_one_token_share_its_characters(tmp_path, token, forms, shared):
    rest = "\tX" * 8
    lines = [f"1-{len(forms)}\t{token}{rest}", *(f"{n}\t{form}{rest}" for n, form in enumerate(forms, 1))]
    (example,) = read(tmp_path, "\n".join(lines), name="a.conllu").examples
    assert example.text == token
    assert words_of(example) == shared


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\tIt\tit\tPRON", "line 1: 4 columns, where CoNLL-U has 10"),
        ("1\tIt\tit\t_\t_\t_\t_\t_\t_\t_", 'line 1: the word "It" has no tag, in column upos'),
        ("one\tIt\tit\tX\t_\t_\t_\t_\t_\t_", 'line 1: "one" is no number of a word'),
        ("1\t\tit\tX\t_\t_\t_\t_\t_\t_", "line 1: an empty word"),
    ],
)
def test_broken_universal_lines(tmp_path, line, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, line + "\n", name="a.conllu")


def test_a_folder_gives_its_conllu_files_and_no_others(tmp_path):
    (tmp_path / "README.txt").write_text("Words of a treebank, and how they were made.\n")
    for name in ("a", "b"):
        (tmp_path / f"{name}.conllu").write_text(UD)
    assert len(read_tagged(tmp_path, LabelledConfig()).examples) == 2


# Raw text and spans of characters.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The U.S. (Berlin-based) firm's $3,000.", "The|U.S|.|(|Berlin-based|)|firm|'s|$|3,000|."),
        ('"Don\'t…" she said', '"|Don\'t|…|"|she|said'),
        ("北京是首都。ok", "北|京|是|首|都|。|ok"),
        ("東京タワー", "東|京|タ|ワ|ー"),
        ("a\u200bb \ufeffc \x00 \u00ad", "a|b|c"),
        ("I ❤️ it!", "I|❤️|it|!"),
        ("...", ".|.|."),
        ("", ""),
    ],
)
def test_words_of_raw_text(text, words):
    example = tagged_text(text)
    assert words_of(example) == (words.split("|") if words else [])
    assert example.tags is None


@given(st.text(st.sampled_from("ab'’s.,-(é\u0301北\u3099 \n\u200b❤\ufe0f\u200d…"), max_size=20))
def test_words_lie_side_by_side_and_leave_nothing_out_that_is_seen(text):
    words = split_words(text)
    covered = [place for start, end in words for place in range(start, end)]
    assert covered == sorted(set(covered))
    assert all(start < end for start, end in words)
    unseen = set(" \n\u200b\u200d\u0301\u3099\ufe0f")
    assert {place for place, character in enumerate(text) if character not in unseen} <= set(covered)
    assert not any(character in " \n\u200b" for place in covered for character in text[place])


def spans_file(tmp_path, *records, config=LabelledConfig(), **given):
    return read(tmp_path, "".join(json.dumps(record) + "\n" for record in records), config, "a.jsonl", **given)


@pytest.mark.parametrize(
    "record",
    [
        {"spans": [{"start": 0, "end": 11, "label": "PER"}, {"start": 17, "end": 22, "label": "LOC"}]},
        {"entities": [[17, 21, "LOC"], [0, 11, "PER"]]},
        {"label": [[0, 11, "PER"], [17, 22, "LOC"]]},
        {"entities": [{"start_offset": 0, "end_offset": 11, "label": "PER"}, {"start": 17, "end": 22, "type": "LOC"}]},
        {"tokens": [{"text": "x"}], "spans": [[0, 11, "PER"], [17, 22, "LOC"]]},
    ],
)
def test_spans_become_tags(tmp_path, record):
    found = spans_file(tmp_path, {"text": "Angela Kahn, in “Rome ”.", **record})
    assert pairs(found) == [
        [
            *[("Angela", "B-PER"), ("Kahn", "I-PER"), (",", "O"), ("in", "O"), ("“", "O"), ("Rome", "B-LOC")],
            *[("”", "O"), (".", "O")],
        ]
    ]
    assert found.examples[0].place == f"{tmp_path / 'a.jsonl'}, line 1"


def test_a_text_without_spans(tmp_path):
    record = {"text": "So what?", "tokens": [{"text": "So"}], "spans": []}
    assert pairs(spans_file(tmp_path, record)) == [[("So", "O"), ("what", "O"), ("?", "O")]]


def test_a_word_is_cut_at_a_mark_where_a_span_needs_it():
    text = "(BRCA1)-positive non-Hodgkin Ankara’da"
    words, tags = words_with_tags(text, [Span(1, 6, "GENE"), Span(21, 28, "NAME"), Span(29, 35, "LOC")])
    assert [text[start:end] for start, end in words] == [
        *["(", "BRCA1", ")", "-", "positive", "non", "-", "Hodgkin", "Ankara", "’", "da"]
    ]
    assert [tag for tag in tags if tag != "O"] == ["B-GENE", "B-NAME", "B-LOC"]
    assert tags[1] == "B-GENE"
    assert tags[7:9] == ("B-NAME", "B-LOC")


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[0, 4, "X"]], r'span 0–4 "X" \("Berl"\) is no whole words: it cuts "Berliner"'),
        ([[0, 8, "X"], [0, 13, "Y"]], "overlap"),
        ([[9, 99, "X"]], "goes out of the text, which has 13 characters"),
        ([[8, 9, "X"]], "holds no word"),
        ([[3, 3, "X"]], "is empty"),
    ],
)
def test_spans_that_are_none(spans, message):
    with pytest.raises(SpanError, match=message):
        words_with_tags("Berliner Luft", [Span(*span) for span in spans])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "Berliner Luft", "spans": [[0, 4, "X"]]}, "a.jsonl, line 2: span 0–4"),
        ({"text": "Berliner Luft", "spans": [[0, "8", "X"]]}, "line 2: .* is a span, found|line 2: a span is"),
        ({"text": "Berliner Luft"}, 'line 2: no list of tags or spans in "spans"'),
        ({"text": " ", "spans": []}, "line 2: no words and no text in text"),
    ],
)
def test_a_broken_span_has_its_line(tmp_path, record, message):
    good = {"text": "Rome", "spans": [[0, 4, "LOC"]]}
    with pytest.raises(CorpusError, match=message):
        spans_file(tmp_path, good, record)
    found = spans_file(tmp_path, good, record, config=SKIP)
    assert (len(found.examples), len(found.skipped)) == (1, 1)


@given(st.data())
def test_spans_of_words_are_found_again(data):
    text = data.draw(st.text(st.sampled_from("ab.-(’s 北\n"), max_size=25))
    words = split_words(text)
    if not words:
        return
    edges = sorted(data.draw(st.sets(st.integers(0, len(words)), max_size=6)))
    spans = [Span(words[a][0], words[b - 1][1], "X") for a, b in zip(edges[::2], edges[1::2], strict=False)]
    found, tags = words_with_tags(text, spans)
    assert found == words
    starts = [start for (start, _), tag in zip(found, tags, strict=True) if tag == "B-X"]
    assert starts == [span.start for span in spans]
    inside = {place for span in spans for place in range(span.start, span.end)}
    assert all((start in inside) == (tag != "O") for (start, _), tag in zip(found, tags, strict=True))


# Python objects.


def test_lists_of_pairs_and_of_examples():
    found = read_tagged([(["In", "Rome"], ["O", "I-LOC"]), (["Rome"], ["I-LOC"])], LabelledConfig())
    assert pairs(found) == [[("In", "O"), ("Rome", "B-LOC")], [("Rome", "B-LOC")]]
    again = read_tagged(found.examples, LabelledConfig())
    assert again.examples == found.examples
    spacy = read_tagged([("In Rome.", {"entities": [(3, 7, "LOC")]})], LabelledConfig())
    assert pairs(spacy) == [[("In", "O"), ("Rome", "B-LOC"), (".", "O")]]
    with pytest.raises(CorpusError, match="row 2 of the data: 1 words and 2 tags"):
        read_tagged([(["a"], ["O"]), (["a"], ["O", "O"])], LabelledConfig())
    with pytest.raises(CorpusError, match="row 1 of the data: 1 words and 0 tags"):
        read_tagged([TaggedText("a", ((0, 1),))], LabelledConfig())
    with pytest.raises(CorpusError, match=r'row 2 of the data: word 2: tag "I-X" follows "O"'):
        read_tagged([(["a"], ["B-X"]), (["a", "b"], ["O", "I-X"])], LabelledConfig())


def test_rows_with_words_and_the_text_they_stand_in():
    row = {"text": "It's so.", "tokens": ["It", "'s", "so", "."], "upos": ["PRON", "AUX", "ADV", "PUNCT"]}
    (example,) = read_tagged([row], LabelledConfig()).examples
    assert example.text == "It's so."
    assert words_of(example) == row["tokens"]
    (other,) = read_tagged([{**row, "text": "No."}], LabelledConfig()).examples
    assert other.text == "It 's so ."


def test_several_columns_of_tags_are_told():
    row = {"words": ["Rome"], "pos_tags": ["NNP"], "ner_tags": ["B-LOC"]}
    found = read_tagged([row], LabelledConfig())
    assert pairs(found) == [[("Rome", "B-LOC")]]
    assert found.notes == ["the tags are those of column ner_tags; name another with --label-column (pos_tags)"]
    assert pairs(read_tagged([row], LabelledConfig(label_column="pos_tags"))) == [[("Rome", "NNP")]]


def test_numbers_for_tags_are_told():
    rows = [{"tokens": ["In", "Rome"], "tags": [0, 1]}]
    assert read_tagged(rows, LabelledConfig()).notes == [
        "the tags are numbers; where they stand for names, give these in order: --labels O,B-PER,…"
    ]
    assert read_tagged(rows, LabelledConfig(), labels=("0", "1")).notes == []


def test_numbered_tags_have_names():
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["O", "B-LOC", "I-LOC"])
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(names)})
    table = datasets.Dataset.from_dict({"tokens": [["In", "Rome"]], "ner_tags": [[0, 1]]}, features=features)
    assert pairs(read_tagged(table, LabelledConfig())) == [[("In", "O"), ("Rome", "B-LOC")]]
    rows = [{"tokens": ["In", "Rome"], "tags": [0, 1]}]
    assert pairs(read_tagged(rows, LabelledConfig(labels="O,B-LOC,I-LOC"))) == [[("In", "O"), ("Rome", "B-LOC")]]
    assert pairs(read_tagged(rows, LabelledConfig())) == [[("In", "0"), ("Rome", "1")]]


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"tokens": [["In", "Rome"]], "tags": [["ADP", "PROPN"]]})
    assert pairs(read_tagged(frame, LabelledConfig())) == [[("In", "ADP"), ("Rome", "PROPN")]]
    with pytest.raises(CorpusError, match="found are tokens, other"):
        read_tagged(frame.rename(columns={"tags": "other"}), LabelledConfig())


# What is to be predicted has no tags.


@pytest.mark.parametrize(
    ("name", "text", "texts"),
    [
        ("a.txt", "Rome burns. It does.\n\nSo what?\n", ["Rome burns. It does.", "So what?"]),
        ("f.txt", "I love Paris\nYou love Rome\n", ["I love Paris", "You love Rome"]),
        ("g.txt", "I PRON\nlove VERB\n. .\n\nSo ADV\n", ["I love .", "So"]),
        ("b.txt", "Rome\nburns\n\nSo\n", ["Rome burns", "So"]),
        ("c.conll", "Rome I-X\nburns E-Y\n", ["Rome burns"]),
        ("d.conllu", UD, ["It's \"du  vent\"; don't."]),
        ("e.jsonl", '{"text": "So what?"}\n{"text": "That."}\n', ["So what?", "That."]),
    ],
)
def test_unlabelled_files(tmp_path, name, text, texts):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    found = list(stream_words(tmp_path / name, LabelledConfig(), [], []))
    assert [example.text for example in found] == texts
    assert all(example.tags is None for example in found)
    assert all(words_of(example) for example in found)


def test_unlabelled_lists():
    found = stream_words([["In", "Rome"], ["So"]], LabelledConfig(), [], [])
    assert [words_of(example) for example in found] == [["In", "Rome"], ["So"]]


WHOLE = {"a.conll": "Rome\tB-LOC\n", "a.conllu": UD, "a.txt": "Rome B-LOC\n"}
PIECES = ["word", "O", "B-X", "I-X", "1", "1-2", "#", " ", "\t", "\n", "\n\n", "\r\n", "\u00a0"]


@given(st.lists(st.sampled_from(PIECES), max_size=20), st.sampled_from(sorted(WHOLE)))
def test_whatever_is_broken_is_left_out(tmp_path_factory, pieces, name):
    text = "".join(pieces) + "\n\n" + f"{WHOLE[name]}\n" * 21
    found = read(tmp_path_factory.getbasetemp(), text, SKIP, name)
    assert all(len(example.words) == len(example.tags) > 0 for example in found.examples)
    assert all(text for example in found.examples for text in words_of(example))
    assert len({example.text for example in found.examples[-21:]}) == 1
