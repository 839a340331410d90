"""What can be asked, a row an operation: its body, what the predictor does for it, its answer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bertsmith.data.labelled.examples import ChoiceExample, QuestionExample, TextExample
from bertsmith.explain.predictor import Predictor
from bertsmith.inference.evaluate import answer_values
from bertsmith.server import schemas
from bertsmith.server.explain_schemas import ExplainAnswers, ExplainBody
from bertsmith.server.others import Others
from bertsmith.server.refusals import BadRequestError

# Texts are computed many together. A reading is an explanation of a pass or a few, evidence takes dozens of them: each
# has a thread of its own, so that neither texts nor a reading wait for seconds.
ThreadName = Literal["texts", "reading", "evidence"]


@dataclass(frozen=True)
class Asked:
    """What is computed at once.

    Attributes:
        predictor: the model.
        items: what is asked.
        options: the same for all of it.
        others: what the model may be laid beside.
    """

    predictor: Predictor
    items: Sequence[Any]
    options: Any
    others: Others


@dataclass(frozen=True)
class Operation:
    """One thing that clients ask for.

    Attributes:
        name: in the path, /v1/NAME, and in messages: "my-model cannot NAME".
        summary: for OpenAPI.
        body, answer: their schemas.
        able: whether a model can do it.
        items: what is asked in a body, one by one.
        run: an answer to each item.
        reply: (name of the model, body, answers) -> what the client gets.
        options: what must be the same of all that is computed together.
        thread: of a body, or before it is read of None: the one that computes it.
        field: (body, index) -> where the item stands in it, for messages.
    """

    name: str
    summary: str
    body: type[schemas.Body]
    answer: type[schemas.Answers]
    able: Callable[[Predictor], bool]
    items: Callable[[Any], Sequence[Any]]
    run: Callable[[Asked], Sequence[Any]]
    reply: Callable[[str, Any, Sequence[Any]], schemas.Answers]
    options: Callable[[Any], Hashable] = lambda body: None
    thread: Callable[[Any], ThreadName] = lambda body: "texts"
    field: Callable[[Any, int], str] = lambda body, index: "text" if body.texts is None else f"texts[{index}]"


def cost_of(item: Any) -> int:
    """About how many tokens an item has: a WordPiece is four bytes long, more or less."""
    if isinstance(item, str):
        return 2 + len(item.encode()) // 4
    parts = item if isinstance(item, tuple) else vars(item).values()
    return sum(cost_of(part) for part in parts if isinstance(part, str | tuple))


def _task(name: str) -> Callable[[Predictor], bool]:
    return lambda predictor: predictor.task_name == name


def _text_examples(body: schemas.PairsBody) -> list[TextExample]:
    return [TextExample(text, pair) for text, pair in zip(body.given, body.pairs, strict=True)]


def _predict(asked: Asked) -> list[Any]:
    return list(asked.predictor.predict(asked.items))


def _predictions(answer: Callable[..., schemas.Answers]) -> Callable[[str, Any, Sequence[Any]], schemas.Answers]:
    return lambda model, body, answers: answer(model=model, predictions=answers)


def _values(answer: Callable[..., schemas.Answers]) -> Callable[[str, Any, Sequence[Any]], schemas.Answers]:
    return lambda model, body, answers: answer(model=model, predictions=[answer_values(each) for each in answers])


def _fill(asked: Asked) -> Sequence[Any]:
    pair, top_k, candidates = asked.options
    return asked.predictor.fill_texts(asked.items, pair, top_k=top_k, candidates=candidates)


def _filled(model: str, body: schemas.FillBody, answers: Sequence[Any]) -> schemas.FillAnswers:
    texts = zip(body.given, answers, strict=True)
    filled = [schemas.FilledText(text=text, pair=body.pair, masks=masks) for text, masks in texts]
    return schemas.FillAnswers(model=model, answers=filled)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


def _embedded(model: str, body: schemas.EmbedBody, vectors: Sequence[NDArray[np.float32]]) -> schemas.EmbedAnswers:
    shown = [(_unit(vector) if body.normalize else vector).tolist() for vector in vectors]
    shape = [len(shown), len(shown[0])]
    # Not checked again: they are many, and floats.
    return schemas.EmbedAnswers.model_construct(model=model, shape=shape, pooling=body.pooling, embeddings=shown)


def _embed_and_count(asked: Asked) -> list[tuple[Any, int]]:
    """Vectors, and the tokens of each text, which OpenAI's shape tells."""
    lengths = asked.predictor.tokenizer.encode_sentences(list(asked.items))[1] + 2
    return list(zip(asked.predictor.embed(asked.items), lengths.tolist(), strict=True))


def _openai_items(body: schemas.OpenAIBody) -> list[str]:
    return [body.input] if isinstance(body.input, str) else body.input


def _openai(model: str, body: schemas.OpenAIBody, answers: Sequence[Any]) -> schemas.OpenAIAnswers:
    width, tokens = len(answers[0][0]), sum(count for _, count in answers)
    if body.dimensions not in (None, width):
        raise BadRequestError(f"{model} makes vectors of {width} numbers, and they are not cut", field="dimensions")
    data = [
        schemas.OpenAIVector.model_construct(object="embedding", index=index, embedding=_shown(vector, body))
        for index, (vector, _) in enumerate(answers)
    ]
    usage = schemas.OpenAIUsage(prompt_tokens=tokens, total_tokens=tokens)
    return schemas.OpenAIAnswers.model_construct(model=model, object="list", data=data, usage=usage)


def _shown(vector: NDArray[np.float32], body: schemas.OpenAIBody) -> list[float] | str:
    if body.encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    numbers: list[float] = vector.tolist()
    return numbers


def _explain(asked: Asked) -> list[dict[str, Any]]:
    how = dict(asked.options)
    names = how.pop("compare") or ()
    model = asked.predictor
    beside = [asked.others.open(model, name, field=f"compare[{index}]") for index, name in enumerate(names)]
    explained = (model.explain(text, **how) for text in asked.items)
    return [asked.others.lay_beside(each, model, beside).as_json() for each in explained]


OPERATIONS = (
    Operation(
        name="fill",
        summary="The likeliest words at each [MASK]",
        body=schemas.FillBody,
        answer=schemas.FillAnswers,
        able=lambda predictor: predictor.fills,
        items=lambda body: body.given,
        options=lambda body: (body.pair, body.top_k, body.candidates and tuple(body.candidates)),
        run=_fill,
        reply=_filled,
    ),
    Operation(
        name="classify",
        summary="The label of each text or pair, with the probabilities of all",
        body=schemas.PairsBody,
        answer=schemas.ClassifyAnswers,
        able=_task("classify"),
        items=_text_examples,
        run=_predict,
        reply=_predictions(schemas.ClassifyAnswers),
    ),
    Operation(
        name="rate",
        summary="The score of each text or pair, such as how alike they are",
        body=schemas.PairsBody,
        answer=schemas.RateAnswers,
        able=_task("regress"),
        items=_text_examples,
        run=_predict,
        reply=_values(schemas.RateAnswers),
    ),
    Operation(
        name="tag",
        summary="What stands in each text, such as names",
        body=schemas.TextsBody,
        answer=schemas.TagAnswers,
        able=_task("tag"),
        items=lambda body: body.given,
        run=lambda asked: asked.predictor.tag(asked.items),
        reply=_values(schemas.TagAnswers),
    ),
    Operation(
        name="answer",
        summary="The part of a context that answers a question, or that none does",
        body=schemas.AnswerBody,
        answer=schemas.AnswerAnswers,
        able=_task("answer"),
        items=lambda body: [QuestionExample(body.question, body.context)],
        field=lambda body, index: "question",
        run=_predict,
        reply=_predictions(schemas.AnswerAnswers),
    ),
    Operation(
        name="choose",
        summary="Which continuation of a text fits best",
        body=schemas.ChooseBody,
        answer=schemas.ChooseAnswers,
        able=_task("choose"),
        items=lambda body: [ChoiceExample(body.text, tuple(body.choices))],
        field=lambda body, index: "choices",
        run=_predict,
        reply=_predictions(schemas.ChooseAnswers),
    ),
    Operation(
        name="embed",
        summary="A vector for each text",
        body=schemas.EmbedBody,
        answer=schemas.EmbedAnswers,
        able=lambda predictor: True,
        items=lambda body: body.given,
        options=lambda body: body.pooling,
        run=lambda asked: list(asked.predictor.embed(asked.items, pooling=asked.options)),
        reply=_embedded,
    ),
    Operation(
        name="embeddings",
        summary="A vector for each text, in the shape of OpenAI's API",
        body=schemas.OpenAIBody,
        answer=schemas.OpenAIAnswers,
        able=lambda predictor: True,
        items=_openai_items,
        field=lambda body, index: "input" if isinstance(body.input, str) else f"input[{index}]",
        run=_embed_and_count,
        reply=_openai,
    ),
    Operation(
        name="explain",
        summary="What happens to a text on its way through the model",
        body=ExplainBody,
        answer=ExplainAnswers,
        able=lambda predictor: not predictor.exported,
        items=lambda body: [body.text],
        thread=lambda body: "evidence" if body and (body.evidence or body.hidden_words) else "reading",
        field=lambda body, index: "text",
        options=lambda body: (
            *((name, getattr(body, name)) for name in ("pair", "question", "top_k", "evidence", "hidden_words")),
            *((name, getattr(body, name) and tuple(getattr(body, name))) for name in ("choices", "compare")),
        ),
        run=_explain,
        reply=lambda model, body, answers: ExplainAnswers(model=model, explanation=answers[0]),
    ),
)
