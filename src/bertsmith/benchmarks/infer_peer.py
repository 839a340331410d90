"""The peer's prediction: `transformers` in float32 as it comes, texts in the order of their arrival.

Letters: E texts, D hidden width, O labels.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.benchmarks.infer_job import What
from bertsmith.benchmarks.infer_side import Run
from bertsmith.errors import ModelFolderError
from bertsmith.model.device import choose_device

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when it is imported: nothing is to be fetched

import transformers

BATCH = 32  # texts that are encoded at once
PIPELINES: dict[What, str] = {
    "fill": "fill-mask",
    "classify": "text-classification",
    "regress": "text-classification",
    "tag": "token-classification",
}


def peer_run(what: What, folder: str) -> Run:
    """`transformers.pipeline`; for vectors, which it pools none of, the plain way to mean-pooled ones.

    Raises:
        ModelFolderError: it cannot open the folder.
    """
    transformers.logging.set_verbosity(logging.ERROR)
    try:
        return mean_pooled(folder) if what == "embed" else pipeline(what, folder)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise ModelFolderError(f"{folder}: transformers cannot open it ({error}). Leave --peer out.") from None


def pipeline(what: What, folder: str, batch_size: int | None = None) -> Run:
    """`transformers.pipeline`, its answers as numbers; `batch_size` None is its own."""
    batched = {} if batch_size is None else {"batch_size": batch_size}
    make: Any = transformers.pipeline
    pipe = make(PIPELINES[what], model=folder, device=choose_device(), **batched)
    if what == "fill":
        return lambda texts: _fills(pipe, texts)
    if what == "classify":
        return lambda texts: _probabilities(pipe, texts)
    if what == "regress":
        return lambda texts: np.array([each["score"] for each in pipe(texts, function_to_apply="none")])
    return lambda texts: pipe(texts)


def _fills(pipe: Any, texts: list[str]) -> NDArray[np.int64]:
    """(E,) ids."""
    answers = pipe(texts) if len(texts) > 1 else [pipe(texts)]  # of one text it gives the bare answers
    return np.array([each[0]["token"] for each in answers])


def _probabilities(pipe: Any, texts: list[str]) -> NDArray[np.float64]:
    """(E, O)."""
    ids = pipe.model.config.label2id
    answers = (sorted(row, key=lambda each: ids[each["label"]]) for row in pipe(texts, top_k=None))
    return np.array([[each["score"] for each in row] for row in answers])


def mean_pooled(folder: str, dtype: torch.dtype = torch.float32) -> Run:
    """Padded batches in the order of the texts, and the mean over each one's tokens: (E, D)."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=dtype).eval().to(choose_device())

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        batch = tokenizer(list(texts), padding=True, return_tensors="pt").to(model.device)
        mask = batch["attention_mask"][..., None]
        pooled = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
        vectors: NDArray[np.float32] = pooled.float().cpu().numpy()
        return vectors

    return lambda texts: np.concatenate([encode(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)])
