"""Lines that stand in many documents, known by a hash of what stands between their white space."""

from __future__ import annotations

import hashlib
from collections.abc import Set

LINE_HASH_BYTES = 8


def line_hashes(text: str) -> set[bytes]:
    """The hashes of a document's lines, blank ones aside; a line counts once, however often it stands there."""
    return {_hash(stripped) for line in text.split("\n") if (stripped := line.strip())}


def without_lines(text: str, unwanted: Set[bytes]) -> tuple[str, int]:
    """A document without the lines of these hashes, stripped; and how many lines that were."""
    lines = text.split("\n")
    kept = [line for line in lines if not (stripped := line.strip()) or _hash(stripped) not in unwanted]
    removed = len(lines) - len(kept)
    return ("\n".join(kept).strip() if removed else text), removed


def lines_of(text: str, wanted: Set[bytes]) -> list[str]:
    """The lines of a document that have these hashes, stripped."""
    return [stripped for line in text.split("\n") if (stripped := line.strip()) and _hash(stripped) in wanted]


def _hash(line: str) -> bytes:
    return hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=LINE_HASH_BYTES).digest()
