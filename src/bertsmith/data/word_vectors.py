"""Word vectors counted from training text: tokens that have the same ones beside them get like vectors.

Which words go together is what masked LM learns first, step by step; counting finds it in seconds. Letters: V
vocabulary, D width, n tokens of a shard.

Reference:
    Levy, Goldberg and Dagan 2015, "Improving distributional similarity with lessons learned from word embeddings":
    positive pointwise mutual information, smoothed contexts, singular vectors times their singular values.
    Halko, Martinsson and Tropp 2011, section 4.5, for the decomposition.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from bertsmith.data.shards import PreparedCorpus, Shard
from bertsmith.progress import Reporter, Silent

MOST_TOKENS = 16_000_000  # so that counting takes seconds, of however much text
_SMOOTHING = 0.75  # of how common a context is
_LEAST = 2  # a pair that was seen once may be chance, and such are most
_OVERSAMPLED = 20

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]


def word_vectors(corpus: PreparedCorpus, width: int, *, seed: int, reporter: Reporter = Silent()) -> Float32s:
    """The vectors of a corpus, in a random basis, so that each of their numbers tells about as much as another.

    Args:
        corpus: its training documents are read, until MOST_TOKENS were.
        width: D.
        seed: of the basis, and of the start of the decomposition.
        reporter: told of progress.

    Returns:
        (V, D), rows of length 1; zero where a token was not seen beside others more often than by chance.
    """
    information = _information(neighbour_counts(corpus, reporter))
    vectors = _scaled_singular_vectors(information, width, np.random.default_rng(seed))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Float64s = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
    return unit.astype(np.float32)


def neighbour_counts(corpus: PreparedCorpus, reporter: Reporter = Silent()) -> csr_array:
    """(V, V), how often two tokens stand beside each other in a document, whichever comes first."""
    size = len(corpus.token_counts())
    counts = csr_array((size, size), dtype=np.float32)
    total = min(MOST_TOKENS, corpus.tokens("train"))
    entries = corpus.of("train")
    entries = entries[: 1 + int(np.searchsorted(np.cumsum(entries.column("tokens")), total))]
    corpus.ahead(entries)
    with reporter.track("counting neighbours", total=total, unit="tokens") as track:
        done = 0
        for entry in entries:
            shard = corpus.open(entry)
            tokens = shard.tokens[: MOST_TOKENS - done].astype(np.int32)  # (n,)
            documents = _document_of(shard)[: len(tokens)]
            beside = documents[:-1] == documents[1:]
            pairs = tokens[:-1][beside], tokens[1:][beside]
            ones = np.ones(len(pairs[0]), np.float32)
            counts = counts + coo_array((ones, pairs), shape=(size, size)).tocsr()
            done += len(tokens)
            track.update(done)
    return counts + counts.T.tocsr()


def _document_of(shard: Shard) -> NDArray[np.int32]:
    """(n,) the number of the document that each token belongs to."""
    starts = shard.sentence_starts[shard.document_starts]
    return np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))


def _information(counts: csr_array) -> csr_array:
    """(V, V) -> (V, V), by how much likelier two tokens stand together than by chance, in nats; zero where not."""
    pairs = counts.tocoo()
    rows, columns = pairs.coords
    common = np.asarray(counts.sum(axis=1))  # (V,)
    contexts = common**_SMOOTHING
    information = np.log(pairs.data * contexts.sum() / (common[rows] * contexts[columns]))
    above = (information > 0) & (pairs.data >= _LEAST)
    return csr_array((information[above].astype(np.float32), (rows[above], columns[above])), shape=counts.shape)


def _scaled_singular_vectors(matrix: csr_array, width: int, rng: np.random.Generator) -> Float64s:
    """(V, V) -> (V, D), the first left singular vectors times their values, by one randomized iteration, in the basis
    that is nearest to a random projection of the tokens: no rounding decides over its signs or its order."""
    size = matrix.shape[0]
    sample = rng.standard_normal((size, min(width + _OVERSAMPLED, size)))  # (V, K)
    for side in (matrix, matrix.T):
        sample, _ = np.linalg.qr(side @ sample)
    seen = matrix @ sample
    _, turns = np.linalg.eigh(seen.T @ seen)  # the least first
    turns = turns[:, ::-1][:, :width]  # (K, D), or (V, V) of a vocabulary that is no larger than D
    projected = turns.T @ (sample.T @ rng.standard_normal((size, width)))
    left, _, right = np.linalg.svd(projected, full_matrices=False)
    vectors: Float64s = seen @ (turns @ (left @ right))
    return vectors
