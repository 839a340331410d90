"""What cleaning needs to know of a unit's documents: pure functions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence, Set
from pathlib import Path

import numpy as np
import pyarrow as pa

from bertsmith.cleaning_config import CleaningConfig
from bertsmith.data.cleaning.minhash import band_keys, signatures_of
from bertsmith.data.cleaning.words import words_of
from bertsmith.data.engines import Handle
from bertsmith.data.random_bits import text_hashes
from bertsmith.data.workers import Job
from bertsmith.text.cleaning.lines import LINE_HASH_BYTES, line_hashes, without_lines
from bertsmith.text.cleaning.mending import mend

# What becomes of a document, by its number in the column `fate`; of several reasons the first counts.
KEPT, EMPTY, SHORT, SYMBOLS, LANGUAGE, EXACT, NEAR = range(7)
SIGNATURE_BITS = 0xFFFF  # kept of each place: two documents agree by chance in one of 65,536


def count_lines(texts: Sequence[str]) -> pa.RecordBatch:
    """The different lines of a unit: columns `line` (uint64 hash, sorted) and `documents` (uint32, that have it)."""
    counts: Counter[bytes] = Counter()
    for text in texts:
        counts.update(line_hashes(text))
    lines = np.frombuffer(b"".join(counts), np.uint64)
    documents = np.fromiter(counts.values(), np.uint32, len(counts))
    order = np.argsort(lines)
    return pa.record_batch({"line": pa.array(lines[order]), "documents": pa.array(documents[order])})


def survey(
    texts: Sequence[str], foreign: Collection[int], config: CleaningConfig, boilerplate: Set[bytes]
) -> pa.RecordBatch:
    """What there is to decide by, a row a document.

    Args:
        texts: the documents as they were read.
        foreign: which of them are in a language that is not wanted.
        config: which steps there are.
        boilerplate: hashes of the lines to take out.

    Returns:
        Columns `fate` (uint8: what the document's own text decides), `characters` (uint32, as read), `unlined` and
        `cleaned` (uint32, characters without the lines, and in the end), `lines` (uint32, taken out), `mended`
        (bool: there was something to mend); for duplicates `exact_0` and `exact_1` (uint64, halves of a hash); for
        near ones `comparable` (bool: it has a word), `signature` (128 uint16, as fixed_size_binary) and a column
        `band_NN` (uint32) for each band.
    """
    unlined = [without_lines(text, boilerplate) if boilerplate else (text, 0) for text in texts]
    cleaned = [mend(text).strip() for text, _ in unlined] if config.mend_unicode else [text for text, _ in unlined]
    lengths = np.array([len(text) for text in cleaned], np.uint32)
    columns = {
        "characters": np.array([len(text) for text in texts], np.uint32),
        "unlined": np.array([len(text) for text, _ in unlined], np.uint32),
        "cleaned": lengths,
        "lines": np.array([lines for _, lines in unlined], np.uint32),
        "mended": np.array([text != was for text, (was, _) in zip(cleaned, unlined, strict=True)], bool),
    }
    fate = np.where(lengths == 0, EMPTY, np.where(lengths < config.least_document_characters, SHORT, KEPT))
    near = config.drop_duplicates == "near"
    if near or config.most_symbol_share < 1:
        words = words_of(cleaned)
        fate[(fate == KEPT) & (words.symbol_shares > config.most_symbol_share)] = SYMBOLS
    fate[[index for index in foreign if fate[index] == KEPT]] = LANGUAGE
    if config.drop_duplicates != "none":
        hashes = text_hashes(cleaned)
        columns |= {"exact_0": hashes[:, 0].copy(), "exact_1": hashes[:, 1].copy()}
    batch = {name: pa.array(values) for name, values in {"fate": fate.astype(np.uint8), **columns}.items()}
    if near:
        signatures = signatures_of(words)
        keys = band_keys(signatures, config.near_duplicate_share)
        low = pa.py_buffer((signatures & SIGNATURE_BITS).astype(np.uint16).tobytes())
        batch["comparable"] = pa.array(np.diff(words.starts) > 0)
        batch["signature"] = pa.Array.from_buffers(pa.binary(2 * signatures.shape[1]), len(signatures), [None, low])
        batch |= {f"band_{band:02d}": pa.array(key) for band, key in enumerate(keys)}
    return pa.record_batch(batch)


def clean(text: str, boilerplate: Set[bytes], *, mended: bool) -> str:
    """A document as it goes into the corpus; `mended`: the survey found something to mend."""
    text, _ = without_lines(text, boilerplate) if boilerplate else (text, 0)
    return mend(text).strip() if mended else text


def read_boilerplate(folder: Path) -> Set[bytes]:
    """The hashes of the lines to take out; none where lines were not counted."""
    path = folder / "boilerplate.npy"
    if not path.exists():
        return frozenset()
    whole = np.load(path, allow_pickle=False).tobytes()
    return {whole[place : place + LINE_HASH_BYTES] for place in range(0, len(whole), LINE_HASH_BYTES)}


def worker(folder: Path, config: str) -> Handle:
    """A worker's job; see `data.engines`. `folder` holds `boilerplate.npy`, once the lines are counted.

    A job is {"what": "lines" | "survey", "texts", "foreign"}; `config` is a CleaningConfig in JSON.
    """
    cleaning = CleaningConfig(**json.loads(config))
    boilerplate = read_boilerplate(folder)

    def handle(job: Job) -> pa.RecordBatch:
        if job["what"] == "lines":
            return count_lines(job["texts"])
        return survey(job["texts"], job["foreign"], cleaning, boilerplate)

    return handle
