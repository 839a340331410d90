"""Extractive question answering: the span of the context that answers a question, or that there is none.

A window is `[CLS] question [SEP] part of the context [SEP]`. The head gives each token of the part, and [CLS], a logit
for being the answer's first token and one for being its last; [CLS] stands for "no answer here".

Letters: W windows, P places that the task reads, p those of one window, T tokens of a context, E examples.

Reference:
    Devlin et al. 2019, sections 4.2 and 4.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import category

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bertsmith.config import FinetuneConfig, HeadConfig, LabelledConfig
from bertsmith.data.labelled.examples import Labelled, QuestionExample
from bertsmith.data.labelled.questions import read_questions
from bertsmith.data.windows import Encoded, Window, WindowBatch, sliding_windows
from bertsmith.errors import CorpusError
from bertsmith.tasks.finetuning import Findings, FinetuneTask, Float32s
from bertsmith.tasks.question_findings import question_findings
from bertsmith.tasks.span_search import Spans, best_spans
from bertsmith.tasks.squad_score import answer_scores, best_threshold, squad_figures
from bertsmith.text.offsets import OffsetEncoder
from bertsmith.text.wordpiece import WordPiece

WINDOW_TOKENS = 384  # where nothing else is asked for, as in BERT's own runs
MAX_ANSWER_TOKENS = 30  # of an answer that is given
ALTERNATIVES = 5
_CANDIDATES = 20  # spans among which the alternatives are found: neighbours often have the same text
_NO_SPAN_GAP = 1e9  # null gap of a context without a single token, for files of null odds

Int32s = NDArray[np.int32]


@dataclass(frozen=True)
class Span:
    """A part of a context.

    Attributes:
        text: `context[start:end]`.
        start, end: its first character and the one after its last.
        score: its probability: exp(start logit + end logit), as a share of the sum over all spans of at most
            MAX_ANSWER_TOKENS tokens and, for a model that may give no answer, over "no answer".
    """

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class AnswerSpan(Span):
    """The answer to a question.

    Attributes:
        no_answer: the context has none; the text is empty, and the score that of "no answer".
        null_gap: by how much the logit of "no answer" is above that of the best span; None where the context has
            not a single token.
        alternatives: other answers of other texts, likeliest first; where no answer is given, the best span too.
        windows: how many windows the context was read in.
    """

    no_answer: bool = False
    null_gap: float | None = None
    alternatives: tuple[Span, ...] = ()
    windows: int = 1

    @property
    def best_span(self) -> str:
        """The text of the best span, also where no answer is given."""
        return self.alternatives[0].text if self.no_answer and self.alternatives else self.text


@dataclass(frozen=True)
class EncodedQuestion(Encoded):
    """A question and its context as windows.

    Attributes:
        offsets: (T, 2) the first character of each token of the context, and the one after its last.
        parts: W ranges, the tokens of the context in each window.
    """

    offsets: Int32s
    parts: tuple[range, ...]


class QuestionAnsweringTask(FinetuneTask[QuestionExample, AnswerSpan]):
    """See the module."""

    name = "answer"
    headline = "f1"

    def __init__(
        self, head: HeadConfig, tokenizer: WordPiece, *, longest: int, class_weights: Float32s | None = None
    ) -> None:
        super().__init__(head, tokenizer, longest=longest, class_weights=class_weights)
        if head.max_length_tokens is None:
            self.window_tokens = min(WINDOW_TOKENS, longest)
        self._offsets = OffsetEncoder(tokenizer)

    @classmethod
    def read(
        cls, data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None, labelled: bool = True
    ) -> Labelled[QuestionExample]:
        return read_questions(data, config, labels=labels, labelled=labelled)

    @classmethod
    def head_for(
        cls, examples: Sequence[QuestionExample], config: LabelledConfig, training: FinetuneConfig
    ) -> HeadConfig:
        if not any(example.answers for example in examples):
            raise CorpusError(
                "no training question has an answer, so there is nothing to learn. Are these the right files?"
            )
        return HeadConfig(
            task="answer",
            feature_layers=training.feature_layers,
            max_length_tokens=training.max_length_tokens,
            overlap_tokens=training.overlap_tokens,
            no_answer_threshold=None if all(example.answers for example in examples) else 0.0,
        )

    @staticmethod
    def group_of(example: QuestionExample) -> object:
        return example.context

    # Examples -> windows.

    def encode(self, examples: Sequence[QuestionExample]) -> list[Encoded]:
        contexts = list(dict.fromkeys(example.context for example in examples))
        encoded = dict(zip(contexts, self._offsets.encode(contexts), strict=True))
        flat, lengths = self.tokenizer.encode_sentences([example.question for example in examples])
        questions = np.split(flat, np.cumsum(lengths)[:-1]) if examples else []
        return [
            self._encoded(example, question, *encoded[example.context])
            for example, question in zip(examples, questions, strict=True)
        ]

    def _encoded(self, example: QuestionExample, question: Int32s, context: Int32s, offsets: Int32s) -> EncodedQuestion:
        if len(question) > self.window_tokens // 2:
            raise CorpusError(
                f"{example.place or 'a question'}: the question has {len(question):,} tokens, and in windows of "
                f"{self.window_tokens} at most {self.window_tokens // 2} leave room for the context. Shorten it "
                f'("{example.question[:40]}…"), or give longer windows with --max-length-tokens.'
            )
        before = np.concatenate(([self.tokenizer.cls_id], question, [self.tokenizer.sep_id])).astype(np.int32)
        room = self.window_tokens - len(before) - 1
        parts = tuple(sliding_windows(len(context), room, self._overlap(room)))
        shown = len(parts[0])  # all are equally long
        types = np.zeros(len(before) + shown + 1, np.uint8)
        types[len(before) :] = 1
        places = np.arange(len(before) - 1, len(before) + shown, dtype=np.int32)
        places[0] = 0  # [CLS]
        after = np.array([self.tokenizer.sep_id], np.int32)
        windows = tuple(
            Window(np.concatenate((before, context[part.start : part.stop], after)), types, places) for part in parts
        )
        return EncodedQuestion(windows, _targets(example, offsets, parts), offsets, parts)

    def _overlap(self, room: int) -> int:
        """By default a quarter; more in short windows, so that no answer that may be given is cut by two edges."""
        if self.head.overlap_tokens is not None:
            return min(self.head.overlap_tokens, room - 1)
        return max(room // 4, min(2 * MAX_ANSWER_TOKENS, room // 2))

    # Windows -> loss.

    def losses(self, logits: Tensor, batch: WindowBatch) -> Tensor:
        places_of = torch.from_numpy(batch.places_of).to(logits.device)
        count = len(batch.places_of)
        window = torch.repeat_interleave(torch.arange(count, device=logits.device), places_of)  # (P,)
        first = torch.cumsum(places_of, 0) - places_of
        place = torch.arange(len(logits), device=logits.device) - first[window]
        # (P, 2) -> (W, longest, 2); what is not there is impossible.
        ragged = logits.new_full((count, int(batch.places_of.max()), 2), -torch.inf)
        ragged = ragged.index_put((window, place), logits)
        targets = torch.from_numpy(batch.labels).to(logits.device)
        return F.cross_entropy(ragged, targets, reduction="sum") / 2  # the mean of first and last token

    def loss_counts(self, batch: WindowBatch) -> dict[str, int]:
        return {"task": len(batch.places_of)}

    # Logits -> answers.

    def join(self, example: QuestionExample, encoded: Encoded, outputs: Sequence[Float32s]) -> AnswerSpan:
        assert isinstance(encoded, EncodedQuestion)  # `encode` made it
        spans = best_spans(outputs, encoded.parts, longest=MAX_ANSWER_TOKENS, count=_CANDIDATES)
        if not len(spans.logits):
            return AnswerSpan("", 0, 0, score=1.0, no_answer=True, windows=len(outputs))
        may_be_none = self.head.no_answer_threshold is not None
        total = float(np.logaddexp(spans.log_sum, spans.null)) if may_be_none else spans.log_sum
        best, *others = _texts(example.context, encoded.offsets, spans, total)
        gap = spans.null - float(spans.logits[0])
        if self.head.no_answer_threshold is not None and gap > self.head.no_answer_threshold:
            alternatives = tuple([best, *others][:ALTERNATIVES])
            return AnswerSpan("", 0, 0, float(np.exp(spans.null - total)), True, gap, alternatives, len(outputs))
        return AnswerSpan(
            best.text, best.start, best.end, best.score, False, gap, tuple(others[:ALTERNATIVES]), len(outputs)
        )

    # Answers -> figures.

    def score(self, examples: Sequence[QuestionExample], answers: Sequence[AnswerSpan]) -> dict[str, float]:
        examples, answers = _known(examples, answers)
        gaps = [_gap(answer) for answer in answers]
        return squad_figures([answer.text for answer in answers], _right(examples), gaps)

    def tuned(self, examples: Sequence[QuestionExample], answers: Sequence[AnswerSpan]) -> HeadConfig:
        """With the threshold of the best F1, where some questions have no answer."""
        examples, answers = _known(examples, answers)
        right = _right(examples)
        if all(right):
            return self.head
        gaps = [_gap(answer) for answer in answers]
        said = [answer.best_span for answer in answers]
        _, threshold = best_threshold(
            answer_scores(said, right)[1], said, gaps, np.array([bool(golds) for golds in right])
        )
        return self.head.but(no_answer_threshold=min(gaps) - 1.0 if threshold is None else threshold)

    def predictions(
        self, examples: Sequence[QuestionExample], answers: Sequence[AnswerSpan]
    ) -> tuple[dict[str, str], dict[str, float]]:
        """What the official scripts read: the answer to each question by its id, and the odds of no answer."""
        ids = [example.id for example in examples]
        said = dict(zip(ids, (answer.text for answer in answers), strict=True))
        return said, dict(zip(ids, map(_gap, answers), strict=True))

    def findings(self, examples: Sequence[QuestionExample], answers: Sequence[AnswerSpan]) -> Findings:
        examples, answers = _known(examples, answers)
        said = [answer.text for answer in answers]
        exact, f1 = answer_scores(said, _right(examples))
        return question_findings(examples, said, [answer.score for answer in answers], exact, f1)


def _targets(example: QuestionExample, offsets: Int32s, parts: Sequence[range]) -> NDArray[np.int64]:
    """(W, 2) which of the window's places hold the answer's first and last token; [CLS] where not both are there.

    Of several right answers the one that was given most often, and the first of those.
    """
    if example.answers is None:
        return np.empty((0, 2), np.int64)
    targets = np.zeros((len(parts), 2), np.int64)
    if not example.answers:
        return targets
    answer = Counter(example.answers).most_common(1)[0][0]
    first = int(np.searchsorted(offsets[:, 1], answer.start, side="right"))  # the first that ends behind its start
    last = int(np.searchsorted(offsets[:, 0], answer.start + len(answer.text), side="left")) - 1
    for target, part in zip(targets, parts, strict=True):
        if part.start <= first <= last < part.stop:
            target[:] = first - part.start + 1, last - part.start + 1
    return targets


def _texts(context: str, offsets: Int32s, spans: Spans, log_total: float) -> list[Span]:
    """The best spans, one of each text."""
    found: dict[str, Span] = {}
    for first, last, logit in zip(spans.first, spans.last, spans.logits, strict=True):
        start, end = int(offsets[first, 0]), int(offsets[last, 1])
        while end < len(context) and category(context[end]).startswith("M"):
            end += 1  # an accent of its own, which uncased tokenizers drop
        text = context[start:end]
        found.setdefault(text, Span(text, start, end, float(np.exp(logit - log_total))))
    return list(found.values())


def _known(
    examples: Sequence[QuestionExample], answers: Sequence[AnswerSpan]
) -> tuple[list[QuestionExample], list[AnswerSpan]]:
    """Those questions whose right answers are known."""
    pairs = [pair for pair in zip(examples, answers, strict=True) if pair[0].answers is not None]
    return [example for example, _ in pairs], [answer for _, answer in pairs]


def _right(examples: Sequence[QuestionExample]) -> list[list[str]]:
    return [[answer.text for answer in example.answers or ()] for example in examples]


def _gap(answer: AnswerSpan) -> float:
    return _NO_SPAN_GAP if answer.null_gap is None else answer.null_gap
