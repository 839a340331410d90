"""One unit of work of preparing: a run of documents -> token ids, its documents in a random order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bertsmith.data.cleaning.survey import clean, read_boilerplate
from bertsmith.data.engines import Handle
from bertsmith.data.random_bits import mix, stream_key, text_hashes
from bertsmith.data.workers import Job
from bertsmith.text.sentences import split_sentences
from bertsmith.text.wordpiece import WordPiece


def tokenize_unit(
    texts: Sequence[str], sources: Sequence[str], *, tokenizer: WordPiece, language: str, seed: int
) -> pa.RecordBatch:
    """Documents as token ids; one that has no token is left out.

    Args:
        texts: the documents.
        sources: where each comes from.
        tokenizer: cuts the sentences.
        language: splits the documents.
        seed: of the documents' order; which documents are held out does not depend on it.

    Returns:
        Columns `sentences` (list<list<uint16 | uint32>>), `source`, and two 64-bit hashes of the document's text:
        `order` (by which the rows are sorted; mixed with the seed) and `held_out`.
    """
    sentences, document_of = [], []
    for index, text in enumerate(texts):
        found = split_sentences(text, language)
        sentences += found
        document_of += [index] * len(found)
    ids, lengths = tokenizer.encode_sentences(sentences)
    real = lengths > 0
    counts = np.bincount(np.array(document_of, np.int64)[real], minlength=len(texts))
    kept = np.flatnonzero(counts).tolist()
    hashes = text_hashes(texts[index] for index in kept)
    order = mix(hashes[:, 0] ^ stream_key("documents", seed))
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
    words = pa.ListArray.from_arrays(_offsets(lengths[real]), pa.array(ids.astype(dtype)))
    batch = pa.record_batch(
        {
            "sentences": pa.ListArray.from_arrays(_offsets(counts[kept]), words),
            "source": pa.array([sources[index] for index in kept], pa.string()),
            "order": pa.array(order),
            "held_out": pa.array(hashes[:, 1]),
        }
    )
    return batch.take(pa.array(np.argsort(order, kind="stable")))


def _offsets(lengths: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32))


def worker(folder: Path, language: str, seed: str) -> Handle:
    """A worker's job; see `engines`.

    `folder` holds `tokenizer/` and, once lines are counted, `building/boilerplate.npy`. A job is
    {"texts", "sources"}; where the corpus is cleaned, it says in "mended" which texts are to be mended.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # every core has a worker already
    tokenizer = WordPiece.load(folder / "tokenizer")
    boilerplate = read_boilerplate(folder / "building")

    def handle(job: Job) -> pa.RecordBatch:
        texts = job["texts"]
        if "mended" in job:
            mended = set(job["mended"])
            texts = [clean(text, boilerplate, mended=index in mended) for index, text in enumerate(texts)]
        return tokenize_unit(texts, job["sources"], tokenizer=tokenizer, language=language, seed=int(seed))

    return handle
