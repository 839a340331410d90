"""The five classes under scikit-learn's contract, on a tiny model: what scikit-learn's own tools ask of them works."""

import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from transformers import pipeline

import bertsmith
from bertsmith import MultipleChoice, QuestionAnswerer, TextClassifier, TextRegressor, TokenTagger
from bertsmith.errors import DivergedError, InputError
from bertsmith.tasks.squad_score import answer_scores

TEXTS = ["pains in the ward", "the nurse was given", "a pains ward", "nurse nurse", "pains pains", "the nurse"] * 4
LABELS = ["pain", "nurse"] * 12
FIVE = [TextClassifier, TextRegressor, TokenTagger, QuestionAnswerer, MultipleChoice]


@pytest.fixture
def options(tiny_bert):
    return {"model": tiny_bert, "epochs": 1, "batch_size": 8, "precision": "float32"}


@pytest.mark.parametrize("kind", FIVE)
def test_parameters_are_those_of_the_constructor_and_clones_have_them(kind, options):
    estimator = kind(**options, seed=3)
    assert set(estimator.get_params()) == set(inspect.signature(kind.__init__).parameters) - {"self"}
    twin = clone(estimator.set_params(learning_rate=1e-4))
    assert twin.get_params() == estimator.get_params()
    assert not hasattr(twin, "predictor_")
    with pytest.raises(NotFittedError, match="call fit"):
        twin.predict([("a", ["b", "c"])] if kind in (MultipleChoice,) else [("a", "b")])


def test_a_classifier_learns_and_is_saved(options, tmp_path):
    classifier = TextClassifier(**{**options, "epochs": 40, "learning_rate": 1e-2}).fit(TEXTS, LABELS)
    assert classifier.classes_.tolist() == ["nurse", "pain"]
    assert classifier.score(TEXTS, LABELS) > 0.9
    probabilities = classifier.predict_proba(TEXTS[:3])
    assert probabilities.shape == (3, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    with pytest.raises(bertsmith.BertsmithError, match="holds the model that this one was made of"):
        classifier.save(options["model"])
    classifier.save(tmp_path / "saved")
    again = bertsmith.load(tmp_path / "saved").classify(TEXTS[:3])
    np.testing.assert_allclose([answer.probabilities["pain"] for answer in again], probabilities[:, 1], atol=1e-6)
    theirs = pipeline("text-classification", model=str(tmp_path / "saved"), device="cpu")(TEXTS[:3])
    assert [each["label"] for each in theirs] == classifier.predict(TEXTS[:3]).tolist()


def test_a_diverged_fit_says_what_may_help(options):
    with pytest.raises(DivergedError, match=r"so the run has diverged\. Begin anew with a lower learning_rate\.$"):
        TextClassifier(**options, learning_rate=1e30).fit(TEXTS, LABELS)


def test_labels_keep_their_type_and_the_seed_decides(options):
    numbers = [7 if label == "pain" else 30 for label in LABELS]
    first, second = (TextClassifier(**options, seed=1).fit(np.array(TEXTS), np.array(numbers)) for _ in range(2))
    assert first.classes_.tolist() == [7, 30]
    assert set(first.predict(TEXTS)) <= {7, 30}
    np.testing.assert_array_equal(first.predict_proba(TEXTS), second.predict_proba(TEXTS))
    other = TextClassifier(**options, seed=2).fit(TEXTS, numbers)
    assert not np.array_equal(first.predict_proba(TEXTS), other.predict_proba(TEXTS))


def test_pairs_come_as_tuples_or_as_tables(options):
    pairs = [(text, text[::-1]) for text in TEXTS]
    tuples = TextClassifier(**options).fit(pairs, LABELS).predict_proba(pairs)
    frame = pd.DataFrame(pairs, columns=["text", "pair"])
    table = TextClassifier(**options).fit(frame, pd.Series(LABELS)).predict_proba(frame)
    np.testing.assert_array_equal(tuples, table)


def test_scikit_learns_tools_take_them(options):
    classifier = TextClassifier(**options)
    scores = cross_val_score(classifier, TEXTS, LABELS, cv=2)
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    search = GridSearchCV(classifier, {"learning_rate": [1e-5, 1e-2]}, cv=2).fit(TEXTS, LABELS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    again = clone(classifier).set_params(**search.best_params_).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(search.predict_proba(TEXTS), again.predict_proba(TEXTS))
    shouting = make_pipeline(FunctionTransformer(lambda texts: [text.upper() for text in texts]), classifier)
    assert len(shouting.fit(TEXTS, LABELS).predict(TEXTS)) == len(TEXTS)
    regressor = TextRegressor(**options)
    assert np.isfinite(cross_val_score(regressor, TEXTS, np.arange(24.0), cv=2)).all()


def test_several_labels_a_text(options):
    y = [["pain"] if "pain" in text else ["nurse", "person"] for text in TEXTS]
    classifier = TextClassifier(**options).fit(TEXTS, y)
    assert classifier.classes_.tolist() == ["nurse", "pain", "person"]
    said = classifier.predict(TEXTS)
    assert said.shape == (24, 3)
    np.testing.assert_array_equal(said, classifier.predict_proba(TEXTS) >= 0.5)
    assert classifier.score(TEXTS, y) == np.mean(
        (said == [[0, 1, 0] if len(row) == 1 else [1, 0, 1] for row in y]).all(1)
    )
    matrix = np.array([[1, 0, 0] if "pain" in text else [0, 1, 0] for text in TEXTS])
    by_matrix = TextClassifier(**options).fit(TEXTS, matrix)  # the third label never holds
    assert by_matrix.predict(TEXTS).shape == (24, 3)
    assert by_matrix.score(TEXTS, matrix) == np.mean((by_matrix.predict(TEXTS) == matrix).all(1))
    column = TextClassifier(**options).fit(TEXTS, np.array(LABELS)[:, None])
    assert column.predict(TEXTS).shape == (24,)


def test_a_regressor_gives_numbers_on_the_users_scale(options):
    y = np.array([1000.0 if "pain" in text else 3000.0 for text in TEXTS])
    regressor = TextRegressor(**{**options, "epochs": 40, "learning_rate": 1e-2}).fit(TEXTS, y)
    assert regressor.score(TEXTS, y) > 0.5  # R², as scikit-learn's regressors


def test_a_tagger_gives_a_tag_a_word(options):
    words = [text.split() for text in TEXTS]
    tags = [["B-P" if word == "pains" else "O" for word in each] for each in words]
    tagger = TokenTagger(**{**options, "epochs": 40, "learning_rate": 1e-2}).fit(words, tags)
    said = tagger.predict(words)
    assert [len(each) for each in said] == [len(each) for each in words]
    assert tagger.score(words, tags) > 0.9
    spans = tagger.predict_spans(["pains in the ward"])[0].spans
    assert [(span.text, span.label) for span in spans] == [("pains", "P")]


def test_a_question_answerer_answers_in_the_contexts_words(options):
    X = [("who?", "the nurse saw the ward"), ("where?", "the nurse saw the ward")] * 6
    y = ["the nurse", ["the ward", "ward"]] * 6
    answerer = QuestionAnswerer(**options).fit(X, y)
    right = [[each] if isinstance(each, str) else each for each in y]
    assert answerer.score(X, y) == pytest.approx(np.mean(answer_scores(answerer.predict(X), right)[1]))
    for span, (_, context) in zip(answerer.predict_spans(X), X, strict=True):
        assert span.text == context[span.start : span.end] != ""
    with pytest.raises(InputError, match=r'y\[0\]: the answer "doctor" does not stand in its context'):
        QuestionAnswerer(**options).fit(X[:1], ["doctor"])


def test_multiple_choice_takes_any_number_of_choices(options):
    X = [("the nurse", ["pains", "was given"]), ("pains", ["in the ward", "the", "a"])] * 6
    y = [1, 0] * 6
    chooser = MultipleChoice(**options).fit(X, y)
    assert chooser.predict(X).shape == (12,)
    assert chooser.score(X, y) == np.mean(chooser.predict(X) == y)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ("one text", ["a"], "X is a list or array with an entry for each text, not str"),
        (["a", "b"], ["x"], "X has 2 entries and y has 1"),
        ([3, 4], ["x", "y"], r"X\[0\] is 3: a text, or a pair of texts, is needed"),
        ([("a", "b", "c")], ["x"], r"X\[0\] is \('a', 'b', 'c'\): a text, or a pair"),
        (["a", "b"], ["x", "x"], r"have 1 label\(s\) \(x\)"),
    ],
)
def test_mistakes_are_explained(options, X, y, message):
    with pytest.raises(bertsmith.BertsmithError, match=message):
        TextClassifier(**options).fit(X, y)


QUESTION, CHOICE = ("who?", "a nurse"), ("the nurse", ["pains", "was given"])


@pytest.mark.parametrize(
    ("kind", "X", "y", "message"),
    [
        (TextClassifier, TEXTS[:3], ["a", None, "b"], r"y\[1\] is missing \(None\)"),
        (TextClassifier, TEXTS[:3], np.array([0, 1, np.nan], np.float32), r"y\[2\] is missing \(nan\)"),
        (TextClassifier, TEXTS[:2], [["a"], None], r"y\[1\] is missing"),
        (TextClassifier, TEXTS[:2], [["b", None], ["a"]], r"y\[0\]\[1\] is missing"),
        (TextRegressor, TEXTS[:2], [1.0, None], "row 2 of the data: score nan is not finite"),
        (QuestionAnswerer, [QUESTION], ["nurse", "a"], "X has 1 entries and y has 2"),
        (QuestionAnswerer, [QUESTION], [None], r"y\[0\] is missing"),
        (TokenTagger, [["a", "b"]] * 2, [["x", "y"]], "X has 2 entries and y has 1"),
        (MultipleChoice, [CHOICE] * 2, [0, 0.5], r"y\[1\] is 0.5: the number of the right choice"),
        (MultipleChoice, [CHOICE] * 2, [0, "x"], r"y\[1\] is 'x'"),
    ],
)
def test_what_is_missing_or_too_much_is_not_learned(options, kind, X, y, message):
    with pytest.raises(InputError, match=message):
        kind(**options).fit(X, y)


def test_a_score_needs_an_answer_for_each_entry(options):
    solver = MultipleChoice(**options).fit([CHOICE] * 2, [0, 1])
    with pytest.raises(InputError, match="X has 2 entries and y has 1"):
        solver.score([CHOICE] * 2, [0])
