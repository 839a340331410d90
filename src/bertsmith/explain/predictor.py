"""A predictor that shows its working: what `bertsmith.load` gives."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bertsmith.config import PredictionPrecision
from bertsmith.inference import predictor

if TYPE_CHECKING:
    from bertsmith.explain.explanation import Explanation


class Predictor(predictor.Predictor):
    """See `bertsmith.inference.predictor`; here with `explain`, which that room may not know."""

    def explain(
        self,
        text: str,
        pair: str | None = None,
        *,
        question: str | None = None,
        choices: Sequence[str] | None = None,
        top_k: int = 10,
        evidence: bool = True,
        hidden_words: bool = True,
    ) -> Explanation:
        """What happens to a text on its way through the model, with every number.

        Args:
            text: with or without [MASK], which hides a word, of the other texts too. A fine-tuned model that predicts
                reads it as plain text.
            pair: a second text.
            question: of a model fine-tuned to answer; `text` is its context.
            choices: of a model fine-tuned to choose.
            top_k: guesses kept at each token.
            evidence: also seek which words made the prediction: the model is read 32 times and more for that.
            hidden_words: of a model that was not fine-tuned also hide each word in turn: a reading a word.

        Returns:
            An `Explanation`, which draws itself in notebooks.

        Raises:
            InputError: the text is longer than the model reads at once.
            ConfigError: what the model's task needs is missing, or something has no use.
        """
        from bertsmith.explain.explaining import explain_masked, explain_task
        from bertsmith.inference.inputs import examples_of_texts, no_task_words

        predictor.check_texts([text] if pair is None else [text, pair])
        if self.head is None:
            no_task_words(question, choices)
            return explain_masked(
                self.bert,
                self.tokenizer,
                text,
                pair,
                model=self.name,
                top_k=top_k,
                evidence=evidence,
                hidden_words=hidden_words,
            )
        (example,) = examples_of_texts(self.task, [text], pair=pair, question=question, choices=choices)
        return explain_task(self.bert, self.task, example, model=self.name, evidence=evidence)

    def compare(
        self,
        explanation: Explanation,
        *others: str | os.PathLike[str] | predictor.Predictor,
        sample: Sequence[str] = (),
    ) -> Explanation:
        """An explanation by this model with others laid beside it: what moved between them.

        Args:
            explanation: from `explain`.
            others: models of the same shape and vocabulary, in order: what it was fine-tuned from, checkpoints
                (`my-bert/training/checkpoints/step-…`, `step-0` for the start, or the whole folder).
            sample: texts over whose tokens representations are compared; those of the sentence, which are few, if not
                given.

        Returns:
            The explanation with `beside`; its page has the view Compare.

        Raises:
            InputError: another shape or vocabulary.
            ModelFolderError: no model is there.
        """
        from bertsmith.explain.comparing import compare
        from bertsmith.explain.opening import open_others

        models: list[predictor.Predictor] = []
        for other in others:
            models += [other] if isinstance(other, predictor.Predictor) else open_others(other)
        found = tuple(compare(explanation, self, other, sample) for other in models)
        return dataclasses.replace(explanation, beside=explanation.beside + found)


def load(folder: str | os.PathLike[str], *, precision: PredictionPrecision = "float32") -> Predictor:
    """As `bertsmith.inference.predictor.load`, with `explain`."""
    return Predictor.open(folder, precision=precision)
