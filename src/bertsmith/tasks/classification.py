"""Text classification: one label a text or pair, or with `multi_label` any number of them.

The pooled [CLS] of each window gives a logit a label; those of a text's windows are averaged, in training as in
prediction, so that a long text is learned and judged whole.

Letters: P places that the task reads, E examples, O labels.

Reference:
    Devlin et al. 2019, section 4.1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.examples import Labelled, TextExample
from bertsmith.data.labelled.labels import named_labels
from bertsmith.data.labelled.texts import read_classified, stream_texts
from bertsmith.data.windows import Encoded, WindowBatch
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.device import on_device
from bertsmith.tasks.drawing import SHOWN, drawn
from bertsmith.tasks.findings import MOST_WRONG, Findings, Mistake, Table
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.tasks.reader import Float32s
from bertsmith.tasks.sequences import mean_of_groups, windows_of

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 0.5  # of each label's probability, where several may hold
BINARY = ("0", "1")  # labels of which it is known which is the positive one


@dataclass(frozen=True)
class Classification:
    """What a classifier says of a text.

    Attributes:
        labels: the likeliest label; with `multi_label` all whose probability is at least 0.5, likeliest first.
        probabilities: of each label; they sum to 1 unless several labels may hold.
        windows: how many windows the text was read in.
    """

    labels: tuple[str, ...]
    probabilities: dict[str, float]
    windows: int = 1

    @property
    def label(self) -> str:
        """The likeliest label."""
        return max(self.probabilities, key=lambda label: self.probabilities[label])

    def _repr_html_(self) -> str:
        best = sorted(self.probabilities.items(), key=lambda pair: -pair[1])
        return drawn(", ".join(self.labels) or "no label", best[:SHOWN])


class ClassificationTask(FinetuneTask[TextExample, Classification]):
    """See the module."""

    name = "classify"

    @property
    def headline(self) -> str:  # type: ignore[override]
        """The figure by which the best weights are chosen."""
        return "f1_macro" if self.head.multi_label else "accuracy"

    @classmethod
    def read(cls, data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None) -> Labelled[TextExample]:
        return read_classified(data, config, labels=labels)

    stream = staticmethod(stream_texts)

    @classmethod
    def head_for(cls, examples: Sequence[TextExample], config: LabelledConfig, training: FinetuneConfig) -> HeadConfig:
        found = {label for example in examples for label in example.labels or ()}
        labels = named_labels(config) or tuple(sorted(found, key=_natural))
        if len(found) < 2:
            raise CorpusError(
                f"the training examples have {len(found)} label(s) ({', '.join(found) or 'none'}); "
                "a classifier needs at least two. Is --label-column the right one?"
            )
        return HeadConfig(
            task="classify",
            labels=labels,
            multi_label=config.multi_label,
            **training.reading(),
        )

    @classmethod
    def balanced_weights(cls, examples: Sequence[TextExample], head: HeadConfig) -> Float32s | None:
        counts = Counter(label for example in examples for label in example.labels or ())
        total = sum(counts.values())
        return np.array([total / (len(head.labels) * max(1, counts[label])) for label in head.labels], np.float32)

    def encode(self, examples: Sequence[TextExample]) -> list[Encoded]:
        windows = windows_of(self, [example.text for example in examples], [example.pair for example in examples])
        return [Encoded(each, self._targets(example)) for each, example in zip(windows, examples, strict=True)]

    def _targets(self, example: TextExample) -> NDArray[Any]:
        """(1,) the label's id, or (1, O) zeros and ones; empty where it is not known."""
        if example.labels is None:
            return np.empty(0, np.int64)
        ids = [self.head.labels.index(label) for label in example.labels]
        if not self.head.multi_label:
            return np.array(ids[:1], np.int64)
        targets = np.zeros((1, len(self.head.labels)), np.float32)
        targets[0, ids] = 1
        return targets

    def losses(self, logits: Tensor, batch: WindowBatch) -> Tensor:
        from torch.nn import functional as F

        per_window = mean_of_groups(logits, batch.places_of)  # (P, O) -> (W, O)
        per_text = mean_of_groups(per_window, batch.windows_of)  # (W, O) -> (E, O)
        targets = on_device(batch.labels, logits.device)
        weights = None if self.class_weights is None else on_device(self.class_weights, logits.device)
        if not self.head.multi_label:
            return F.cross_entropy(per_text, targets, weight=weights, reduction="sum")
        # The mean over the labels, as in `transformers`.
        return F.binary_cross_entropy_with_logits(per_text, targets, weight=weights, reduction="sum") / logits.shape[1]

    def join(self, example: TextExample, encoded: Encoded, outputs: Sequence[Float32s]) -> Classification:
        # Not np.mean, which takes longer for the one window of a short text than its head does.
        logits = sum(output.mean(axis=0, dtype=np.float64) for output in outputs) / len(outputs)  # (O,)
        if self.head.multi_label:
            values = 1 / (1 + np.exp(-logits))
        else:
            values = np.exp(logits - logits.max())
            values /= values.sum()
        probabilities = dict(zip(self.head.labels, values.tolist(), strict=True))
        by_falling = sorted(self.head.labels, key=lambda label: -probabilities[label])
        chosen = [label for label in by_falling if probabilities[label] >= THRESHOLD]
        return Classification(tuple(chosen if self.head.multi_label else by_falling[:1]), probabilities, len(outputs))

    def score(self, examples: Sequence[TextExample], answers: Sequence[Classification]) -> dict[str, float]:
        from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

        truth, guess = self._indicators(examples, answers)
        figures = {
            "accuracy": accuracy_score(truth, guess),  # with several labels: all of them right
            "f1_macro": f1_score(truth, guess, average="macro", zero_division=0),
            "f1_weighted": f1_score(truth, guess, average="weighted", zero_division=0),
        }
        if self.head.multi_label:
            figures["f1_micro"] = f1_score(truth, guess, average="micro", zero_division=0)
        else:
            one = len({*truth.tolist(), *guess.tolist()}) == 1  # there is no correlation to speak of
            figures["mcc"] = 0.0 if one else matthews_corrcoef(truth, guess)
        if self.head.labels == BINARY and not self.head.multi_label:
            figures["f1"] = f1_score(truth, guess, zero_division=0)  # of label 1, as GLUE counts it
        return {name: float(value) for name, value in figures.items()}

    def _indicators(
        self, examples: Sequence[TextExample], answers: Sequence[Classification]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What is right and what was said: (E,) ids, or with several labels (E, O) zeros and ones."""
        ids = {label: index for index, label in enumerate(self.head.labels)}
        pairs = [[example.labels or () for example in examples], [answer.labels for answer in answers]]
        if not self.head.multi_label:
            truth, guess = (np.array([ids[labels[0]] for labels in side], np.int64) for side in pairs)
            return truth, guess
        both = np.zeros((2, len(examples), len(ids)), np.int64)
        for side, rows in zip(both, pairs, strict=True):
            for row, labels in enumerate(rows):
                side[row, [ids[label] for label in labels]] = 1
        return both[0], both[1]

    def findings(self, examples: Sequence[TextExample], answers: Sequence[Classification]) -> Findings:
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        truth, guess = self._indicators(examples, answers)
        every = list(range(len(self.head.labels)))
        columns = precision_recall_fscore_support(truth, guess, labels=every, zero_division=0)
        rows = tuple(
            (label, float(p), float(r), float(f), int(n))
            for label, p, r, f, n in zip(self.head.labels, *columns, strict=True)
        )
        table = Table("classes", ("label", "precision", "recall", "F1", "examples"), rows)
        confusion = None
        if not self.head.multi_label:
            confusion = (self.head.labels, confusion_matrix(truth, guess, labels=every).astype(np.int64))
        return Findings((table,), confusion, tuple(self._mistakes(examples, answers)))

    def _mistakes(self, examples: Sequence[TextExample], answers: Sequence[Classification]) -> list[Mistake]:
        """The examples whose right labels were given the least probability."""
        wrong = []
        for example, answer in zip(examples, answers, strict=True):
            truth = example.labels or ()
            if set(truth) != set(answer.labels):
                doubt = [
                    answer.probabilities[label] if label in truth else 1 - answer.probabilities[label]
                    for label in {*truth, *answer.labels}
                ]
                text = example.text if example.pair is None else f"{example.text} | {example.pair}"
                said = ", ".join(f"{label} {answer.probabilities[label]:.2f}" for label in answer.labels)
                wrong.append(Mistake(example.place, text, ", ".join(truth), said or "none", 1 - min(doubt)))
        return sorted(wrong, key=lambda mistake: -mistake.badness)[:MOST_WRONG]


def _natural(label: str) -> tuple[bool, float, str]:
    """Numbers by value, before words."""
    number = re.fullmatch(r"-?\d+", label) is not None
    return (not number, float(label) if number else 0.0, label)


class SentimentTask(ClassificationTask):
    """Classification of which the classes are negative and positive, however the data spells them."""

    SPELLINGS: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("0", "neg", "NEG", "Negative", "NEGATIVE"), "negative"),
        **dict.fromkeys(("1", "pos", "POS", "Positive", "POSITIVE"), "positive"),
    }

    @classmethod
    def read(cls, data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None) -> Labelled[TextExample]:
        if labels is not None and not set(cls.SPELLINGS.values()).issuperset(labels):
            return super().read(data, config, labels=labels)
        allowed = None if labels is None else (*labels, *cls.SPELLINGS)
        read = read_classified(data, config, labels=allowed)
        found = {label for example in read.examples for label in example.labels or ()}
        if not found <= {*cls.SPELLINGS, *cls.SPELLINGS.values()}:
            return read  # other classes, such as stars: as they are
        renamed = [
            replace(
                example, labels=example.labels and tuple(cls.SPELLINGS.get(label, label) for label in example.labels)
            )
            for example in read.examples
        ]
        return replace(read, examples=renamed)
