"""Documents to sentences."""

from __future__ import annotations

from collections.abc import Iterator

from sentencex import segment

from bertsmith.text.chunks import encodable

# sentencex takes more than linear time in the length of a line; no sentence of use is as long.
_MAX_LINE_CHARS = 10_000
_ENDS = (". ", "! ", "? ", "。", "！", "？", " ")


def split_sentences(text: str, language: str) -> list[str]:
    """The sentences of a text, stripped of white space at both ends, none empty.

    A line break always ends a sentence, so that headings, list items and table rows stand alone. A line of more
    than 10,000 characters is cut first, after an end mark or white space where there is one.

    Args:
        text: any text.
        language: ISO 639 code such as en, de, tr, zh; one that sentencex has no rules for is read as a related
            language, or as English.

    Reference:
        https://github.com/wikimedia/sentencex
    """
    sentences = []
    for line in encodable(text).splitlines():
        for part in (line,) if len(line) <= _MAX_LINE_CHARS else _parts(line):
            for sentence in segment(language, part):
                if stripped := sentence.strip():
                    sentences.append(stripped)
    return sentences


def _parts(line: str) -> Iterator[str]:
    """A long line in parts of bounded length."""
    start = 0
    while len(line) - start > _MAX_LINE_CHARS:
        stop = start + _MAX_LINE_CHARS
        # Not in the first half: a single early end mark would make the rest of the part tiny.
        ends = (line.rfind(end, start + _MAX_LINE_CHARS // 2, stop) + len(end) for end in _ENDS)
        cut = next((end for end in ends if end > start + _MAX_LINE_CHARS // 2), stop)
        yield line[start:cut]
        start = cut
    yield line[start:]
