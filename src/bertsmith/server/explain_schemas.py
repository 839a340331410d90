"""What clients send and get of explanations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from bertsmith.server.schemas import Answers, Body, Text, Texts

MOST_COMPARED = 6  # others in one request


class ExplainBody(Body):
    """A text to look at, with what its model's task needs."""

    text: Text
    pair: Text | None = None
    question: Text | None = Field(None, description="Of a model fine-tuned to answer; the text is its context.")
    choices: Annotated[Texts, Field(min_length=2)] | None = Field(None, description="Of one fine-tuned to choose.")
    top_k: int = Field(10, ge=1, le=100, description="Guesses kept at each token.")
    evidence: bool = Field(True, description="Seek which words made the prediction: 32 readings and more.")
    hidden_words: bool = Field(True, description="Hide each word in turn: a reading a word. Not of fine-tuned models.")
    compare: Annotated[list[str], Field(min_length=1, max_length=MOST_COMPARED)] | None = Field(
        None,
        description="Names of others to be laid beside it: models of the same shape and vocabulary, or steps of a run "
        "(RUN/step-N). Of each model /v1/models lists them as `compares`.",
    )


class ExplainAnswers(Answers):
    """All that is to be seen of a text, as the page is fed with it."""

    explanation: dict[str, Any]
