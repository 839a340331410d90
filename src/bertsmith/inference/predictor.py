"""A model folder, ready to answer: the command line, the server and notebooks all go through it.

Letters: D hidden width.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import tee
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.config import PredictionPrecision, TaskName
from bertsmith.data.labelled.examples import ChoiceExample, QuestionExample, TextExample
from bertsmith.data.windows import BATCH_TOKENS
from bertsmith.errors import InputError, ModelFolderError
from bertsmith.inference.embedding import embed_texts
from bertsmith.inference.opened import OpenedModel
from bertsmith.tasks.fill_mask import Fill, fill_texts
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.tasks.reader import Pooling
from bertsmith.tasks.registry import task_class_of

if TYPE_CHECKING:
    from bertsmith.tasks.classification import Classification
    from bertsmith.tasks.multiple_choice import Choice
    from bertsmith.tasks.question_answering import AnswerSpan
    from bertsmith.tasks.tagging import Tagging


def load(folder: str | os.PathLike[str], *, precision: PredictionPrecision = "float32") -> Predictor:
    """Open a run folder, any Hugging Face BERT or ModernBERT folder, or what `bertsmith export --to onnx` made of one.

    Args:
        folder: `config.json`, the weights and the tokenizer. With `model.onnx` in place of weights ONNX Runtime
            computes, and torch is not loaded.
        precision: of the products, as for `OpenedModel`.

    Raises:
        ModelFolderError: the folder is missing or incomplete, or holds no BERT.
        TokenizerError: it has no tokenizer, or one that does not fit the model.
    """
    return Predictor.open(folder, precision=precision)


class Predictor(OpenedModel):
    """A model that answers. Any number of threads may ask the same one."""

    def fill(
        self,
        text: str,
        pair: str | None = None,
        *,
        top_k: int | None = None,
        candidates: Sequence[str] | None = None,
    ) -> list[Fill] | list[list[Fill]]:
        """The likeliest words at [MASK].

        Args:
            text: with one or several [MASK].
            pair: a second text.
            top_k: answers a mask; 5 if not given, or all candidates.
            candidates: answer only among these words, each of which is one WordPiece.

        Returns:
            The answers by falling probability; with several masks, a list of such lists.

        Raises:
            InputError: no [MASK], a candidate of several WordPieces, or `top_k` below 1.
            ModelFolderError: the model has no masked LM head.
        """
        masks = self.fill_each(text, pair, top_k=top_k, candidates=candidates)
        return masks[0] if len(masks) == 1 else masks

    def fill_each(
        self,
        text: str,
        pair: str | None = None,
        *,
        top_k: int | None = None,
        candidates: Sequence[str] | None = None,
    ) -> list[list[Fill]]:
        """As `fill`, but always one list a mask."""
        return self.fill_texts([text], pair, top_k=top_k, candidates=candidates)[0]

    def fill_texts(
        self,
        texts: Sequence[str],
        pair: str | None = None,
        *,
        top_k: int | None = None,
        candidates: Sequence[str] | None = None,
    ) -> list[list[list[Fill]]]:
        """As `fill_each` for each of several texts, sooner than one by one; `pair` is the same for all."""
        check_texts(texts)
        if not self.fills:
            raise ModelFolderError(
                f"{self.name} has no masked LM head, so it fills no masks; it embeds texts. "
                "Take a folder with the head that it was pretrained with."
            )
        return fill_texts(self.reader, self.tokenizer, texts, pair=pair, top_k=top_k, candidates=candidates)

    def embed(
        self, texts: Sequence[str], *, pooling: Pooling = "mean", batch_tokens: int = BATCH_TOKENS
    ) -> NDArray[np.float32]:
        """One vector a text.

        A text that is longer than the model is read in windows that overlap by a quarter; its vector is their
        mean, weighted by their tokens, and a warning says how many texts that was.

        Args:
            texts: any number of them; an empty text is read as [CLS] [SEP].
            pooling: "mean" over all tokens, [CLS] and [SEP] too, as sentence-transformers does; or the
                hidden state of [CLS].
            batch_tokens: tokens that go through the model at once.

        Returns:
            (len(texts), D) float32.

        Raises:
            InputError: something other than a list of texts.
        """
        check_texts(texts)
        if pooling not in ("mean", "cls"):
            raise InputError(f'pooling "{pooling}" is not known; there are "mean" and "cls"')
        return embed_texts(self.reader, self.tokenizer, texts, pooling=pooling, batch_tokens=batch_tokens)

    @property
    def task_name(self) -> TaskName | None:
        """What the model was fine-tuned for; None if it was not."""
        return self.head.task if self.head else None

    @cached_property
    def task(self) -> FinetuneTask[Any, Any]:
        """The task that the model was fine-tuned for.

        Raises:
            ModelFolderError: it was not.
        """
        if self.head is None:
            can = "fills masks and embeds texts" if self.fills else "embeds texts"
            raise ModelFolderError(
                f"{self.name} was not fine-tuned, so it {can} only. "
                f"Fine-tune it first: bertsmith finetune classify --model {self.name} --train train.csv --out my-task"
            )
        kind = task_class_of(self.head)
        return kind(self.head, self.tokenizer, longest=self.max_length_tokens)

    def predict(self, examples: Iterable[Any], *, soon: bool = False) -> Iterator[Any]:
        """An answer to each example of the model's task, in order, as they come.

        A text that is longer than the model is read in windows; a warning at the end says how many texts that was.

        Args:
            examples: of the task's type, see `bertsmith.data.labelled.examples`.
            soon: the first ones are wanted before there are many, as where someone is typing them.

        Raises:
            ModelFolderError: the model was not fine-tuned.
            InputError: an example that cannot be read, such as a question that fills the window.
        """
        long = 0

        def slid(count: int) -> None:
            nonlocal long
            long += count

        yield from self.task.answer_each(self.reader, examples, soon=soon, slid=slid)
        if long:
            warnings.warn(
                f"{long} texts are longer than the {self.task.window_tokens} tokens that are read at once; "
                "each was read in overlapping windows",
                stacklevel=2,
            )

    def predict_beside(self, examples: Iterable[Any], *, soon: bool = False) -> Iterator[tuple[Any, Any]]:
        """As `predict`, each answer with its example, of which no more are held than are answered at once."""
        read, kept = tee(examples)
        return zip(kept, self.predict(read, soon=soon), strict=True)

    def classify(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Classification]:
        """The label of each text, or pair of texts, with the probabilities of all labels.

        Raises:
            InputError: no list of texts, or not as many pairs as texts.
            ModelFolderError: the model is no classifier.
        """
        self._must("classify")
        return list(self.predict(_text_examples(texts, pairs)))

    def rate(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[float]:
        """The score of each text, or pair of texts, such as how alike they are; errors as `classify`."""
        self._must("regress")
        return list(self.predict(_text_examples(texts, pairs)))

    def tag(self, texts: Sequence[str]) -> list[Tagging]:
        """The tags of each text's words, and what they mark, in characters; errors as `classify`."""
        self._must("tag")
        from bertsmith.data.labelled.words import tagged_text

        check_texts(texts)
        return list(self.predict(tagged_text(text) for text in texts))

    def answer(self, question: str, context: str) -> AnswerSpan:
        """The part of a context, of any length, that answers a question best; errors as `classify`."""
        self._must("answer")
        check_texts([question, context])
        found: AnswerSpan
        (found,) = self.predict([QuestionExample(question, context)])
        return found

    def choose(self, text: str, choices: Sequence[str]) -> Choice:
        """Which of the continuations of a text fits best; errors as `classify`."""
        self._must("choose")
        check_texts([text, *choices])
        if len(choices) < 2:
            raise InputError(f"{len(choices)} choice(s): at least two are needed")
        found: Choice
        (found,) = self.predict([ChoiceExample(text, tuple(choices))])
        return found

    def _must(self, task: TaskName) -> None:
        if self.task.name != task:
            raise ModelFolderError(
                f'{self.name} was fine-tuned for "{self.task.name}", not for "{task}". Take a folder that was.'
            )


def check_texts(texts: Sequence[str]) -> None:
    """Raise an InputError for anything but a list of texts."""
    if isinstance(texts, str):
        raise InputError("a list of texts is needed, and this is one str: write [text]")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {index} of {len(texts)} is no str but {type(text).__name__}")


def _text_examples(texts: Sequence[str], pairs: Sequence[str] | None) -> list[TextExample]:
    check_texts(texts)
    if pairs is None:
        return [TextExample(text) for text in texts]
    check_texts(pairs)
    if len(texts) != len(pairs):
        raise InputError(f"{len(texts)} texts and {len(pairs)} pairs: there must be as many of both")
    return [TextExample(text, pair) for text, pair in zip(texts, pairs, strict=True)]
