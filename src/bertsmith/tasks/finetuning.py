"""What all fine-tuned tasks share: examples -> windows -> logits -> answers; each task adds what is its own.

Letters: R rows, T tokens of a row, D hidden width, W windows, P places that the task reads, O outputs, E examples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from bertsmith.config import HeadConfig, TaskName
from bertsmith.data.labelled.examples import BadExamples, Labelled
from bertsmith.data.windows import BATCH_TOKENS, MICRO_BATCH_TOKENS, Encoded, Window, WindowBatch
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.device import on_device
from bertsmith.tasks.findings import Findings
from bertsmith.tasks.reader import Float32s, Reader, reader_of
from bertsmith.text.streams import BadInput, BadInputs
from bertsmith.text.wordpiece import WordPiece

if TYPE_CHECKING:  # torch is for training: what another engine computes is answered without it
    from torch import Tensor

    from bertsmith.model.bert import Bert

Example = TypeVar("Example")
Answer = TypeVar("Answer")

BLOCK = 256  # examples that are held as windows at once


class FinetuneTask(ABC, Generic[Example, Answer]):
    """One thing that a fine-tuned model does, from labelled files to figures.

    Args:
        head: what is answered, and how texts are read.
        tokenizer: the model's.
        longest: the model's positions, which bound `head.max_length_tokens`.
        class_weights: of the loss; None for all alike.
    """

    name: ClassVar[TaskName]
    headline: str  # the figure by which the best weights are chosen; more is better
    figure_scale: ClassVar[float] = 1.0  # what that figure is at best
    at_once = False  # whether a training batch is one call of the model, however long: for ranks that divide it

    def __init__(
        self, head: HeadConfig, tokenizer: WordPiece, *, longest: int, class_weights: Float32s | None = None
    ) -> None:
        self.head, self.tokenizer, self.class_weights = head, tokenizer, class_weights
        self.window_tokens = min(head.max_length_tokens or longest, longest)

    def copy(self) -> Self:
        """The same task with a head of its own, which a run may settle and tune."""
        return copy(self)

    def reading_masks(self) -> Self:
        """The same task, to which [MASK] in a text hides a word; to the task itself it is plain text."""
        return type(self)(self.head, self.tokenizer.reading_masks, longest=self.window_tokens)

    def slides(self, encoded: Encoded) -> bool:
        """Whether an example is so long that it is read in several windows."""
        return len(encoded.windows) > 1

    # What the data is.

    @classmethod
    @abstractmethod
    def read(cls, data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None) -> Labelled[Example]:
        """Labelled examples of files, or of Python objects.

        Args:
            data: a path, several, or objects: a DataFrame, a `datasets` table, a list of dicts or of examples.
            config: columns, and what to do with what is broken.
            labels: those that there are, for development data; None to take them as they come.

        Raises:
            CorpusError: the first broken example, with its place; or nothing is there.
        """

    @staticmethod
    @abstractmethod
    def stream(data: Any, config: LabelledConfig, skipped: list[BadInput], notes: list[str]) -> Iterator[Example]:
        """Examples to be answered, one by one, in bounded memory; labels are not read, and need not be there.

        Args:
            data, config: as `read` takes them.
            skipped, notes: what is left out, and what the user should know, are appended here on the way.

        Raises:
            CorpusError: a broken example, when it is reached; or nothing is there.
        """

    @classmethod
    @abstractmethod
    def head_for(cls, examples: Sequence[Example], config: LabelledConfig, training: FinetuneConfig) -> HeadConfig:
        """The head for training examples: which labels there are, and how long texts are read.

        Raises:
            CorpusError: the examples teach nothing, such as one label only.
        """

    @classmethod
    def balanced_weights(cls, examples: Sequence[Example], head: HeadConfig) -> Float32s | None:
        """(labels,) weights under which every class counts alike; None where a task has no classes."""
        return None

    @staticmethod
    def group_of(example: Example) -> object:
        """Examples of one group must not be learned and measured on at once; None for an example by itself."""
        return None

    # How it is read and learned.

    def readable(self, examples: Iterable[Example], bad: BadInputs) -> Iterator[Example]:
        """The examples that windows have room for, as they come; the others are reported."""
        coming = iter(examples)
        while block := list(islice(coming, BLOCK)):
            yield from self.fitting(block, bad)

    def fitting(self, examples: Sequence[Example], bad: BadInputs) -> Sequence[Example]:
        """As `readable`, of a few examples at once; most tasks can read all."""
        return examples

    def read_to_measure(self, data: Any, config: LabelledConfig) -> Labelled[Example]:
        """Labelled examples with the labels that there are, as many at once as the head knows, which the task can read.

        Raises:
            CorpusError: as `read`, or an example that cannot be read.
        """
        config = config.model_copy(update={"multi_label": self.head.multi_label})
        read = self.read(data, config, labels=self.head.labels or None)
        kept = list(self.readable(read.examples, BadExamples(config.on_bad_input, read.skipped)))
        return replace(read, examples=kept)

    @abstractmethod
    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Windows and labels of each example."""

    @abstractmethod
    def losses(self, logits: Tensor, batch: WindowBatch) -> Tensor:
        """(P, O) float32 -> the summed loss of a batch, (); `loss_counts` says of how many things."""

    def loss_counts(self, batch: WindowBatch) -> dict[str, int]:
        """How many things the loss is a sum over; the examples, if a task says nothing else."""
        return {"task": len(batch.windows_of)}

    def loss_sums(self, model: Bert, batch: WindowBatch) -> dict[str, Tensor]:
        """The loss of a batch, summed, () float32."""
        return {"task": self.losses(self.logits(model, batch, at_once=self.at_once).float(), batch)}

    @classmethod
    def logits(cls, model: Bert, batch: WindowBatch, *, at_once: bool = False) -> Tensor:
        """What the head says at the places of a batch, (P, O)."""
        if batch.features is None:
            return model.task_logits(cls.head_input(model, batch, at_once=at_once))
        return model.task_logits(on_device(batch.features, model.device))

    @staticmethod
    def head_input(model: Bert, batch: WindowBatch, *, at_once: bool = False) -> Tensor:
        """What the head reads at the places of a batch, (P, D).

        One text beyond MICRO_BATCH_TOKENS is computed in parts, and in training once more for its gradients: of each
        part no more is kept than what the head reads, so that a text of any length fits the memory. Not so `at_once`.
        """
        import torch

        from bertsmith.tasks.places import read_places

        rows, width = batch.input_ids.shape
        training = torch.is_grad_enabled()
        step = max(1, MICRO_BATCH_TOKENS // width)
        if at_once or rows <= step or (training and len(batch.windows_of) > 1):
            step = rows
        part_of_place = batch.places // (width * step)  # (P,)
        read = []
        for part in range(-(-rows // step)):
            places = batch.places[part_of_place == part] - part * width * step
            these = slice(part * step, (part + 1) * step)
            read.append(read_places(model, batch, these, places, twice=training and step < rows))
        if step < rows:  # part after part -> in the order of the places
            back = np.argsort(np.argsort(part_of_place, kind="stable"), kind="stable")
            return torch.cat(read)[on_device(back, model.device)]
        return read[0]

    # What is made of it.

    @abstractmethod
    def join(self, example: Example, encoded: Encoded, outputs: Sequence[Float32s]) -> Answer:
        """One answer from the logits of an example's windows, (p, O) each."""

    @abstractmethod
    def score(self, examples: Sequence[Example], answers: Sequence[Answer]) -> dict[str, float]:
        """Figures of answers to examples that are labelled."""

    def tuned(self, examples: Sequence[Example], answers: Sequence[Answer]) -> HeadConfig:
        """The head with what is chosen on development data, such as a threshold."""
        return self.head

    def settle(self, model: Bert) -> HeadConfig:
        """Make a trained model's outputs final, in place; the head as its folder keeps it."""
        return self.head

    def findings(self, examples: Sequence[Example], answers: Sequence[Answer]) -> Findings:
        """What a report shows beside the figures."""
        return Findings()

    # The way from examples to answers.

    def answer_each(
        self,
        model: Bert | Reader,
        examples: Iterable[Example],
        *,
        batch_tokens: int = BATCH_TOKENS,
        soon: bool = False,
        slid: Callable[[int], None] = lambda count: None,
    ) -> Iterator[Answer]:
        """An answer to each example, in order; memory is bounded however many there are.

        Args:
            model: in evaluation mode, or any reader.
            examples: any number of them.
            batch_tokens: tokens that go through the model at once.
            soon: the first ones are wanted before there are many: blocks begin with one example, and grow.
            slid: told, block after block, how many examples were read in several windows.
        """
        coming = iter(examples)
        size = 1 if soon else BLOCK
        while block := list(islice(coming, size)):
            encoded = self.encode(block)
            slid(sum(self.slides(each) for each in encoded))
            yield from self._answers(model, block, encoded, batch_tokens)
            size = min(2 * size, BLOCK)

    def answer_encoded(
        self, model: Bert | Reader, examples: Sequence[Example], encoded: Sequence[Encoded], done: Callable[[int], None]
    ) -> list[Answer]:
        """As `answer_each`, for examples whose windows are there already; `done` is told how many are answered."""
        answers: list[Answer] = []
        for first in range(0, len(examples), BLOCK):
            block = slice(first, first + BLOCK)
            answers += self._answers(model, examples[block], encoded[block], BATCH_TOKENS)
            done(len(answers))
        return answers

    def _answers(
        self, model: Bert | Reader, examples: Sequence[Example], encoded: Sequence[Encoded], batch_tokens: int
    ) -> Iterator[Answer]:
        reader = reader_of(model)
        windows = [window for each in encoded for window in each.windows]
        read = each_window(reader, reader.task_logits, windows, width=self.head.outputs, batch_tokens=batch_tokens)
        coming = iter(read)
        for example, each in zip(examples, encoded, strict=True):
            yield self.join(example, each, list(islice(coming, len(each.windows))))


def each_window(
    reader: Reader,
    compute: Callable[[Sequence[Window]], list[Float32s]],
    windows: Sequence[Window],
    *,
    width: int,
    batch_tokens: int = BATCH_TOKENS,
) -> list[Float32s]:
    """What is computed at the places of windows, (p, width) of each, in batches of like length.

    Args:
        reader: says which windows are a batch, and computes several side by side.
        compute: from the windows of a batch to (p, width) of each, or (1, width), the same at all of its places.
        windows: in any order.
        width: of what is computed.
        batch_tokens: tokens of a batch.
    """
    ends = np.cumsum([len(window.places) for window in windows])
    # All at once: small arrays kept from each batch would lie between its large ones, and memory would grow.
    outputs = np.split(np.empty((int(ends[-1]), width), np.float32), ends[:-1])

    def fill(indices: list[int]) -> None:
        for index, part in zip(indices, compute([windows[index] for index in indices]), strict=True):
            outputs[index][:] = part

    deque(reader.each_batch(fill, windows, batch_tokens), maxlen=0)
    return outputs
