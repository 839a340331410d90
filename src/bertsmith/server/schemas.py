"""What clients send and get: bodies and answers of every operation. OpenAPI is made of them.

How much a body may hold is the server's to say: `Limits` come as the context of validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from bertsmith.tasks.classification import Classification
from bertsmith.tasks.fill_mask import Fill
from bertsmith.tasks.multiple_choice import Choice
from bertsmith.tasks.question_answering import AnswerSpan
from bertsmith.tasks.tagging import TaggedSpan


@dataclass(frozen=True)
class Limits:
    """How much a body may hold; `ServeConfig` says more."""

    max_texts: int
    max_characters: int


def _short_enough(text: str, info: ValidationInfo) -> str:
    most = info.context.max_characters if info.context else None
    if most is not None and len(text) > most:
        raise PydanticCustomError(
            "too_long", "{found} characters, and at most {most} are read", {"found": len(text), "most": most}
        )
    return text


def _few_enough(texts: list[str], info: ValidationInfo) -> list[str]:
    most = info.context.max_texts if info.context else None
    if most is not None and len(texts) > most:
        raise PydanticCustomError(
            "too_many", "{found} texts, and at most {most} are taken at once", {"found": len(texts), "most": most}
        )
    return texts


Text = Annotated[str, AfterValidator(_short_enough)]
Texts = Annotated[list[Text], Field(min_length=1), AfterValidator(_few_enough)]


class Body(BaseModel):
    """What every body may say."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
    model: str | None = Field(None, description="Name of a model; if not given, the first that can do it.")


class TextsBody(Body):
    """One text or several."""

    text: Text | None = Field(None, description="A text; or give `texts`.")
    texts: Texts | None = Field(None, description="Several texts, answered in order.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise PydanticCustomError("text_or_texts", "give text or texts, one of them")
        return self

    @property
    def given(self) -> list[str]:
        """The texts."""
        return self.texts if self.texts is not None else [self.text or ""]


class PairsBody(TextsBody):
    """Texts, each alone or with a second one."""

    pair: Text | Texts | None = Field(None, description="The second text of a pair; of `texts` a list, one for each.")

    @model_validator(mode="after")
    def _pairs_fit(self) -> Self:
        many = isinstance(self.pair, list)
        if self.pair is not None and (many != (self.texts is not None) or len(self.pairs) != len(self.given)):
            raise PydanticCustomError("pair", "pair is a text beside text, and a list as long as texts beside texts")
        return self

    @property
    def pairs(self) -> Sequence[str | None]:
        """The second text of each."""
        if isinstance(self.pair, list):
            return self.pair
        return [self.pair] * len(self.given)


class FillBody(TextsBody):
    """Texts with [MASK]."""

    pair: Text | None = Field(None, description="A second text, the same for all.")
    top_k: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Answers a mask; 5 if not given, or all candidates."
    )
    candidates: Annotated[Texts, Field(min_length=1)] | None = Field(
        None, description="Answer only among these words, each of which is one WordPiece."
    )


class AnswerBody(Body):
    """A question, and a text to find its answer in."""

    question: Text
    context: Text = Field(description="Of any length; it is read in windows.")


class ChooseBody(Body):
    """A text, and continuations to choose from."""

    text: Text
    choices: Annotated[Texts, Field(min_length=2)]


class EmbedBody(TextsBody):
    """Texts to be made vectors."""

    pooling: Literal["mean", "cls"] = Field("mean", description="Mean over the tokens, or the hidden state of [CLS].")
    normalize: bool = Field(False, description="Vectors of length 1.")


class OpenAIBody(Body):
    """The body of OpenAI's embeddings, of texts."""

    input: Text | Texts
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: little-endian float32.")
    dimensions: int | None = Field(None, description="The model's own, if given: vectors are not cut.")
    user: str | None = Field(None, description="Not read.")


class Answers(BaseModel):
    """What every answer says."""

    model_config = ConfigDict(protected_namespaces=())
    model: str = Field(description="The model that answered.")


class FilledText(BaseModel):
    """A text's masks, each with its words by falling probability."""

    text: str
    pair: str | None
    masks: list[list[Fill]]


class FillAnswers(Answers):
    """Texts with their masks filled."""

    answers: list[FilledText]


class ClassifyAnswers(Answers):
    """A label for each text, or where several may hold all that do."""

    predictions: list[Classification]


class Score(BaseModel):
    """The score of a text."""

    score: float


class RateAnswers(Answers):
    """A score for each text."""

    predictions: list[Score]


class Tags(BaseModel):
    """The tags of a text's words, and what they mark."""

    tags: list[str]
    spans: list[TaggedSpan]
    probabilities: list[float]
    windows: int


class TagAnswers(Answers):
    """Tags for each text."""

    predictions: list[Tags]


class AnswerAnswers(Answers):
    """The answer to the question."""

    predictions: list[AnswerSpan]


class ChooseAnswers(Answers):
    """The continuation that fits best."""

    predictions: list[Choice]


class EmbedAnswers(Answers):
    """A vector for each text."""

    shape: list[int] = Field(description="Texts, and numbers of a vector.")
    pooling: str
    embeddings: list[list[float]]


class OpenAIVector(BaseModel):
    """A vector, as OpenAI gives it."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class OpenAIUsage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class OpenAIAnswers(Answers):
    """Vectors, as OpenAI gives them."""

    object: Literal["list"] = "list"
    data: list[OpenAIVector]
    usage: OpenAIUsage


class ModelCard(BaseModel):
    """A model that is served."""

    model_config = ConfigDict(protected_namespaces=())
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["bertsmith"] = "bertsmith"
    operations: list[str]
    task: str | None
    labels: list[str]
    hidden_size: int
    max_length_tokens: int
    compares: list[str] = Field(description="What `compare` of /v1/explain can lay beside it.")


class ModelList(BaseModel):
    """The models that are served."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Health(BaseModel):
    """Whether the server lives, and takes requests."""

    status: Literal["ok", "ending", "dead"]
    waiting: int


class ProblemDetail(BaseModel):
    """What is wrong."""

    type: str
    message: str
    field: str | None = Field(description="Of the body that it is about.")


class Problem(BaseModel):
    """Why a request was not answered."""

    error: ProblemDetail


def json_body(schema: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that is read by our own hands."""
    content = {"application/json": {"schema": schema.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
