"""A few documents of a corpus, to look at before all of it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from bertsmith.config import CorpusConfig
from bertsmith.data.units import Unit
from bertsmith.text.corpus import Document, Source, list_sources, no_document, read_documents
from bertsmith.text.streams import BadInput

MOST_CHARACTERS = 32_000_000
_SPREAD_OVER = 64  # files


def sample_documents(corpus: Sequence[str], reading: CorpusConfig, documents: int) -> Unit:
    """So many documents, in the corpus's order, of 32 million characters at most.

    They are the first ones of up to 64 files that are spread over the corpus. Where these have not so many, those of
    the files between come too.

    Raises:
        CorpusError: a broken input, or no document at all.
    """
    sources = list_sources(corpus)
    skipped, found, room = list[BadInput](), list[Document](), MOST_CHARACTERS
    for document in _spread_documents(sources, reading, documents, skipped):
        room -= len(document.text)
        if room < 0:
            break
        found.append(document)
    if not found:
        raise no_document(sources, skipped)
    place = {source.url: index for index, source in enumerate(sources)}
    found.sort(key=lambda document: (place[document.source], document.ordinal))  # of duplicates the first is kept
    return Unit("sample", [document.text for document in found], [document.source for document in found])


def _spread_documents(
    sources: Sequence[Source], reading: CorpusConfig, documents: int, skipped: list[BadInput]
) -> Iterator[Document]:
    """So many documents, if there are as many; an equal part of each of the files that are read first."""
    count = min(documents, len(sources), _SPREAD_OVER)
    spread = [sources[index * len(sources) // count] for index in range(count)]
    left = documents
    chosen = {source.url for source in spread}
    unfinished = [(source, 0) for source in sources if source.url not in chosen]
    for index, source in enumerate(spread):
        quota = left // (len(spread) - index)  # what a short file leaves over is the next ones'
        before = left
        for document in islice(read_documents(source, reading, skipped=skipped), quota):
            left -= 1
            yield document
        if before - left == quota:
            unfinished.append((source, quota))
    for source, start in unfinished:
        if not left:
            return
        for document in islice(read_documents(source, reading, skipped=skipped), start, start + left):
            left -= 1
            yield document
