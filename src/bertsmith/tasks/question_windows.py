"""A question and its context -> windows `[CLS] question [SEP] part of the context [SEP]`, and where the answer is.

Letters: W windows, T tokens of a context.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.labelled.examples import BadExamples, QuestionExample
from bertsmith.data.windows import Encoded, Window, sliding_windows
from bertsmith.text.offsets import OffsetEncoder
from bertsmith.text.streams import BadInputs
from bertsmith.text.wordpiece import WordPiece

MAX_ANSWER_TOKENS = 30  # of an answer that is given

Int32s = NDArray[np.int32]


@dataclass(frozen=True)
class EncodedQuestion(Encoded):
    """A question and its context as windows.

    Attributes:
        offsets: (T, 2) the first character of each token of the context, and the one after its last.
        parts: W ranges, the tokens of the context in each window.
    """

    offsets: Int32s
    parts: tuple[range, ...]


class QuestionWindows:
    """Cuts contexts into windows that overlap; the question is in each.

    Args:
        tokenizer: the model's.
        window_tokens: longest window; a question may fill half of it.
        overlap_tokens: that neighbours share; None for what lets no answer be cut by two edges.
    """

    def __init__(self, tokenizer: WordPiece, window_tokens: int, overlap_tokens: int | None) -> None:
        self.tokenizer, self.window_tokens, self.overlap_tokens = tokenizer, window_tokens, overlap_tokens
        self._offsets = OffsetEncoder(tokenizer)

    def fitting(self, examples: Sequence[QuestionExample], bad: BadInputs) -> list[QuestionExample]:
        """Those questions that leave room for their contexts; the others are reported."""
        pairs = zip(examples, self._questions(examples), strict=True)
        return [example for example, question in pairs if self._leaves_room(example, question, bad)]

    def _leaves_room(self, example: QuestionExample, question: Int32s, bad: BadInputs) -> bool:
        """Whether a question lets enough of its context into a window; reported if not."""
        most = self.window_tokens // 2
        if len(question) > most:
            bad.report(
                example.place or "a question",
                f"the question has {len(question):,} tokens, and in windows of {self.window_tokens} at most {most} "
                f'leave room for the context ("{example.question[:40]}…")',
                remedy="Shorten it, leave it out with --on-bad-input skip, or fine-tune with --max-length-tokens.",
            )
        return len(question) <= most

    def _questions(self, examples: Sequence[QuestionExample]) -> list[Int32s]:
        """The tokens of each question."""
        flat, lengths = self.tokenizer.encode_sentences([example.question for example in examples])
        return np.split(flat, np.cumsum(lengths)[:-1]) if examples else []

    def of(self, examples: Sequence[QuestionExample]) -> list[EncodedQuestion]:
        """The windows of each question, and where in them its answer is.

        Raises:
            CorpusError: a question leaves no room for its context.
        """
        contexts = list(dict.fromkeys(example.context for example in examples))
        encoded = dict(zip(contexts, self._offsets.encode(contexts), strict=True))
        return [
            self._encoded(example, question, *encoded[example.context])
            for example, question in zip(examples, self._questions(examples), strict=True)
        ]

    def _encoded(self, example: QuestionExample, question: Int32s, context: Int32s, offsets: Int32s) -> EncodedQuestion:
        self._leaves_room(example, question, BadExamples("stop", []))
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
        if self.overlap_tokens is not None:
            return min(self.overlap_tokens, room - 1)
        return max(room // 4, min(2 * MAX_ANSWER_TOKENS, room // 2))


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
