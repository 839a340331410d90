"""FastAPI as its tutorial shows it, and the pipelines of `transformers`: `python -m serving.peer FOLDER PORT`."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when it is imported: nothing is to be fetched

import transformers
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """A text."""

    text: str


def build(folder: str) -> FastAPI:
    """The two endpoints that are measured; their answers are shaped as ours."""
    transformers.logging.set_verbosity_error()
    make: Any = transformers.pipeline
    embedder = make("feature-extraction", model=folder)
    classifier = make("text-classification", model=folder)
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/embed")
    def embed(body: Body) -> dict[str, list[list[float]]]:
        hidden = embedder(body.text, return_tensors=True)[0]  # (T, D)
        return {"embeddings": [hidden.mean(0).tolist()]}

    @app.post("/v1/classify")
    def classify(body: Body) -> dict[str, list[dict[str, dict[str, float]]]]:
        answers = classifier(body.text, top_k=None)
        return {"predictions": [{"probabilities": {each["label"]: each["score"] for each in answers}}]}

    return app


if __name__ == "__main__":
    uvicorn.run(build(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
