"""Fine-tuning under scikit-learn's contract: `fit`, `predict`, `score`, `get_params`, `clone`, pipelines, searches.

classifier = TextClassifier("my-bert", epochs=2).fit(texts, labels)
classifier.predict_proba(["a new text"])
classifier.save("my-task")                      # a run folder: bertsmith.load and transformers open it
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import NotFittedError

from bertsmith.config import Precision, TaskName
from bertsmith.data.labelled.examples import TextExample
from bertsmith.data.labelled.words import read_tagged
from bertsmith.errors import ConfigError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.inference.arrays import (
    as_list,
    choice_examples,
    is_indicator,
    label_rows,
    paired,
    present,
    question_examples,
    text_examples,
    words_example,
)
from bertsmith.inference.predictor import Predictor
from bertsmith.model.folder import write_model_folder
from bertsmith.progress import Reporter, Silent, Terminal
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.course import read_course
from bertsmith.training.finetune import train_once


class _FineTuned(BaseEstimator):  # type: ignore[misc]
    """What the five have in common.

    Args:
        model: a run folder, or any Hugging Face BERT or ModernBERT folder, to begin with.
        epochs, batch_size, learning_rate, layer_decay, freeze_layers, feature_layers, class_weights,
            max_length_tokens, seed, precision: as the options of `bertsmith finetune`; None for what they default to.
        verbose: show progress on stderr.
    """

    _task: ClassVar[TaskName]

    def __init__(  # noqa: PLR0913 - scikit-learn reads the parameters from here
        self,
        model: str | os.PathLike[str],
        *,
        epochs: float = 3.0,
        batch_size: int = 32,
        learning_rate: float | None = None,
        layer_decay: float = 1.0,
        freeze_layers: int = 0,
        feature_layers: int = 0,
        class_weights: Literal["none", "balanced"] = "none",
        max_length_tokens: int | None = None,
        seed: int = 0,
        precision: Precision = "auto",
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.layer_decay = layer_decay
        self.freeze_layers = freeze_layers
        self.feature_layers = feature_layers
        self.class_weights = class_weights
        self.max_length_tokens = max_length_tokens
        self.seed = seed
        self.precision = precision
        self.verbose = verbose

    def _learn(self, examples: list[Any], reading: LabelledConfig = LabelledConfig()) -> Self:
        """Train on all examples; none is kept back, since scikit-learn's own splitting is what users expect here."""
        reporter: Reporter = Terminal() if self.verbose else Silent()
        given = self.get_params(deep=False)
        options = {name: given[name] for name in given if name in _OPTIONS and given[name] is not None}
        config = FinetuneConfig(**options, keep="last")
        course = read_course(
            self._task, Path(self.model), examples, (), config=config, reading=reading, reporter=reporter
        )
        trained = train_once(course, config, folder=None, reporter=reporter)
        trained.model.head = trained.head
        course.tokenizer.model_max_length = course.task.window_tokens
        self.predictor_ = Predictor(trained.model, course.tokenizer, name=type(self).__name__)
        return self

    def _answers(self, examples: Iterable[Any]) -> list[Any]:
        if not hasattr(self, "predictor_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit(X, y) first")
        return list(self.predictor_.predict(examples))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a Hugging Face model folder, which `bertsmith.load` and `transformers` open.

        Raises:
            NotFittedError: there is nothing to save yet.
            ConfigError: it is the folder of the model that this one began with.
        """
        self._answers([])
        if Path(folder).resolve() == Path(self.model).resolve():
            raise ConfigError(f"{folder} holds the model that this one was made of. Choose another folder.")
        tokenizer: WordPiece = self.predictor_.tokenizer
        tokenizer.save(Path(folder))
        write_model_folder(self.predictor_.bert, Path(folder))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


_OPTIONS = frozenset(FinetuneConfig.model_fields)


class TextClassifier(ClassifierMixin, _FineTuned):  # type: ignore[misc]
    """Texts or pairs -> labels. X: texts, or (text, pair) tuples; y: labels, or collections of labels (multi-label)."""

    _task = "classify"

    def fit(self, X: Any, y: Any) -> Self:
        """Fine-tune on texts X and labels y."""
        if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 1:
            y = y.ravel()
        labels = present(y)
        self.multi_label_ = any(isinstance(each, list | tuple | set | frozenset | np.ndarray) for each in labels)
        rows = label_rows(y) if self.multi_label_ else [[each] for each in labels]
        found = {label for row in rows for label in row}
        if is_indicator(y):
            found |= set(range(y.shape[1]))  # a part of the data may lack one
        self.classes_ = np.array(sorted(found))
        names = {label: str(label) for label in found}
        texts = text_examples(X, len(rows))
        examples = [
            TextExample(text, pair, labels=tuple(names[label] for label in row), place=place)
            for (text, pair, place), row in zip(texts, rows, strict=True)
        ]
        named = ",".join(names[label] for label in self.classes_.tolist()) if is_indicator(y) else None
        return self._learn(examples, LabelledConfig(multi_label=self.multi_label_, labels=named))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(len(X), classes) probabilities, in the order of `classes_`."""
        answers = self._answers(TextExample(text, pair) for text, pair, _ in text_examples(X))
        rows = [[answer.probabilities[str(label)] for label in self.classes_] for answer in answers]
        return np.array(rows, np.float64).reshape(len(rows), len(self.classes_))

    def predict(self, X: Any) -> Any:
        """(len(X),) labels; with several labels a text (len(X), classes) zeros and ones."""
        probabilities = self.predict_proba(X)
        if self.multi_label_:
            return (probabilities >= 0.5).astype(np.int64)
        return self.classes_[probabilities.argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy; with several labels a text, the share of texts of which all are right."""
        said = self.predict(X)
        if not self.multi_label_:
            return float(super().score(X, y, sample_weight))
        right = np.zeros_like(said)
        place = {label: index for index, label in enumerate(self.classes_.tolist())}
        known = np.ones(len(said), bool)
        for index, row in enumerate(label_rows(y)):
            known[index] = all(label in place for label in row)
            right[index, [place[label] for label in row if label in place]] = 1
        return float(np.average(known & (said == right).all(axis=1), weights=sample_weight))


class TextRegressor(RegressorMixin, _FineTuned):  # type: ignore[misc]
    """Texts or pairs -> numbers. X: texts, or (text, pair) tuples; y: numbers."""

    _task = "regress"

    def fit(self, X: Any, y: Any) -> Self:
        """Fine-tune on texts X and numbers y."""
        scores = np.asarray(y, np.float64)
        texts = text_examples(X, len(scores))
        return self._learn(
            [
                TextExample(text, pair, score=float(score), place=place)
                for (text, pair, place), score in zip(texts, scores, strict=True)
            ]
        )

    def predict(self, X: Any) -> NDArray[np.float64]:
        """(len(X),) numbers."""
        return np.array(self._answers(TextExample(text, pair) for text, pair, _ in text_examples(X)), np.float64)


class TokenTagger(_FineTuned):
    """Texts -> a tag for each word. X: lists of words (or texts, for `predict`); y: lists of tags."""

    _task = "tag"

    def fit(self, X: Any, y: Any) -> Self:
        """Fine-tune on lists of words X and lists of tags y."""
        return self._learn(read_tagged(paired(X, y), LabelledConfig()).examples)

    def predict(self, X: Any) -> list[list[str]]:
        """The tags of each text's words."""
        return [list(tagging.tags) for tagging in self.predict_spans(X)]

    def predict_spans(self, X: Any) -> list[Any]:
        """A `Tagging` for each text: tags, and the entities with their characters."""
        return self._answers(words_example(each) for each in as_list(X, "X"))

    def score(self, X: Any, y: Any) -> float:
        """Entity F1 (strict BIO), or for plain tags the accuracy."""
        examples = read_tagged(paired(X, y), LabelledConfig()).examples
        answers = self._answers(replace(example, tags=None) for example in examples)  # a tag may be one never seen
        task = self.predictor_.task
        return task.score(examples, answers)[task.headline]


class QuestionAnswerer(_FineTuned):
    """Questions to contexts -> answers. X: (question, context) tuples; y: answers, or lists of them; "" for none."""

    _task = "answer"

    def fit(self, X: Any, y: Any) -> Self:
        """Fine-tune on (question, context) tuples X and answers y, each of which stands in its context."""
        return self._learn(question_examples(X, y))

    def predict(self, X: Any) -> list[str]:
        """The answer to each question; "" where the context has none."""
        return [span.text for span in self.predict_spans(X)]

    def predict_spans(self, X: Any) -> list[Any]:
        """An `AnswerSpan` for each question: the text, its characters, its score."""
        return self._answers(question_examples(X))

    def score(self, X: Any, y: Any) -> float:
        """Mean F1 of the answers' words, as SQuAD counts it, from 0 to 1."""
        examples = question_examples(X, y)
        answers = self._answers(examples)
        return self.predictor_.task.score(examples, answers)["f1"] / 100


class MultipleChoice(_FineTuned):
    """Texts with possible continuations -> which one fits. X: (text, choices) tuples; y: their numbers, from 0."""

    _task = "choose"

    def fit(self, X: Any, y: Any) -> Self:
        """Fine-tune on (text, choices) tuples X and the right choices' numbers y."""
        return self._learn(choice_examples(X, y))

    def predict(self, X: Any) -> NDArray[np.int64]:
        """(len(X),) the number of the choice that fits best."""
        return np.array([choice.index for choice in self._answers(choice_examples(X))], np.int64)

    def score(self, X: Any, y: Any) -> float:
        """The share of choices that are right."""
        right = [example.label for example in choice_examples(X, y)]
        return float(np.mean(self.predict(X) == np.array(right)))
