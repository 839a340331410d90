"""The names that columns of texts, pairs, labels and scores usually have, and GLUE's own layouts among them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# In the order in which they are preferred; compared without capitals, "_" for spaces and dashes.
TEXTS = (
    *("text", "sentence", "content", "review", "question", "premise"),
    *("sentence1", "text1", "text_a", "sentence_a", "sentence_1", "question1", "#1_string", "claim", "query"),
    *("tweet", "comment", "comment_text", "review_text", "reviewtext", "review_body", "message", "utterance", "post"),
    *("document", "article", "passage", "abstract", "body", "description", "headline", "title", "input", "phrase"),
)
PAIRS = (
    *(("sentence1", "sentence2"), ("question1", "question2"), ("#1_string", "#2_string"), ("premise", "hypothesis")),
    *(("question", "sentence"), ("question", "passage"), ("question", "context"), ("question", "answer")),
    *(("text1", "text2"), ("text_a", "text_b"), ("sentence_a", "sentence_b"), ("sentence_1", "sentence_2")),
    *(("query", "passage"), ("query", "document"), ("claim", "evidence")),
)
ANY_TEXTS_PAIR = ("pair", "text_pair", "second_text")  # whatever the first text is called
LABELS = (
    *("label", "labels", "gold_label", "class", "classes", "category", "categories", "target", "sentiment"),
    *("is_duplicate", "quality", "intent", "emotion", "emotions", "polarity", "topic", "class_label", "class_index"),
    *("entailment_judgment", "judgment", "answer", "stars", "rating", "score", "similarity", "y"),
)
SCORES = (
    *("score", "similarity", "similarity_score", "relatedness_score", "relatedness", "label", "labels", "target"),
    *("gold", "rating", "stars", "value", "quality", "y"),
)

COLA = ("source", "label", "star", "sentence")  # the columns of the one GLUE task without a line of names


def plain(name: str) -> str:
    """A column's name as it is compared."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def is_cola(cells: Sequence[str]) -> bool:
    """Whether a first line is CoLA's: source, 0 or 1, an asterisk or nothing, sentence."""
    return len(cells) == len(COLA) and cells[1] in ("0", "1") and cells[2] in ("", "*") and cells[3].strip() != ""


def first_of(names: Iterable[str], columns: Sequence[str]) -> str | None:
    """The column that has the first of the names that any has."""
    by_plain = _by_plain(columns)
    return next((by_plain[name] for name in names if name in by_plain), None)


def text_and_pair(columns: Sequence[str]) -> tuple[str | None, str | None]:
    """The columns of the text and of its partner, where there is one.

    A column that is simply called "text" comes before pairs, and pairs before other texts: of QNLI's question and
    sentence neither is the text alone.
    """
    by_plain = _by_plain(columns)
    partner = first_of(ANY_TEXTS_PAIR, columns)
    if "text" not in by_plain and partner is None:
        for first, second in PAIRS:
            if first in by_plain and second in by_plain:
                return by_plain[first], by_plain[second]
    text = first_of(TEXTS, columns)
    return text, partner if text else None


def partner_of(pair: str, columns: Sequence[str]) -> str | None:
    """The column of the first text, where only the second is named."""
    by_plain = _by_plain(columns)
    partners = [first for first, second in PAIRS if second == plain(pair)]
    return first_of([*partners, *TEXTS], [column for column in by_plain.values() if column != pair])


def looks_like_names(cells: Sequence[str], *, text: int, pair: int | None, label: int | None) -> bool:
    """Whether a first line holds names, not values: where text, pair and label stand, and in at least two cells.

    Args:
        cells: of the first line.
        text, pair, label: where those stand, from 0; None where that is not known.
    """
    names = [plain(cell) for cell in cells]
    seconds = (*ANY_TEXTS_PAIR, *(second for _, second in PAIRS))
    roles = ((text, TEXTS), (pair, (*seconds, *TEXTS)), (label, (*LABELS, *SCORES)))
    there = all(place is None or (place < len(names) and names[place] in usual) for place, usual in roles)
    every = {*TEXTS, *seconds, *LABELS, *SCORES, "id", "idx", "index"}
    return there and sum(name in every for name in names) > 1


def _by_plain(columns: Sequence[str]) -> dict[str, str]:
    return {plain(column): column for column in reversed(columns)}
