"""Tagging: a tag for each word, such as its part of speech, or whether a name begins or goes on there.

The first WordPiece of each word is read. A long text slides through in windows that cut no word; each word is learned
and tagged in the window that sees most around it.

Letters: P places that the task reads, N words, O labels, W windows.

Reference:
    Devlin et al. 2019, section 5.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.examples import Labelled, TaggedText
from bertsmith.data.labelled.labels import named_labels
from bertsmith.data.labelled.schemes import has_spans, span_type
from bertsmith.data.labelled.words import read_tagged, stream_words, tagged_text
from bertsmith.data.windows import Encoded, WindowBatch
from bertsmith.data.word_windows import first_piece_windows
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.device import on_device
from bertsmith.tasks.drawing import drawn
from bertsmith.tasks.findings import Findings
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.tasks.reader import Float32s
from bertsmith.tasks.tag_decoding import TagDecoder, marked_spans
from bertsmith.tasks.tag_scores import scores_of_plain_tags, scores_of_spans, tag_findings
from bertsmith.text.wordpiece import WordPiece

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TaggedSpan", "Tagging", "TaggingTask", "tagged_text"]


@dataclass(frozen=True)
class TaggedSpan:
    """What tags mark: a name of several words, or with plain tags a word.

    Attributes:
        label: its type, or the tag.
        start, end: in characters of the text.
        text: what stands there.
        score: mean probability of its words' tags.
    """

    label: str
    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True)
class Tagging:
    """What a tagger says of a text.

    Attributes:
        tags: one a word; strict BIO, or plain.
        spans: what they mark, in order.
        probabilities: (N,) of the tags.
        right: (N,) probabilities of the tags that the example has; empty where it has none.
        windows: how many windows the text was read in.
    """

    tags: tuple[str, ...]
    spans: tuple[TaggedSpan, ...]
    probabilities: tuple[float, ...]
    right: tuple[float, ...] = ()
    windows: int = 1

    def _repr_html_(self) -> str:
        found = f"{len(self.spans)} found" if self.spans else "nothing is marked"
        return drawn(found, [(f"{span.text} ({span.label})", span.score) for span in self.spans])


class TaggingTask(FinetuneTask[TaggedText, Tagging]):
    """See the module."""

    name = "tag"

    def __init__(
        self, head: HeadConfig, tokenizer: WordPiece, *, longest: int, class_weights: Float32s | None = None
    ) -> None:
        super().__init__(head, tokenizer, longest=longest, class_weights=class_weights)
        self._decoder = TagDecoder(head.labels)
        self._ids = _ids_of_tags(head.labels)

    @property
    def headline(self) -> str:  # type: ignore[override]
        """The figure by which the best weights are chosen."""
        return "f1" if self._decoder.spans else "accuracy"

    @classmethod
    def read(cls, data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None) -> Labelled[TaggedText]:
        return read_tagged(data, config, labels=labels)

    stream = staticmethod(stream_words)

    @classmethod
    def head_for(cls, examples: Sequence[TaggedText], config: LabelledConfig, training: FinetuneConfig) -> HeadConfig:
        tags = _counts(examples)
        named = {span_type(label) or label for label in named_labels(config) or () if label != "O"}
        types = sorted({kind for tag in tags if (kind := span_type(tag)) is not None})
        types = sorted({*types, *named}) if types else types
        if types:
            labels = ("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))
        else:
            labels = tuple(sorted({*tags, *named}, key=lambda tag: (tag != "O", tag)))
        if len(labels) < 2:
            raise CorpusError(
                f"the training examples have {len(labels)} different tag(s) ({', '.join(labels) or 'none'}); "
                "a tagger needs at least two. Is --label-column the right one?"
            )
        return HeadConfig(task="tag", labels=labels, **training.reading())

    @classmethod
    def balanced_weights(cls, examples: Sequence[TaggedText], head: HeadConfig) -> Float32s | None:
        counts = _counts(examples)
        there = sum(counts[label] > 0 for label in head.labels)
        total = sum(counts[label] for label in head.labels)
        return np.array([total / (there * max(1, counts[label])) for label in head.labels], np.float32)

    def encode(self, examples: Sequence[TaggedText]) -> list[Encoded]:
        words = [example.text[start:end] for example in examples for start, end in example.words]
        flat, lengths = self.tokenizer.encode_sentences(words)
        if len(lengths) and lengths.min() == 0:
            # A word of which the tokenizer leaves nothing is still to be tagged: it is read as an unknown one.
            flat = np.insert(flat, (np.cumsum(lengths) - lengths)[lengths == 0], self.tokenizer.unk_id)
            lengths = np.maximum(lengths, 1)
        starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        encoded, first = [], 0
        for example in examples:
            own = starts[first : first + len(example.words) + 1]
            windows = first_piece_windows(
                flat[own[0] : own[-1]],
                own - own[0],
                ends=(self.tokenizer.cls_id, self.tokenizer.sep_id),
                window_tokens=self.window_tokens,
                overlap_tokens=self.head.overlap_tokens,
            )
            encoded.append(Encoded(windows, self._targets(example)))
            first += len(example.words)
        return encoded

    def _targets(self, example: TaggedText) -> NDArray[np.int64]:
        """(N,) the tags' ids; empty where they are not known."""
        return np.array([self._ids[tag] for tag in example.tags or ()], np.int64)

    def losses(self, logits: Tensor, batch: WindowBatch) -> Tensor:
        from torch.nn import functional as F

        targets = on_device(batch.labels, logits.device)  # (P,), as the places
        weights = None if self.class_weights is None else on_device(self.class_weights, logits.device)
        return F.cross_entropy(logits, targets, weight=weights, reduction="sum")

    def loss_counts(self, batch: WindowBatch) -> dict[str, int]:
        return {"task": len(batch.labels)}

    def join(self, example: TaggedText, encoded: Encoded, outputs: Sequence[Float32s]) -> Tagging:
        logits = np.concatenate(outputs).astype(np.float64)  # (N, O), in the order of the words
        logits -= logits.max(axis=1, keepdims=True)
        scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        tags, ids = self._decoder.choose(scores)
        every = np.arange(len(ids))
        probabilities = np.exp(scores[every, ids])
        right = () if example.tags is None else np.exp(scores[every, encoded.labels]).tolist()
        spans = []
        for span in marked_spans(tags, plain=not self._decoder.spans):
            start, end = example.words[span.start][0], example.words[span.end - 1][1]
            score = float(probabilities[span.start : span.end].mean())
            spans.append(TaggedSpan(span.label, start, end, example.text[start:end], score))
        return Tagging(tags, tuple(spans), tuple(probabilities.tolist()), tuple(right), len(encoded.windows))

    def score(self, examples: Sequence[TaggedText], answers: Sequence[Tagging]) -> dict[str, float]:
        truth, guess = [example.tags or () for example in examples], [answer.tags for answer in answers]
        return scores_of_spans(truth, guess) if self._decoder.spans else scores_of_plain_tags(truth, guess)

    def findings(self, examples: Sequence[TaggedText], answers: Sequence[Tagging]) -> Findings:
        rights = [answer.right for answer in answers]
        return tag_findings(self.head.labels, examples, [answer.tags for answer in answers], rights)


def _counts(examples: Sequence[TaggedText]) -> Counter[str]:
    return Counter(chain.from_iterable(example.tags or () for example in examples))


def _ids_of_tags(labels: Sequence[str]) -> dict[str, int]:
    """The output for each strict BIO tag or plain tag, also of heads that say I- where a span begins."""
    ids = {label: index for index, label in enumerate(labels)}
    if has_spans(labels):
        for label in labels:
            kind = span_type(label)
            for tag in (f"B-{kind}", f"I-{kind}") if kind else ():
                ids.setdefault(tag, ids[label])
    return ids
