"""A text -> its explanation, by a model that was fine-tuned or was not.

Letters: T tokens, P places that a task reads, O its outputs.
"""

from __future__ import annotations

from typing import Any

import torch

from bertsmith.data.windows import Encoded, Window
from bertsmith.errors import InputError
from bertsmith.explain.explanation import Explanation
from bertsmith.explain.heads import Floats, TaskSteps, array, before_outputs, read_by_head, read_lens
from bertsmith.explain.hidden_words import hide_each_word
from bertsmith.explain.reading import Reader, with_hidden_words
from bertsmith.explain.recording import Pass, Recording, places, record, run
from bertsmith.explain.targets import evidence_of_answer, evidence_of_masks
from bertsmith.model.bert import Bert
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.text.wordpiece import WordPiece


def explain_masked(
    bert: Bert,
    tokenizer: WordPiece,
    text: str,
    pair: str | None,
    *,
    model: str,
    top_k: int,
    evidence: bool,
    hidden_words: bool,
) -> Explanation:
    """Explain what a model that was not fine-tuned makes of a text or pair.

    Raises:
        InputError: the text is longer than the model, or `top_k` is below 1.
    """
    if top_k < 1:
        raise InputError(f"top_k is {top_k}; at least 1 guess a token is needed")
    tokens = Reader(tokenizer).text(text, pair)
    _check_length(len(tokens), bert.config.max_position_embeddings)
    made = run(bert, tokens)
    texts = [each for each in (text, pair) if each is not None]
    recording = record(bert, tokenizer, tokens, texts, model=model, top_k=top_k, made=made)
    if bert.masked_lm is None:
        return Explanation(recording, tokenizer.tokens)
    watched = places(recording.masked or range(len(tokens)))
    with torch.no_grad():
        outputs = [made.embeddings.normed[0], *(layer.output[0] for layer in made.layers)]
        lens = read_lens(bert, outputs, watched, top_k=top_k, vocab_size=tokenizer.vocab_size)
    found = evidence_of_masks(bert, made, recording, tokenizer) if evidence else ()
    hidden = hide_each_word(bert, tokenizer, tokens, top_k=top_k) if hidden_words else ()
    return Explanation(recording, tokenizer.tokens, lens, hidden, found)


def explain_task(bert: Bert, task: FinetuneTask[Any, Any], example: Any, *, model: str, evidence: bool) -> Explanation:
    """Explain what a fine-tuned model says of an example of its task; each [MASK] in its texts hides a word.

    Raises:
        InputError: the example is read in several windows.
    """
    example = with_hidden_words(example, task.tokenizer.tokens[task.tokenizer.mask_id])
    encoded, answer = _answered(bert, task, example)
    choice = getattr(answer, "index", 0)
    tokens = Reader(task.tokenizer).example(example, choice)
    made = run(bert, tokens)
    steps = _task_steps(bert, made, encoded, example, choice, answer)
    texts = _texts_of(example, choice)
    recording = record(bert, task.tokenizer, tokens, texts, model=model, top_k=1, task=steps, made=made)
    found = evidence_of_answer(bert, made, recording, steps) if evidence else ()
    return Explanation(recording, task.tokenizer.tokens, evidence=found)


def record_beside(
    bert: Bert, tokenizer: WordPiece, task: FinetuneTask[Any, Any] | None, shown: Recording, *, model: str
) -> Explanation:
    """What another model makes of the tokens of a recording; its own answer too, where it is for the same task.

    Args:
        bert: the other model.
        tokenizer: its own.
        task: what it was fine-tuned for; None where it was not.
        shown: the recording.
        model: what to call the other.
    """
    made, steps = run(bert, shown.tokens), None
    if task is not None and shown.task is not None and task.name == shown.task.name:
        encoded, answer = _answered(bert, task, shown.task.example)
        steps = _task_steps(bert, made, encoded, shown.task.example, shown.task.choice, answer)
    top_k = 1 if shown.masked_lm is None else shown.masked_lm.ids.shape[1]
    recording = record(bert, tokenizer, shown.tokens, shown.texts, model=model, top_k=top_k, task=steps, made=made)
    return Explanation(recording, tokenizer.tokens)


def _answered(bert: Bert, task: FinetuneTask[Any, Any], example: Any) -> tuple[Encoded, Any]:
    """An example as windows, and the answer to it."""
    task = task.reading_masks()
    (encoded,) = task.encode([example])
    if task.slides(encoded):
        raise InputError(
            f"the text is longer than the {task.window_tokens} tokens that the model reads at once, and one window is "
            "explained at a time: shorten the text"
        )
    return encoded, task.join(example, encoded, [_task_logits(bert, window) for window in encoded.windows])


def _texts_of(example: Any, choice: int) -> list[str]:
    """The one or two texts that tokens count their characters in."""
    if hasattr(example, "question"):
        return [example.question, example.context]
    if hasattr(example, "choices"):
        return [example.text, example.choices[choice]]
    pair = getattr(example, "pair", None)
    return [example.text] if pair is None else [example.text, pair]


def _check_length(tokens: int, longest: int) -> None:
    if tokens > longest:
        raise InputError(
            f"the text has {tokens} tokens with [CLS] and [SEP], and the model reads {longest}: shorten the text"
        )


@torch.no_grad()
def _task_logits(bert: Bert, window: Window) -> Floats:
    """(p, O) of one window, by the model's own way."""
    rows = torch.from_numpy(window.input_ids).long().to(bert.device)[None]
    read = bert.head_input(
        rows,
        token_type_ids=torch.from_numpy(window.token_type_ids).long().to(bert.device)[None],
        position_ids=torch.arange(rows.shape[1], device=bert.device)[None],
        sequence_ids=None,
        places=torch.from_numpy(window.places).long().to(bert.device),
    )
    return array(bert.task_logits(read))


@torch.no_grad()
def _task_steps(bert: Bert, made: Pass, encoded: Encoded, example: Any, choice: int, answer: Any) -> TaskSteps:
    at = places(encoded.windows[choice].places.tolist())
    read = read_by_head(bert, made.states)[0, torch.from_numpy(at).to(bert.device)]  # (P, D)
    assert bert.head is not None
    return TaskSteps(
        name=bert.head.task,
        labels=bert.head.labels,
        places=at,
        read=array(before_outputs(bert, read)),
        logits=array(bert.task_logits(read)),
        answer=answer,
        example=example,
        choice=choice,
    )
