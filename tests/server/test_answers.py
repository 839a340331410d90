"""What clients get is what the predictor says."""

import asyncio
import base64
import json
from itertools import islice

import numpy as np
import pytest

from bertsmith.inference.evaluate import answer_values
from bertsmith.model.native_encoder import native_is_faster_for_short_texts
from bertsmith.server.operations import OPERATIONS
from server.asking import ask, post

TEXTS = ["The patient was given pain.", "a nurse", "", "the doctor saw the nurse in the ward"]


def good(response):
    assert response.status_code == 200, response.text
    return response.json()


def roughly(answers):
    """Answers as the command line prints them, their numbers to be compared to 1e-6."""
    shown = json.dumps([answer_values(each) for each in answers])
    return json.loads(shown, parse_float=lambda text: pytest.approx(float(text), rel=1e-4, abs=1e-6))


@pytest.mark.parametrize(("given", "texts"), [({"texts": TEXTS}, TEXTS), ({"text": TEXTS[0]}, TEXTS[:1])])
def test_classify_and_tag(models, given, texts):
    made = good(post(models, "/v1/classify", given))
    assert made["model"] == "classify"
    assert made["predictions"] == roughly(models["classify"].classify(texts))
    made = good(post(models, "/v1/tag", given))
    assert made["predictions"] == roughly(models["tag"].tag(texts))


def test_pairs(models):
    pairs = ["the pain", "the ward"]
    made = good(post(models, "/v1/rate", {"texts": TEXTS[:2], "pair": pairs}))["predictions"]
    assert [each["score"] for each in made] == pytest.approx(models["regress"].rate(TEXTS[:2], pairs))
    (alone,) = good(post(models, "/v1/classify", {"text": TEXTS[0], "pair": "the pain"}))["predictions"]
    assert alone["probabilities"] == pytest.approx(
        models["classify"].classify(TEXTS[:1], ["the pain"])[0].probabilities
    )


def test_answer_and_choose(models):
    asked = {"question": "who saw?", "context": "The nurse saw the doctor in a ward."}
    (made,) = good(post(models, "/v1/answer", asked))["predictions"]
    wanted = models["answer"].answer(**asked)
    assert (made["text"], made["start"], made["end"]) == (wanted.text, wanted.start, wanted.end)
    (made,) = good(post(models, "/v1/choose", {"text": "The nurse", "choices": ["pain", "saw the ward"]}))[
        "predictions"
    ]
    assert made["probabilities"] == pytest.approx(
        models["choose"].choose("The nurse", ["pain", "saw the ward"]).probabilities
    )


def test_fill(models):
    body = {"texts": ["a [MASK] [MASK]", "the [MASK]"], "top_k": 2, "candidates": ["pain", "nurse", "ward"]}
    made = good(post(models, "/v1/fill", body))["answers"]
    wanted = models["bert"].fill_texts(body["texts"], top_k=2, candidates=body["candidates"])
    for each, text, masks in zip(made, body["texts"], wanted, strict=True):
        assert each["text"] == text
        assert [[fill["text"] for fill in mask] for mask in each["masks"]] == [[f.text for f in mask] for mask in masks]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embed(models, pooling):
    made = good(post(models, "/v1/embed", {"texts": TEXTS, "pooling": pooling, "model": "tag"}))
    assert made["shape"] == [4, 16]
    np.testing.assert_allclose(made["embeddings"], models["tag"].embed(TEXTS, pooling=pooling), atol=1e-5)
    unit = good(post(models, "/v1/embed", {"texts": TEXTS, "normalize": True}))["embeddings"]
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)


def test_embeddings_in_openai_s_shape(models):
    body = {"input": TEXTS[:2], "model": "bert"}
    made = good(post(models, "/v1/embeddings", body))
    assert (made["object"], made["model"], [each["index"] for each in made["data"]]) == ("list", "bert", [0, 1])
    wanted = models["bert"].embed(TEXTS[:2])
    np.testing.assert_allclose([each["embedding"] for each in made["data"]], wanted, atol=1e-5)
    tokens = sum(len(models["bert"].tokenizer.encode(text).input_ids) for text in TEXTS[:2])
    assert made["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    packed = good(post(models, "/v1/embeddings", {"input": "a nurse", "encoding_format": "base64"}))["data"]
    vector = np.frombuffer(base64.b64decode(packed[0]["embedding"]), "<f4")
    np.testing.assert_allclose(vector, wanted[1], atol=1e-5)


def test_explain(models):
    made = good(post(models, "/v1/explain", {"text": "the [MASK]", "evidence": False}))["explanation"]
    assert [token["text"] for token in made["tokens"]] == ["[CLS]", "the", "[MASK]", "[SEP]"]
    assert made["model"] == "bert"


def test_models_say_what_they_can(models):
    listed = good(ask(models, lambda client, service: client.get("/v1/models")))["data"]
    can = {each["id"]: each["operations"] for each in listed}
    assert can["bert"] == ["fill", "embed", "embeddings", "explain"]
    assert can["regress"] == ["rate", "embed", "embeddings", "explain"]
    assert good(ask(models, lambda client, service: client.get("/v1/models/tag")))["labels"] == ["O", "B-PER", "I-PER"]


def test_openapi_has_every_operation_and_its_fields(models):
    paths = good(ask(models, lambda client, service: client.get("/openapi.json")))["paths"]
    for operation in OPERATIONS:
        schema = paths[f"/v1/{operation.name}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) == set(operation.body.model_fields)


def test_many_at_once_each_get_their_own(models):
    texts = [f"{first} {second}" for first in ("nurse", "pain", "ward", "doctor") for second in TEXTS]
    bodies = [{"texts": texts[index : index + 1 + index % 3]} for index in range(len(texts))] * 3

    async def together(client, service):
        asked = [client.post("/v1/embed" if n % 2 else "/v1/classify", json=body) for n, body in enumerate(bodies)]
        return await asyncio.gather(*asked)

    vectors = dict(zip(texts, models["bert"].embed(texts), strict=True))
    shares = dict(zip(texts, models["classify"].classify(texts), strict=True))
    for number, (body, response) in enumerate(zip(bodies, ask(models, together), strict=True)):
        if number % 2:
            np.testing.assert_allclose(
                good(response)["embeddings"], [vectors[text] for text in body["texts"]], atol=1e-5
            )
        else:
            given = [each["probabilities"] for each in good(response)["predictions"]]
            wanted = [shares[text].probabilities for text in islice(body["texts"], len(given))]
            # A short text alone may be computed another way.
            near = 1e-5 if native_is_faster_for_short_texts() else 1e-6
            assert given == [pytest.approx(each, rel=near) for each in wanted]
            assert len(given) == len(body["texts"])
