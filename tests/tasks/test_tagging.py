"""Tagging: words, windows, strict BIO, losses and figures."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from torch.nn import functional as F
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.examples import TaggedText
from bertsmith.data.labelled.words import read_tagged, stream_words
from bertsmith.data.windows import batch_windows
from bertsmith.data.word_windows import owned_words, word_windows
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.folder import write_model_folder
from bertsmith.tasks.tag_decoding import TagDecoder, best_bio, marked_spans
from bertsmith.tasks.tagging import Tagging, TaggingTask, tagged_text
from tasks.twins import model_of, task_of

LABELS = ("O", "B-DRUG", "I-DRUG", "B-WHO", "I-WHO")
WORDS = ["The", "nursedoctor", "were", "given", "x9z", "strong", "medicineward", ",", "in", "the", "wards", "!"]
TAGS = ["O", "B-WHO", "O", "O", "B-DRUG", "I-DRUG", "I-DRUG", "O", "O", "B-WHO", "I-WHO", "O"]
(EXAMPLE,) = read_tagged([(WORDS, TAGS)], LabelledConfig()).examples


def head_of(labels=LABELS, **given):
    return HeadConfig(task="tag", labels=labels, **given)


@pytest.fixture
def task(tiny_bert):
    return task_of(TaggingTask, head_of(), tiny_bert)


@pytest.fixture
def model(task, tiny_bert):
    return model_of(task.head, tiny_bert)


def logits_of(task, model, examples):
    batch = batch_windows(task.encode(examples))
    with torch.inference_mode():
        return task.logits(model, batch).numpy(), batch


# What is read, and the same in `transformers`.


def test_logits_at_first_pieces_are_those_of_transformers(task, model, tmp_path):
    write_model_folder(model, tmp_path)
    task.tokenizer.save(tmp_path)
    twin = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    assert [twin.config.id2label[index] for index in range(5)] == list(LABELS)
    encoded = AutoTokenizer.from_pretrained(tmp_path)(WORDS, is_split_into_words=True, return_tensors="pt")
    word_ids = encoded.word_ids()
    firsts = [word_ids.index(word) for word in range(len(WORDS))]
    assert len(word_ids) > len(WORDS) + 2  # some words have several pieces
    with torch.inference_mode():
        theirs = twin(**encoded).logits[0][firsts].numpy()
    ours, _ = logits_of(task, model, [EXAMPLE])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)

    labels = torch.full_like(encoded["input_ids"], -100)
    labels[0, firsts] = torch.tensor([LABELS.index(tag) for tag in TAGS])
    loss = twin(**encoded, labels=labels).loss.item()
    batch = batch_windows(task.encode([EXAMPLE]))
    assert task.loss_counts(batch) == {"task": len(WORDS)}
    assert task.loss_sums(model, batch)["task"].item() / len(WORDS) == pytest.approx(loss, abs=1e-5)


def test_the_pipeline_of_transformers_finds_the_same_words(tiny_bert, tmp_path):
    head = head_of(("ADJ", "NOUN", "VERB"))
    task, model = task_of(TaggingTask, head, tiny_bert), model_of(head, tiny_bert)
    write_model_folder(model, tmp_path)
    task.tokenizer.save(tmp_path)
    text = "A nurse saw medicines, twice."
    (answer,) = task.answer_each(model, [tagged_text(text)])
    theirs = pipeline("token-classification", model=str(tmp_path), device="cpu", aggregation_strategy="first")(text)
    assert [span.text for span in answer.spans] == ["A", "nurse", "saw", "medicines", ",", "twice", "."]
    for span in answer.spans:  # the pipeline puts neighbours with the same tag together
        (group,) = [each for each in theirs if each["start"] <= span.start < span.end <= each["end"]]
        assert group["entity_group"] == span.label
        if (group["start"], group["end"]) == (span.start, span.end):
            assert span.score == pytest.approx(group["score"], abs=1e-5)


def test_padding_and_packing_change_nothing(task, model):
    examples = [EXAMPLE, tagged_text("Pain!"), tagged_text("The doctor saw the nurse in all wards.")]
    together, _ = logits_of(task, model, examples)
    alone = np.concatenate([logits_of(task, model, [example])[0] for example in examples])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_words_of_which_nothing_is_left_are_tagged_too(task, model):
    words, tags = ["\x00", "nurse", "\u200b", "\x07\x08", "pain"], ["O", "B-WHO", "O", "O", "B-DRUG"]
    (example,) = read_tagged([(words, tags)], LabelledConfig()).examples
    (encoded,) = task.encode([example])
    (window,) = encoded.windows
    read = [task.tokenizer.tokens[index] for index in window.input_ids[window.places]]
    unknown = task.tokenizer.tokens[task.tokenizer.unk_id]
    assert [read[0], *read[2:4]] == [unknown] * 3
    assert read[1][0] == "n"
    assert read[4][0] == "p"
    assert encoded.labels.tolist() == [LABELS.index(tag) for tag in tags]
    (answer,) = task.answer_each(model, [example])
    assert len(answer.tags) == len(answer.probabilities) == 5


def test_texts_without_words_have_an_answer(task, model):
    empty, other, blank = task.answer_each(model, [tagged_text(""), tagged_text("pain"), tagged_text(" \x00")])
    assert empty == blank == Tagging((), (), ())
    assert len(other.tags) == 1
    assert list(task.answer_each(model, [tagged_text("")])) == [empty]


def test_unlabelled_texts_are_answered_with_offsets_of_the_text(task, model):
    text = "The nurse, (given) medicines:  pain!"
    with torch.no_grad():
        model.classifier.dense.bias[0] = -100  # so that it says O nowhere
    (answer,) = task.answer_each(model, [tagged_text(text)])
    example = tagged_text(text)
    assert len(answer.tags) == len(example.words)
    assert answer.right == ()
    assert all(span.text == text[span.start : span.end] for span in answer.spans)
    assert sum(tag.startswith("B-") for tag in answer.tags) == len(answer.spans) > 0
    assert (answer.spans[0].start, answer.spans[-1].end) == (0, len(text))
    edges = {edge for word in example.words for edge in word}
    assert all({span.start, span.end} <= edges for span in answer.spans)


# Windows.


@given(
    st.lists(st.integers(1, 5), max_size=40),
    st.integers(5, 12),
    st.integers(0, 11),
)
def test_windows_cover_all_words_and_cut_none(lengths, room, overlap):
    overlap = min(overlap, room - 1)
    starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    windows = word_windows(starts, room, overlap)
    owned = owned_words(starts, windows)
    assert [word for part in owned for word in part] == list(range(len(lengths)))
    for window, part in zip(windows, owned, strict=True):
        assert starts[window.stop] - starts[window.start] <= room
        assert set(part) <= set(window)
    for before, after in pairwise(windows):
        assert before.start < after.start <= before.stop
    for before, after in pairwise(windows[:-1]):
        shared = starts[before.stop] - starts[after.start]
        assert shared <= overlap or after.start == before.start + 1
    if sum(lengths) <= room:
        assert windows == [range(len(lengths))]


def test_each_word_is_answered_where_most_is_seen_around_it():
    starts = np.arange(21)
    windows = word_windows(starts, 10, 5)
    owned = owned_words(starts, windows)
    for word in range(20):
        seen = [min(word - window.start, window.stop - 1 - word) for window in windows if word in window]
        (own,) = [window for window, part in zip(windows, owned, strict=True) if word in part]
        assert min(word - own.start, own.stop - 1 - word) >= max(seen) - 1


def blind(model):
    """A model that sees neither other words nor where it is, so that windows cannot change what it says."""
    with torch.no_grad():
        model.encoder.embeddings.position.weight.zero_()
        for layer in model.encoder.layers:
            layer.attention.output.weight.zero_()
            layer.attention.output.bias.zero_()
    return model


def test_answers_of_windows_are_joined_in_the_order_of_the_words(tiny_bert, model):
    words = [WORDS[index % len(WORDS)] for index in range(100)]
    (example,) = read_tagged([(words, [TAGS[index % len(WORDS)] for index in range(100)])], LabelledConfig()).examples
    task = task_of(TaggingTask, head_of(), tiny_bert)
    long, batch = logits_of(task, blind(model), [example, EXAMPLE])
    assert batch.windows_of[0] > 3
    assert batch.windows_of[1] == 1
    once, _ = logits_of(task, model, [EXAMPLE])
    wanted = np.concatenate([once] * 10)[:100]
    np.testing.assert_allclose(long, np.concatenate([wanted, once]), atol=1e-5)
    assert batch.labels.tolist() == [LABELS.index(tag) for tag in (*example.tags, *EXAMPLE.tags)]
    answer, short = task.answer_each(model, [example, EXAMPLE])
    assert answer.windows == batch.windows_of[0]
    np.testing.assert_allclose(answer.right[:12], short.right, atol=1e-5)


@pytest.mark.parametrize("overlap", [0, 3, 100, None])
def test_no_window_is_too_long_and_a_word_longer_than_one_is_read_too(tiny_bert, overlap):
    task = task_of(TaggingTask, head_of(max_length_tokens=8, overlap_tokens=overlap), tiny_bert)
    words = ["a", ".-" * 20, "nurse", "medicines", "medicines", "."]
    (encoded,) = task.encode(list(stream_words([words], LabelledConfig(), [], [])))
    assert max(len(window.input_ids) for window in encoded.windows) == 8
    assert sum(len(window.places) for window in encoded.windows) == len(words)
    firsts = [task.tokenizer.encode_sentences([word])[0][0] for word in words]
    assert [index for window in encoded.windows for index in window.input_ids[window.places]] == firsts


# Strict BIO.

BEGIN, INSIDE = np.array([1, 3]), np.array([2, 4])


def is_bio(tags):
    return all(tag[0] != "I" or before[1:] == tag[1:] for before, tag in pairwise(["O", *tags]))


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_likeliest_bio_is_found(count, seed):
    scores = np.random.default_rng(seed).normal(size=(count, 5))
    found = best_bio(scores, BEGIN, INSIDE)
    assert is_bio([LABELS[index] for index in found])
    allowed = [ids for ids in product(range(5), repeat=count) if is_bio([LABELS[index] for index in ids])]
    best = max(scores[range(count), ids].sum() for ids in allowed)
    assert scores[range(count), found].sum() == pytest.approx(best)


@given(st.permutations(LABELS), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_what_comes_out_is_bio_however_the_labels_are_ordered(labels, count, seed):
    tags, ids = TagDecoder(tuple(labels)).choose(np.random.default_rng(seed).normal(size=(count, 5)))
    assert is_bio(tags)
    assert tags == tuple(labels[index] for index in ids)


@given(st.sampled_from([("I-X", "O", "I-Y"), ("B-X", "E-X", "S-X", "I-X", "O"), ("O", "B-X", "I-X", "I-Y", "[SEP]")]))
def test_heads_of_other_schemes_are_told_as_bio(labels):
    tags, ids = TagDecoder(labels).choose(np.random.default_rng(0).normal(size=(50, len(labels))))
    assert is_bio(tags)
    assert {tag[:2] for tag in tags} <= {"O", "B-", "I-"}
    written = [labels[index] for index in ids]
    assert [tag[2:] for tag in tags] == [tag[2:] if tag != "[SEP]" else "" for tag in written]


def test_plain_tags_are_the_likeliest_and_each_word_is_a_span(tiny_bert):
    head = head_of(("O", "NOUN", "VERB"))
    task, model = task_of(TaggingTask, head, tiny_bert), model_of(head, tiny_bert)
    logits, _ = logits_of(task, model, [example := tagged_text("A nurse saw the strong medicines")])
    (answer,) = task.answer_each(model, [example])
    assert answer.tags == tuple(head.labels[index] for index in logits.argmax(axis=1))
    said = [(span.label, span.text) for span in answer.spans]
    words = [example.text[start:end] for start, end in example.words]
    assert said == [(tag, word) for tag, word in zip(answer.tags, words, strict=True) if tag != "O"]
    np.testing.assert_allclose(answer.probabilities, F.softmax(torch.from_numpy(logits), 1).amax(1), atol=1e-6)
    assert [span.score for span in answer.spans] == [
        pytest.approx(p) for p, tag in zip(answer.probabilities, answer.tags, strict=True) if tag != "O"
    ]


def test_spans_have_the_characters_and_the_mean_probability_of_their_words(task):
    example = TaggedText("So, the  old man's pain.", ((0, 2), (2, 3), (4, 7), (9, 12), (13, 16), (16, 18), (19, 23)))
    wanted = ["O", "O", "B-WHO", "I-WHO", "I-WHO", "O", "B-DRUG"]
    logits = np.zeros((7, 5), np.float32)
    logits[range(7), [LABELS.index(tag) for tag in wanted]] = [3, 3, 1, 2, 3, 3, 4]
    (encoded,) = task.encode([example])
    answer = task.join(example, encoded, [logits[:4], logits[4:]])
    assert answer.tags == tuple(wanted)
    assert [(span.label, span.text) for span in answer.spans] == [("WHO", "the  old man"), ("DRUG", "pain")]
    assert (answer.spans[0].start, answer.spans[0].end) == (4, 16)
    sure = np.exp([1, 2, 3]) / (np.exp([1, 2, 3]) + 4)
    assert answer.spans[0].score == pytest.approx(sure.mean())
    assert answer.probabilities[2:5] == pytest.approx(sure)


# The head, the loss, the figures.


def test_labels_come_from_the_tags():
    examples = read_tagged([(["a", "b"], ["B-Y", "O"]), (["a", "b"], ["B-X", "I-X"])], LabelledConfig()).examples
    head = TaggingTask.head_for(examples, LabelledConfig(), FinetuneConfig(max_length_tokens=64))
    assert head.labels == ("O", "B-X", "I-X", "B-Y", "I-Y")
    assert head.max_length_tokens == 64
    plain = read_tagged([(["a", "b", "c"], ["VERB", "ADJ", "O"])], LabelledConfig()).examples
    assert TaggingTask.head_for(plain, LabelledConfig(), FinetuneConfig()).labels == ("O", "ADJ", "VERB")
    with pytest.raises(CorpusError, match=r"1 different tag\(s\) \(O\)"):
        TaggingTask.head_for(
            read_tagged([(["a"], ["O"])], LabelledConfig()).examples, LabelledConfig(), FinetuneConfig()
        )


def test_weights_let_every_tag_count_alike():
    weights = TaggingTask.balanced_weights([EXAMPLE], head_of())
    counts = np.array([TAGS.count(label) for label in LABELS])
    np.testing.assert_allclose(weights * counts, len(TAGS) / len(LABELS), rtol=1e-6)
    assert np.isfinite(TaggingTask.balanced_weights([EXAMPLE], head_of((*LABELS, "B-X", "I-X")))).all()


def test_the_loss_is_a_sum_over_words(tiny_bert, model):
    weights = np.array([0.5, 1, 2, 3, 4], np.float32)
    task = task_of(TaggingTask, head_of(), tiny_bert, class_weights=weights)
    logits, batch = logits_of(task, model, [EXAMPLE, EXAMPLE])
    surprise = -np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    wanted = sum(weights[label] * row[label] for label, row in zip(batch.labels, surprise, strict=True))
    assert task.losses(torch.from_numpy(logits), batch).item() == pytest.approx(wanted, rel=1e-5)
    assert task.loss_counts(batch) == {"task": 2 * len(WORDS)}


def answers_of(sentences):
    return [Tagging(tuple(tags), (), (0.5,) * len(tags), (0.25,) * len(tags)) for tags in sentences]


def examples_of(sentences):
    return read_tagged([(["w"] * len(tags), tags) for tags in sentences], LabelledConfig()).examples


def mended(tags):
    before = "O"
    for tag in tags:
        before = f"B{tag[1:]}" if tag[0] == "I" and before[1:] != tag[1:] else tag
        yield before


@given(st.lists(st.lists(st.tuples(*[st.sampled_from(LABELS)] * 2), min_size=1, max_size=8), min_size=1, max_size=5))
def test_figures_are_those_of_seqeval(drawn):
    truth = [["B-WHO"], *(list(mended(tag for tag, _ in sentence)) for sentence in drawn)]
    guess = [["O"], *(list(mended(tag for _, tag in sentence)) for sentence in drawn)]
    task = object.__new__(TaggingTask)  # no tokenizer is needed
    task._decoder, task.head = TagDecoder(LABELS), head_of()
    figures = task.score(examples_of(truth), answers_of(guess))
    given = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    assert figures == {
        "f1": pytest.approx(f1_score(truth, guess, **given)),
        "precision": pytest.approx(precision_score(truth, guess, **given)),
        "recall": pytest.approx(recall_score(truth, guess, **given)),
        "f1_macro": pytest.approx(f1_score(truth, guess, average="macro", **given)),
        "accuracy": pytest.approx(np.mean(np.concatenate(truth) == np.concatenate(guess))),
    }
    rows = task.findings(examples_of(truth), answers_of(guess)).tables[0].rows
    types = sorted({tag[2:] for tags in (*truth, *guess) for tag in tags} - {""})
    assert [row[0] for row in rows] == types
    assert [row[3] for row in rows] == pytest.approx(list(f1_score(truth, guess, average=None, **given)))
    assert [row[4] for row in rows] == [sum(tag == f"B-{kind}" for tags in truth for tag in tags) for kind in types]


def test_figures_where_there_is_no_span_at_all(task):
    assert task.headline == "f1"
    figures = task.score(examples_of([["O", "O"]]), answers_of([["O", "O"]]))
    assert figures == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "f1_macro": 0.0, "accuracy": 1.0}


def test_figures_of_plain_tags(tiny_bert):
    task = task_of(TaggingTask, head_of(("ADJ", "NOUN", "VERB")), tiny_bert)
    assert task.headline == "accuracy"
    truth, guess = [["NOUN", "VERB"], ["NOUN", "ADJ"]], [["NOUN", "NOUN"], ["NOUN", "NOUN"]]
    figures = task.score(examples_of(truth), answers_of(guess))
    assert figures == {"accuracy": 0.5, "f1_macro": pytest.approx((2 / 3) / 3)}
    found = task.findings(examples_of(truth), answers_of(guess))
    assert found.tables[0].rows[1] == ("NOUN", 0.5, 1.0, pytest.approx(2 / 3), 2)
    labels, counts = found.confusion
    assert labels == ("ADJ", "NOUN", "VERB")
    assert counts.tolist() == [[0, 1, 0], [0, 2, 0], [0, 1, 0]]


def test_the_most_wrong_sentences_come_first(task):
    truth = [["B-WHO", "O"], ["B-WHO", "I-WHO"], ["O", "B-DRUG"], ["O", "O"]]
    guess = [["B-WHO", "B-DRUG"], ["B-WHO", "O"], ["O", "B-DRUG"], ["B-WHO", "O"]]
    rights = [(0.9, 0.3), (0.8, 0.01), (0.2, 0.9), (0.4, 0.001)]
    answers = [Tagging(tuple(tags), (), (0.5, 0.5), right) for tags, right in zip(guess, rights, strict=True)]
    mistakes = task.findings(examples_of(truth), answers).mistakes
    assert [mistake.badness for mistake in mistakes] == [pytest.approx(0.99), pytest.approx(0.7), pytest.approx(0.6)]
    assert [(mistake.truth, mistake.guess) for mistake in mistakes] == [
        ("w w [WHO]", "w [WHO]"),
        ("w [WHO]", "w [WHO], w [DRUG]"),
        ("none", "w [WHO]"),
    ]
    assert mistakes[0].place == "row 2 of the data"
    labels, counts = task.findings(examples_of(truth), answers).confusion
    assert labels == LABELS
    assert counts.sum() == 8
    assert counts[LABELS.index("O"), LABELS.index("B-DRUG")] == 1


def test_many_mistakes_are_cut_to_twenty(task):
    truth, guess = [["B-WHO"]] * 30, [["O"]] * 30
    assert len(task.findings(examples_of(truth), answers_of(guess)).mistakes) == 20


def test_marked_spans_are_whole():
    spans = marked_spans(["B-X", "I-X", "B-X", "O", "B-Y"])
    assert [(span.label, span.start, span.end) for span in spans] == [("X", 0, 2), ("X", 2, 3), ("Y", 4, 5)]
