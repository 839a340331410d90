"""What evidence is sought for: the guess at each [MASK], or what a fine-tuned model says.

Letters: B rows, D hidden width, p places of one output, O outputs of a task.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bertsmith.explain.evidence import Evidence, Output, find_evidence
from bertsmith.explain.heads import TaskSteps, read_by_head
from bertsmith.explain.recording import Pass, Recording
from bertsmith.model.bert import Bert
from bertsmith.text.wordpiece import WordPiece

MOST_TARGETS = 4


def evidence_of_masks(bert: Bert, made: Pass, recording: Recording, tokenizer: WordPiece) -> tuple[Evidence, ...]:
    """For the likeliest guess at each [MASK]."""
    assert recording.masked_lm is not None
    found = []
    for place in recording.masked[:MOST_TARGETS]:
        guess = int(recording.masked_lm.ids[place, 0])
        output = _guess_logit(bert, place, guess)
        target = f"logit of “{tokenizer.tokens[guess]}” at [MASK]"
        found.append(find_evidence(bert, made, output, target=target, place=place, mask_id=tokenizer.mask_id))
    return tuple(found)


def _guess_logit(bert: Bert, place: int, token_id: int) -> Output:
    def output(states: Sequence[Tensor]) -> Tensor:
        read, rows, biases = bert.masked_lm_product(states[-1][:, place])
        return read @ rows[token_id] + biases[token_id]

    return output


def evidence_of_answer(bert: Bert, made: Pass, recording: Recording, steps: TaskSteps) -> tuple[Evidence, ...]:
    """For what a fine-tuned model says: its label or score, its answer's ends, its spans."""
    found = []
    for target, chosen in _targets(recording, steps)[:MOST_TARGETS]:
        output = _mean_logit(bert, steps, chosen)
        place = int(steps.places[chosen[0][0]])
        found.append(find_evidence(bert, made, output, target=target, place=place, mask_id=recording.mask_id))
    return tuple(found)


def _targets(recording: Recording, steps: TaskSteps) -> list[tuple[str, list[tuple[int, int]]]]:
    """Outputs to explain: a name, and which logits (of which place, of which output) it is the mean of."""
    answer, every = steps.answer, range(len(steps.places))
    if steps.name == "classify":
        index = steps.labels.index(answer.label)
        return [(f"logit of “{answer.label}”", [(place, index) for place in every])]
    if steps.name == "answer":
        if answer.no_answer:
            return [("no answer: mean of both logits at [CLS]", [(0, 0), (0, 1)])]
        return [
            (
                f"answer “{answer.text}”: mean of first and last logit",
                list(zip(_ends(recording, steps), (0, 1), strict=True)),
            )
        ]
    if steps.name == "tag":
        return [
            (f"logits of “{span.label}” over “{span.text}”", _logits_of_span(recording, steps, span.start, span.end))
            for span in answer.spans
        ]
    return [("score" if steps.name == "regress" else f"score of “{answer.text}”", [(place, 0) for place in every])]


def _ends(recording: Recording, steps: TaskSteps) -> tuple[int, int]:
    """Which of the places hold the answer's first and last token."""
    answer = steps.answer
    inside = [
        index
        for index, place in enumerate(steps.places)
        if (token := recording.tokens[place]).segment == 1 and answer.start < token.end and token.start < answer.end
    ]
    return inside[0], inside[-1]


def _logits_of_span(recording: Recording, steps: TaskSteps, start: int, end: int) -> list[tuple[int, int]]:
    """The places of a span's words, each with its likeliest tag's output."""
    words = [i for i, place in enumerate(steps.places) if start <= recording.tokens[place].start < end]
    labels = {label: index for index, label in enumerate(steps.labels)}
    return [(word, labels.get(steps.answer.tags[word], int(steps.logits[word].argmax()))) for word in words]


def _mean_logit(bert: Bert, steps: TaskSteps, chosen: Sequence[tuple[int, int]]) -> Output:
    at = torch.tensor([int(steps.places[place]) for place, _ in chosen], device=bert.device)
    outputs = torch.tensor([output for _, output in chosen], device=bert.device)

    def output(states: Sequence[Tensor]) -> Tensor:
        read = read_by_head(bert, states)[:, at]  # (B, p, D)
        logits = bert.task_logits(read.flatten(0, 1)).view(*read.shape[:2], -1)  # (B, p, O)
        picked = logits.gather(2, outputs.expand(len(logits), -1)[..., None])
        return picked[..., 0].mean(1)

    return output
