"""A few documents of a corpus, to look at before all of it is read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bertsmith.config import CorpusConfig
from bertsmith.data.units import Unit
from bertsmith.text.corpus import list_sources, no_document, read_documents
from bertsmith.text.streams import BadInput

MOST_CHARACTERS = 32_000_000
_MOST_SOURCES = 64


def sample_documents(corpus: Sequence[str], reading: CorpusConfig, documents: int) -> Unit:
    """The first documents of up to 64 files, spread over the corpus, of 32 million characters at most.

    Raises:
        CorpusError: a broken input, or no document at all.
    """
    sources = list_sources(corpus)
    step = -(-len(sources) // _MOST_SOURCES)
    spread = sources[::step]
    sample, skipped, room = Unit("sample", [], []), list[BadInput](), MOST_CHARACTERS
    for index, source in enumerate(spread):
        # What a short file leaves over is the next ones'.
        quota = (documents - len(sample.texts)) // (len(spread) - index)
        for document in itertools.islice(read_documents(source, reading, skipped=skipped), max(quota, 0)):
            room -= len(document.text)
            if room < 0:
                return sample
            sample.texts.append(document.text)
            sample.sources.append(document.source)
    if not sample.texts:
        raise no_document(sources, skipped)
    return sample
