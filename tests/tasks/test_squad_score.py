"""SQuAD's figures: cases computed by hand, and what must hold for any answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.tasks.squad_score import answer_scores, best_threshold, normalized, squad_figures

WORDS = st.lists(st.sampled_from(["cat", "The", "a", "dog.", "1973", "naïve", "--", "CAT"]), max_size=4).map(" ".join)
GOLDS = WORDS.filter(bool)
# The official script takes "The" for an answer when it looks for thresholds, and for none when it compares.
SAID = WORDS.filter(lambda text: not text or normalized(text))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Cat, sat!", "cat sat"),
        ("an  apple\na day", "apple day"),
        ("theory of a-the", "theory of athe"),  # marks go first, articles after
        ("U.S.", "us"),
        ("«naïve» —", "«naïve» —"),  # only ASCII's marks are punctuation
        ("The", ""),
    ],
)
def test_normalized_text(text, plain):
    assert normalized(text) == plain


def test_f1_counts_each_word_as_often_as_it_occurs():
    exact, f1 = answer_scores(["new new york"], [["New York York City"]])
    # Two words in common (new, york) of three said and four right.
    assert exact.tolist() == [0]
    assert f1.tolist() == [pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))]


def test_the_nearest_right_answer_counts_for_each_figure_by_itself():
    exact, f1 = answer_scores(["the cat sat"], [["cat sat down here", "Cat sat.", "dog"]])
    assert (exact.tolist(), f1.tolist()) == ([1], [1])


def test_an_answer_of_articles_only_is_scored_by_the_rules_of_its_version():
    exact, f1 = answer_scores(["a"], [["The"]])
    assert (exact.tolist(), f1.tolist()) == ([1], [0])  # 1.1: no word in common
    exact, f1 = answer_scores(["a", ""], [["The"], []])
    assert (exact.tolist(), f1.tolist()) == ([1, 1], [1, 1])  # 2.0: nothing is asked for and nothing is said


def test_figures_of_a_set_in_which_all_questions_have_answers():
    figures = squad_figures(["cat", "a big dog", ""], [["Cat"], ["dog"], ["cow"]], [0, 0, 0])
    assert figures == {"exact_match": pytest.approx(100 / 3), "f1": pytest.approx(100 * (1 + 2 / 3 + 0) / 3)}


def test_figures_of_a_set_in_which_some_questions_have_no_answer():
    said = ["cat", "a big dog", "cow", ""]
    figures = squad_figures(said, [["cat"], ["dog"], [], []], [-3.0, -1.0, 2.0, 5.0])
    assert figures == {
        "exact_match": pytest.approx(50),
        "f1": pytest.approx(100 * (1 + 2 / 3 + 0 + 1) / 4),
        "has_answer_exact_match": pytest.approx(50),
        "has_answer_f1": pytest.approx(100 * (1 + 2 / 3) / 2),
        "has_answer_total": 2,
        "no_answer_exact_match": pytest.approx(50),
        "no_answer_f1": pytest.approx(50),
        "no_answer_total": 2,
        # Without any answer two are right; "cat" makes it three, "dog" is not exact, "cow" is wrong.
        "best_exact_match": pytest.approx(75),
        "best_exact_match_threshold": -3.0,
        "best_f1": pytest.approx(100 * (2 + 1 + 2 / 3) / 4),
        "best_f1_threshold": -1.0,
    }


def test_where_no_answer_at_all_is_best_the_threshold_is_said_to_be_0():
    figures = squad_figures(["cat", "cow"], [["dog"], []], [-5.0, -4.0])
    assert (figures["best_f1"], figures["best_f1_threshold"]) == (50, 0)
    answerable = np.array([True, False])
    assert best_threshold(np.array([0.0, 0.0]), ["cat", "cow"], [-5.0, -4.0], answerable) == (50, None)


def test_a_set_without_questions_has_no_figures():
    assert squad_figures([], [], []) == {}


@given(st.lists(st.tuples(WORDS, st.lists(GOLDS, min_size=1, max_size=3)), min_size=1, max_size=8))
def test_no_figure_leaves_its_bounds_and_an_exact_answer_with_words_has_f1_1(pairs):
    said, right = [said for said, _ in pairs], [golds for _, golds in pairs]
    exact, f1 = answer_scores(said, right)
    assert ((exact == 0) | (exact == 1)).all()
    assert ((f1 >= 0) & (f1 <= 1)).all()
    worded = np.array([bool(normalized(text)) for text in said])
    assert np.allclose(f1[(exact == 1) & worded], 1)


@given(
    st.lists(
        st.tuples(SAID, st.lists(GOLDS, max_size=3), st.floats(-9, 9)),
        min_size=1,
        max_size=8,
        unique_by=lambda each: each[2],
    )
)
def test_the_best_threshold_gives_the_best_score_of_all_thresholds(questions):
    said, right, gaps = map(list, zip(*questions, strict=True))
    answerable = np.array([bool(golds) for golds in right])
    raw = answer_scores([*said, ""], [*right, []])[1][:-1]  # by the rules of 2.0

    def score(threshold):
        withdrawn = np.array(gaps) > threshold
        return 100 * np.where(withdrawn, ~answerable, raw).mean()

    best, threshold = best_threshold(raw, said, gaps, answerable)
    assert best == pytest.approx(max(score(each) for each in [-10.0, *gaps]))
    assert score(-10.0 if threshold is None else threshold) == pytest.approx(best)
