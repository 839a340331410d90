"""Extractive question answering: the span of the context that answers a question, or that there is none.

A window is `[CLS] question [SEP] part of the context [SEP]` (`question_windows.py`). The head gives each token of the
part, and [CLS], a logit for being the answer's first token and one for being its last; [CLS] stands for "no answer
here".

Letters: W windows, P places that the task reads, p those of one window, T tokens of a context, E examples.

Reference:
    Devlin et al. 2019, sections 4.2 and 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.examples import Labelled, QuestionExample
from bertsmith.data.labelled.questions import read_questions, stream_questions
from bertsmith.data.windows import Encoded, WindowBatch
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.device import on_device
from bertsmith.tasks.drawing import drawn
from bertsmith.tasks.findings import Findings
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.tasks.question_findings import question_findings
from bertsmith.tasks.question_windows import MAX_ANSWER_TOKENS, EncodedQuestion, QuestionWindows
from bertsmith.tasks.reader import Float32s
from bertsmith.tasks.span_search import Spans, best_spans
from bertsmith.tasks.squad_score import answer_scores, best_threshold, squad_figures
from bertsmith.text.streams import BadInputs
from bertsmith.text.wordpiece import WordPiece

if TYPE_CHECKING:
    from torch import Tensor

WINDOW_TOKENS = 384  # where nothing else is asked for, as in BERT's own runs
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

    def _repr_html_(self) -> str:
        said = "no answer in this text" if self.no_answer else self.text
        return drawn(said, [(said, self.score), *((span.text, span.score) for span in self.alternatives)])


class QuestionAnsweringTask(FinetuneTask[QuestionExample, AnswerSpan]):
    """See the module."""

    name = "answer"
    headline = "f1"
    figure_scale = 100.0  # as the official script tells it

    def __init__(
        self, head: HeadConfig, tokenizer: WordPiece, *, longest: int, class_weights: Float32s | None = None
    ) -> None:
        super().__init__(head, tokenizer, longest=longest, class_weights=class_weights)
        if head.max_length_tokens is None:
            self.window_tokens = min(WINDOW_TOKENS, longest)
        self._windows = QuestionWindows(tokenizer, self.window_tokens, head.overlap_tokens)

    @classmethod
    def read(
        cls, data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None
    ) -> Labelled[QuestionExample]:
        return read_questions(data, config, labels=labels)

    stream = staticmethod(stream_questions)

    @classmethod
    def head_for(
        cls, examples: Sequence[QuestionExample], config: LabelledConfig, training: FinetuneConfig
    ) -> HeadConfig:
        if not any(example.answers for example in examples):
            raise CorpusError(
                "no training question has an answer, so there is nothing to learn. Are these the right files?"
            )
        threshold = None if all(example.answers for example in examples) else 0.0
        return HeadConfig(task="answer", no_answer_threshold=threshold, **training.reading())

    @staticmethod
    def group_of(example: QuestionExample) -> object:
        return example.context

    # Examples -> windows.

    def fitting(self, examples: Sequence[QuestionExample], bad: BadInputs) -> Sequence[QuestionExample]:
        return self._windows.fitting(examples, bad)

    def encode(self, examples: Sequence[QuestionExample]) -> list[Encoded]:
        return list(self._windows.of(examples))

    # Windows -> loss.

    def losses(self, logits: Tensor, batch: WindowBatch) -> Tensor:
        import torch
        from torch.nn import functional as F

        places_of = on_device(batch.places_of, logits.device)
        count = len(batch.places_of)
        window = torch.repeat_interleave(  # (P,)
            torch.arange(count, device=logits.device), places_of, output_size=len(logits)
        )
        first = torch.cumsum(places_of, 0) - places_of
        place = torch.arange(len(logits), device=logits.device) - first[window]
        # (P, 2) -> (W, longest, 2); what is not there is impossible.
        ragged = logits.new_full((count, int(batch.places_of.max()), 2), -torch.inf)
        ragged = ragged.index_put((window, place), logits)
        targets = on_device(batch.labels, logits.device)
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
        return squad_figures([answer.text for answer in answers], _right(examples), list(map(_gap, answers)))

    def tuned(self, examples: Sequence[QuestionExample], answers: Sequence[AnswerSpan]) -> HeadConfig:
        """With the threshold of the best F1, where some questions have no answer."""
        examples, answers = _known(examples, answers)
        right = _right(examples)
        if all(right):
            return self.head
        gaps = [_gap(answer) for answer in answers]
        said = [answer.best_span for answer in answers]
        f1, answered = answer_scores(said, right)[1], np.array([bool(golds) for golds in right])
        _, threshold = best_threshold(f1, said, gaps, answered)
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
