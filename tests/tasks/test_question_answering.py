"""Question answering: windows, offsets, losses, and answers joined over windows."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import AutoModelForQuestionAnswering

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.examples import GoldAnswer, QuestionExample
from bertsmith.data.windows import batch_windows
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.folder import write_model_folder
from bertsmith.tasks.question_answering import MAX_ANSWER_TOKENS, AnswerSpan, QuestionAnsweringTask, Span
from bertsmith.text.wordpiece import WordPiece
from tasks.twins import loss_and_gradients, model_of, task_of

CONTEXT = "The patient was given a strong medicine against the pain. A nurse saw the doctor in the ward."
HEAD = HeadConfig(task="answer")


def question(text, context=CONTEXT, *answers, **options):
    gold = tuple(GoldAnswer(answer, context.index(answer)) for answer in answers)
    return QuestionExample(text, context, gold, **{"id": text, "place": f"dev.json, {text}", **options})


EXAMPLES = [
    question("Who saw the doctor?", CONTEXT, "A nurse"),
    question("What was given?", "A strong medicine was given.", "strong medicine"),
    question("Pain?", "Medicines! " * 40 + "A nurse in the ward." + " pains" * 40, "A nurse in the ward"),
    question("Where?", CONTEXT),
]


@pytest.fixture
def task(tiny_bert):
    return task_of(QuestionAnsweringTask, HEAD, tiny_bert)


@pytest.fixture
def model(tiny_bert):
    return model_of(HEAD, tiny_bert)


def twin_logits(model, windows, folder):
    """What `transformers` says of the same windows in padded rows, (W, longest, 2)."""
    write_model_folder(model, folder)
    twin = AutoModelForQuestionAnswering.from_pretrained(folder)
    longest = max(len(window.input_ids) for window in windows)
    rows = torch.zeros((3, len(windows), longest), dtype=torch.long)
    for number, window in enumerate(windows):
        rows[0, number, : len(window.input_ids)] = torch.from_numpy(window.input_ids)
        rows[1, number, : len(window.input_ids)] = torch.from_numpy(window.token_type_ids)
        rows[2, number, : len(window.input_ids)] = 1
    said = twin(input_ids=rows[0], token_type_ids=rows[1], attention_mask=rows[2])
    return torch.stack((said.start_logits, said.end_logits), dim=-1)


# Windows.


def test_a_short_example_is_one_window_with_the_question_first(task):
    [encoded] = task.encode([EXAMPLES[1]])
    [window] = encoded.windows
    theirs = task.tokenizer.encode("What was given?", "A strong medicine was given.")
    assert window.input_ids.tolist() == theirs.input_ids
    assert window.token_type_ids.tolist() == theirs.token_type_ids
    begin = theirs.token_type_ids.index(1)
    assert window.places.tolist() == [0, *range(begin, len(theirs.input_ids) - 1)]


def test_windows_hold_every_token_of_the_context_and_overlap_by_a_quarter(task):
    [encoded] = task.encode([EXAMPLES[2]])
    ids = task.tokenizer.encode_sentences([EXAMPLES[2].context])[0]
    assert len(encoded.windows) > 5
    for window, part in zip(encoded.windows, encoded.parts, strict=True):
        assert 28 <= len(window.input_ids) <= 32
        assert window.input_ids[window.places[1:]].tolist() == ids[part.start : part.stop].tolist()
        assert window.input_ids[-1] == task.tokenizer.sep_id
    assert sorted({token for part in encoded.parts for token in part}) == list(range(len(ids)))
    shared = [before.stop - after.start for before, after in zip(encoded.parts, encoded.parts[1:], strict=False)]
    assert min(shared) >= len(encoded.parts[0]) // 4


def test_no_more_than_384_tokens_are_read_at_once_unless_asked_for(tiny_bert):
    assert task_of(QuestionAnsweringTask, HEAD, tiny_bert, longest=512).window_tokens == 384
    longer = HEAD.but(max_length_tokens=500)
    assert task_of(QuestionAnsweringTask, longer, tiny_bert, longest=512).window_tokens == 500


def test_an_answer_that_may_be_given_lies_whole_in_the_window_that_owns_its_start(tiny_bert):
    from bertsmith.data.windows import owners

    for longest in (128, 384, 512):
        task = task_of(QuestionAnsweringTask, HEAD.but(max_length_tokens=longest), tiny_bert, longest=512)
        [encoded] = task.encode([replace(EXAMPLES[2], context="pain " * 900, answers=None)])
        cut = [part.stop - owned.stop for part, owned in zip(encoded.parts, owners(encoded.parts), strict=True)][:-1]
        assert min(cut) >= (MAX_ANSWER_TOKENS if longest > 128 else 25)


def test_a_question_that_leaves_no_room_is_an_error_with_its_place(task):
    with pytest.raises(
        CorpusError, match=r"^dev.json, pain pain.*: the question has 17 tokens, and in windows of 32 at "
    ):
        task.encode([question("pain " * 16 + "pain", CONTEXT)])
    assert task.encode([question("pain " * 16, CONTEXT)])


def test_a_question_that_leaves_no_room_stops_or_is_left_out_with_its_place(task, tmp_path, tiny_bert):
    rows = [{"question": text, "context": CONTEXT, "answer": "A nurse"} for text in ("who?", "pain " * 17, "whom?")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CorpusError, match=r"rows\.jsonl, line 2: the question has 17 tokens.* --on-bad-input skip"):
        task.read_to_measure(str(path), LabelledConfig())
    read = task.read_to_measure(str(path), LabelledConfig(on_bad_input="skip"))
    assert [example.question for example in read.examples] == ["who?", "whom?"]
    assert [(bad.place, bad.count) for bad in read.skipped] == [(f"{path}, line 2", 1)]


# Labels and offsets.


def spans_of(task, example):
    """The characters that the labels of each window stand for; None for [CLS]."""
    [encoded] = task.encode([example])
    found = []
    for (first, last), part in zip(encoded.labels, encoded.parts, strict=True):
        rows = encoded.offsets[part.start :]
        found.append(None if not first else (int(rows[first - 1, 0]), int(rows[last - 1, 1])))
    return found


def test_labels_point_at_the_answer_in_the_windows_that_hold_it_whole(task):
    example = EXAMPLES[2]
    start = example.answers[0].start
    spans = spans_of(task, example)
    whole = (start, start + len("A nurse in the ward"))
    assert set(spans) == {None, whole}
    [encoded] = task.encode([example])
    tokens = [index for index, (a, b) in enumerate(encoded.offsets) if a < whole[1] and b > whole[0]]
    holds = [tokens[0] in part and tokens[-1] in part for part in encoded.parts]
    assert [span is not None for span in spans] == holds


def test_where_there_is_no_answer_every_window_points_at_cls_and_unknown_answers_have_no_labels(task):
    assert spans_of(task, replace(EXAMPLES[2], answers=())) == [None] * len(spans_of(task, EXAMPLES[2]))
    [encoded] = task.encode([replace(EXAMPLES[2], answers=None)])
    assert encoded.labels.shape == (0, 2)


def test_of_several_answers_the_one_given_most_often_is_learned(task):
    example = question("Who?", CONTEXT, "nurse", "A nurse", "A nurse", "the doctor")
    assert spans_of(task, example) == [(58, 65)] == [(CONTEXT.index("A nurse"), CONTEXT.index(" saw"))]


ODD = [
    "naïve",
    "É",
    "İstanbul",
    "病人很痛",
    "😀",
    "👩🏽‍⚕️",
    "[SEP]",
    "[CLS]",
    "x\u0301y",
    "don't",
    "ﬁn",
    "ward",
    "…",
    "U.S.",
    "한국",
]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(ODD), min_size=1, max_size=12), st.sampled_from([" ", "\n", "\u00a0", " \t "]), st.data()
)
def test_offsets_slice_back_to_the_answer_whatever_the_script(tiny_bert, words, space, data):
    task = task_of(QuestionAnsweringTask, HEAD, tiny_bert, longest=512)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, min(first + 2, len(words) - 1)))  # an answer has 30 tokens at most
    context, answer = space.join(words), space.join(words[first : last + 1])
    start = len(space.join([*words[:first], ""])) if first else 0
    example = QuestionExample("What?", context, (GoldAnswer(answer, start),))
    [encoded] = task.encode([example])
    output = np.zeros((len(encoded.windows[0].places), 2), np.float32)
    output[encoded.labels[0], [0, 1]] = 9
    found = task.join(example, encoded, [output])
    assert (found.text, found.start, found.end) == (answer, start, start + len(answer))


def test_special_tokens_in_a_text_are_plain_text(task):
    [encoded] = task.encode([question("[SEP] pain?", "the [SEP] ward [CLS]", "[SEP]")])
    [window] = encoded.windows
    assert (window.input_ids == task.tokenizer.sep_id).sum() == 2
    assert (window.input_ids == task.tokenizer.cls_id).sum() == 1


def test_long_contexts_are_encoded_in_pieces_that_change_nothing(tiny_bert, monkeypatch):
    from bertsmith.text import offsets

    tokenizer = WordPiece.load(tiny_bert)
    text = (CONTEXT + "\nÉ病人" + "x" * 90 + " ") * 5 + "病" * 150
    [(ids, places)] = offsets.OffsetEncoder(tokenizer).encode([text])
    monkeypatch.setattr(offsets, "_PIECE_CHARS", 64)
    monkeypatch.setattr(offsets, "_BATCH_CHARS", 200)
    pieces = offsets.OffsetEncoder(tokenizer).encode(["", text, CONTEXT])
    assert pieces[0][0].shape == (0,)
    assert pieces[0][1].shape == (0, 2)
    assert pieces[1][0].tolist() == ids.tolist() == tokenizer.encode_sentences([text])[0].tolist()
    assert pieces[1][1].tolist() == places.tolist()
    assert pieces[2][0].tolist() == tokenizer.encode_sentences([CONTEXT])[0].tolist()


# Logits and losses.


def test_logits_of_packed_windows_are_those_of_transformers(task, model, tmp_path):
    encoded = task.encode([*EXAMPLES, question("Pain?", "Medicines!"), question("Ward?", "In pain.")])
    windows = [window for each in encoded for window in each.windows]
    batch = batch_windows(encoded)
    assert len(batch.input_ids) < len(windows)  # some share a row
    with torch.no_grad():
        ours = task.logits(model, batch).split(batch.places_of.tolist())
        theirs = twin_logits(model, windows, tmp_path)
    for window, mine, row in zip(windows, ours, theirs, strict=True):
        torch.testing.assert_close(mine, row[torch.from_numpy(window.places).long()], atol=1e-5, rtol=1e-5)


def test_the_loss_is_the_mean_cross_entropy_of_start_and_end_over_each_windows_places(task, model, tmp_path):
    encoded = task.encode(EXAMPLES)
    windows = [window for each in encoded for window in each.windows]
    labels = np.concatenate([each.labels for each in encoded])
    expected = 0.0
    for window, row, (first, last) in zip(windows, twin_logits(model, windows, tmp_path), labels.tolist(), strict=True):
        said = row[torch.from_numpy(window.places).long()]
        expected += (
            F.cross_entropy(said[:, 0], torch.tensor(first)) + F.cross_entropy(said[:, 1], torch.tensor(last))
        ) / 2
    loss, gradients = loss_and_gradients(task, model, encoded)
    assert loss == pytest.approx(expected.item(), abs=1e-4)
    assert task.loss_counts(batch_windows(encoded)) == {"task": len(windows)}
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_the_loss_and_gradients_of_a_batch_are_those_of_its_examples(task, model):
    encoded = task.encode(EXAMPLES)
    whole, gradients = loss_and_gradients(task, model, encoded)
    parts = [loss_and_gradients(task, model, [each]) for each in encoded]
    assert whole == pytest.approx(sum(loss for loss, _ in parts), rel=1e-5)
    for together, *alone in zip(gradients, *(theirs for _, theirs in parts), strict=True):
        torch.testing.assert_close(together, sum(alone), atol=1e-4, rtol=1e-4)


# Answers.


def joined(task, example, *marks):
    """The answer where tokens of given texts have logits: (text, start logit, end logit); [CLS] is the text None."""
    [encoded] = task.encode([example])
    outputs = [np.zeros((len(window.places), 2), np.float32) for window in encoded.windows]
    for text, start, end in marks:
        for output, part in zip(outputs, encoded.parts, strict=True):
            if text is None:
                output[0] = start, end
                continue
            characters = (example.context.index(text), example.context.index(text) + len(text))
            for token in part:
                output[token - part.start + 1, 0] += start * (encoded.offsets[token, 0] == characters[0])
                output[token - part.start + 1, 1] += end * (encoded.offsets[token, 1] == characters[1])
    return task.join(example, encoded, outputs)


def test_the_answer_is_the_text_between_the_best_start_and_end(task):
    answer = joined(task, EXAMPLES[2], ("A nurse in", 9, 0), ("in the ward", 0, 9))
    start = EXAMPLES[2].context.index("A nurse")
    assert (answer.text, answer.start, answer.end) == ("A nurse in the ward", start, start + 19)
    assert not answer.no_answer
    assert answer.windows == len(task.encode([EXAMPLES[2]])[0].windows)
    assert answer.null_gap == pytest.approx(-18)


def test_the_score_is_the_spans_share_of_all_spans(task):
    example = question("Who?", "A nurse saw", "A nurse")
    answer = joined(task, example, ("nurse", 2, 1))
    # Three words, six spans: nurse 3; from nurse on 2; up to nurse 1; the others 0.
    pieces = len(task.encode([example])[0].offsets)
    assert pieces == 3
    total = math.exp(3) + math.exp(2) + math.exp(1) + 3
    assert (answer.text, answer.score) == ("nurse", pytest.approx(math.exp(3) / total))
    assert answer.alternatives[0] == Span("nurse saw", 2, 11, pytest.approx(math.exp(2) / total))
    assert len(answer.alternatives) == 5
    assert answer.score + sum(each.score for each in answer.alternatives) == pytest.approx(1)


def test_alternatives_have_other_texts(task):
    answer = joined(task, question("Who?", "nurse nurse nurse nurse"), ("nurse", 1, 0))
    texts = [answer.text, *(each.text for each in answer.alternatives)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(("threshold", "no_answer"), [(None, False), (0.0, True), (-2.0, True), (1.0, False)])
def test_no_answer_is_given_where_the_best_span_is_not_better_by_the_threshold(tiny_bert, threshold, no_answer):
    task = task_of(QuestionAnsweringTask, HEAD.but(no_answer_threshold=threshold), tiny_bert)
    answer = joined(task, question("Who?", "A nurse saw"), ("nurse", 2, 1), (None, 2, 1.5))
    assert answer.null_gap == pytest.approx(0.5)
    assert (answer.no_answer, answer.text) == (no_answer, "" if no_answer else "nurse")
    assert answer.best_span == "nurse"
    spans, null = math.exp(3) + math.exp(2) + math.exp(1) + 3, math.exp(3.5)
    if no_answer:
        assert (answer.start, answer.end) == (0, 0)
        assert answer.score == pytest.approx(null / (spans + null))
        assert answer.alternatives[0].text == "nurse"
    else:
        assert answer.score == pytest.approx(math.exp(3) / (spans if threshold is None else spans + null))


def test_a_context_without_a_token_has_no_answer(task):
    [encoded] = task.encode([QuestionExample("Who?", "\u200b \x0c")])
    answer = task.join(QuestionExample("Who?", "\u200b \x0c"), encoded, [np.ones((1, 2), np.float32)])
    assert (answer.no_answer, answer.text, answer.null_gap) == (True, "", None)
    assert task.predictions([EXAMPLES[0]], [answer])[1] == {EXAMPLES[0].id: 1e9}


def test_answers_do_not_depend_on_what_they_are_computed_with(task, model):
    together = list(task.answer_each(model, EXAMPLES, batch_tokens=200))
    alone = [answer for example in EXAMPLES for answer in task.answer_each(model, [example], batch_tokens=32)]
    for one, other in zip(together, alone, strict=True):
        assert (one.text, one.start, one.end, one.windows) == (other.text, other.start, other.end, other.windows)
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert one.null_gap == pytest.approx(other.null_gap, abs=1e-4)
    assert all(example.context[a.start : a.end] == a.text for example, a in zip(EXAMPLES, together, strict=True))


# Heads and figures.


def answer(text, gap, score=0.5, **options):
    return AnswerSpan(text, 0, len(text), score, null_gap=gap, **options)


def test_a_threshold_is_there_only_where_some_training_question_has_no_answer():
    config = LabelledConfig(), FinetuneConfig(max_length_tokens=64)
    assert QuestionAnsweringTask.head_for(EXAMPLES, *config).no_answer_threshold == 0
    head = QuestionAnsweringTask.head_for(EXAMPLES[:3], *config)
    assert (head.no_answer_threshold, head.max_length_tokens, head.outputs) == (None, 64, 2)
    with pytest.raises(CorpusError, match="no training question has an answer"):
        QuestionAnsweringTask.head_for(EXAMPLES[3:], *config)


def test_the_tuned_threshold_is_the_best_one_of_the_spans_behind_withdrawn_answers(task):
    examples = [*EXAMPLES[:2], EXAMPLES[3], EXAMPLES[3]]
    withdrawn = replace(answer("", 3.0), no_answer=True, alternatives=(Span("strong medicine", 0, 1, 0.1),))
    answers = [answer("a nurse", -4.0), withdrawn, answer("ward", 3.5), answer("pain", 8.0)]
    assert task.score(examples, answers)["f1"] == 25
    tuned = task.tuned(examples, answers)
    assert tuned == HEAD.but(no_answer_threshold=3.0)
    assert task.tuned(EXAMPLES[:3], answers[:3]) == HEAD


def test_where_no_answer_at_all_is_best_the_tuned_threshold_gives_none(task):
    examples = [EXAMPLES[0], EXAMPLES[3]]
    answers = [answer("ward", -7.0), answer("ward", -5.0)]
    assert task.tuned(examples, answers).no_answer_threshold < -7


def test_predictions_are_the_two_files_of_the_official_scripts(task):
    answers = [answer("nurse", -1.5), replace(answer("", 2.0), no_answer=True)]
    said, odds = task.predictions([EXAMPLES[0], EXAMPLES[3]], answers)
    assert said == {"Who saw the doctor?": "nurse", "Where?": ""}
    assert odds == {"Who saw the doctor?": -1.5, "Where?": 2.0}


def test_figures_pass_over_questions_whose_answers_are_not_known(task):
    examples = [EXAMPLES[0], replace(EXAMPLES[1], answers=None)]
    assert task.score(examples, [answer("a nurse", 0.0), answer("x", 0.0)]) == {"exact_match": 100, "f1": 100}


def test_findings_tell_kinds_of_questions_and_the_surest_wrong_answers(task):
    answers = [answer("doctor", 0.0, 0.3), answer("medicine", 0.0), answer("pain", 0.0, 0.8), answer("ward", 0.0, 0.9)]
    findings = task.findings(EXAMPLES, answers)
    openings, lengths = findings.tables
    assert {row[0]: row[1] for row in openings.rows} == {"who": 1, "what": 1, "pain": 1, "where": 1}
    assert ("what", 1, 0.0, pytest.approx(200 / 3)) in openings.rows
    assert {row[0]: row[1] for row in lengths.rows} == {"2–3 words": 2, "4–6 words": 1, "no answer": 1}
    assert [mistake.badness for mistake in findings.mistakes] == [0.9, 0.8, 0.3]
    assert findings.mistakes[0].truth == "no answer"
    assert findings.mistakes[1].truth == "A nurse in the ward"
    assert "A nurse in the ward" in findings.mistakes[1].text
