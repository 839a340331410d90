"""Multiple choice: which of several continuations fits a text.

Each choice is read beside the text, `[CLS] text [SEP] choice [SEP]`; the pooled [CLS] gives it one score, the mean over
its windows where the pair is long. A softmax over an example's scores makes them probabilities; examples may have
different numbers of choices.

Letters: W windows, P places that the task reads, C choices of all examples, E examples.

Reference:
    Devlin et al. 2019, section 4.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.choices import read_choices, stream_choices
from bertsmith.data.labelled.examples import ChoiceExample, Labelled
from bertsmith.data.windows import Encoded, WindowBatch
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.device import on_device
from bertsmith.tasks.drawing import drawn
from bertsmith.tasks.findings import MOST_WRONG, Findings, Mistake, Table
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.tasks.reader import Float32s
from bertsmith.tasks.sequences import mean_of_groups, windows_of

if TYPE_CHECKING:
    from torch import Tensor

UNKNOWN = -1  # the right choice, where it is not known

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """What fits a text.

    Attributes:
        index: the likeliest choice, from 0.
        text: that choice.
        probabilities: of each choice; they sum to 1.
        windows: the most windows that a choice and the text were read in.
    """

    index: int
    text: str
    probabilities: tuple[float, ...]
    windows: int = 1

    def _repr_html_(self) -> str:
        return drawn(self.text, [(f"choice {index}", share) for index, share in enumerate(self.probabilities)])


class MultipleChoiceTask(FinetuneTask[ChoiceExample, Choice]):
    """See the module. Labels are (W, 2): which choice a window belongs to, and which choice of the example is right."""

    name = "choose"
    headline = "accuracy"

    @classmethod
    def read(
        cls, data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None
    ) -> Labelled[ChoiceExample]:
        return read_choices(data, config, labels=labels)

    stream = staticmethod(stream_choices)

    @classmethod
    def head_for(
        cls, examples: Sequence[ChoiceExample], config: LabelledConfig, training: FinetuneConfig
    ) -> HeadConfig:
        return HeadConfig(task="choose", **training.reading())

    def slides(self, encoded: Encoded) -> bool:
        return len(encoded.windows) > len(np.unique(encoded.labels[:, 0]))

    def encode(self, examples: Sequence[ChoiceExample]) -> list[Encoded]:
        of_choices = iter(
            windows_of(
                self,
                [example.text for example in examples for _ in example.choices],
                [choice for example in examples for choice in example.choices],
            )
        )
        return [_encoded(example, [next(of_choices) for _ in example.choices]) for example in examples]

    def losses(self, logits: Tensor, batch: WindowBatch) -> Tensor:
        from torch.nn import functional as F

        windows_of, choices_of, right = _groups(batch)
        scores = mean_of_groups(mean_of_groups(logits, batch.places_of), windows_of)  # (P, 1) -> (W, 1) -> (C, 1)
        example, choice = (on_device(ids, logits.device) for ids in _rows_and_columns(choices_of))
        # (C, 1) -> (E, most choices); a choice that an example does not have is impossible.
        ragged = logits.new_full((len(choices_of), int(choices_of.max())), -np.inf)
        ragged = ragged.index_put((example, choice), scores[:, 0])
        return F.cross_entropy(ragged, on_device(right, logits.device), reduction="sum")

    def join(self, example: ChoiceExample, encoded: Encoded, outputs: Sequence[Float32s]) -> Choice:
        windows_of = np.bincount(encoded.labels[:, 0])
        sums = np.bincount(encoded.labels[:, 0], [output.mean(dtype=np.float64) for output in outputs])
        scores = sums / windows_of
        shares = np.exp(scores - scores.max())
        best = int(scores.argmax())
        probabilities = tuple((shares / shares.sum()).tolist())
        return Choice(best, example.choices[best], probabilities, int(windows_of.max()))

    def score(self, examples: Sequence[ChoiceExample], answers: Sequence[Choice]) -> dict[str, float]:
        pairs = zip(examples, answers, strict=True)
        known = [answer.index == example.label for example, answer in pairs if example.label is not None]
        return {"accuracy": float(np.mean(known))} if known else {}

    def findings(self, examples: Sequence[ChoiceExample], answers: Sequence[Choice]) -> Findings:
        known = [pair for pair in zip(examples, answers, strict=True) if pair[0].label is not None]
        rows = []
        for count in sorted({len(example.choices) for example, _ in known}):
            right = [answer.index == example.label for example, answer in known if len(example.choices) == count]
            rows.append((count, len(right), float(np.mean(right)), 1 / count))
        table = Table("examples by their choices", ("choices", "examples", "accuracy", "by chance"), tuple(rows))
        wrong = [_mistake(example, answer) for example, answer in known if answer.index != example.label]
        return Findings((table,), None, tuple(sorted(wrong, key=lambda mistake: -mistake.badness)[:MOST_WRONG]))


def _encoded(example: ChoiceExample, windows_of: Sequence[tuple[Any, ...]]) -> Encoded:
    choice = np.repeat(np.arange(len(windows_of)), [len(windows) for windows in windows_of])
    right = np.full(len(choice), UNKNOWN if example.label is None else example.label)
    labels = np.stack((choice, right), axis=1).astype(np.int64)  # (W, 2)
    return Encoded(tuple(window for windows in windows_of for window in windows), labels)


def _groups(batch: WindowBatch) -> tuple[Int64s, Int64s, Int64s]:
    """Windows of each choice (C,), choices of each example (E,), and the right choice of each example (E,)."""
    example = batch.example_of_window
    key = np.stack((example, batch.labels[:, 0]))  # (2, W)
    starts = np.flatnonzero(np.concatenate(([True], (np.diff(key) != 0).any(axis=0))))  # (C,) first window of each
    windows_of = np.diff(np.append(starts, len(example)))
    right = batch.labels[np.cumsum(batch.windows_of) - batch.windows_of, 1]
    return windows_of, np.bincount(example[starts]), right


def _rows_and_columns(sizes: Int64s) -> tuple[Int64s, Int64s]:
    """Of each member of groups of these sizes: its group, and its number in it."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return groups, np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _mistake(example: ChoiceExample, answer: Choice) -> Mistake:
    """The more wrong, the less probable the right choice was."""
    right = 0 if example.label is None else example.label
    said = f"{answer.text} ({answer.probabilities[answer.index]:.2f})"
    return Mistake(example.place, example.text, example.choices[right], said, 1 - answer.probabilities[right])
