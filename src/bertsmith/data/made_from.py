"""What a prepared corpus depends on, as plain JSON values: by it a build knows whether it may go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from types import NoneType
from typing import Any

from bertsmith.config import CorpusConfig, TokenizerConfig
from bertsmith.errors import PreparedCorpusError
from bertsmith.text.sources import Source
from bertsmith.text.wordpiece import WordPiece


def made_from(
    sources: list[Source], tokenizer: WordPiece | TokenizerConfig, config: CorpusConfig, *, seed: int, shard_tokens: int
) -> dict[str, Any]:
    """Everything that the shards of an uncleaned corpus of one part depend on."""
    return {
        "tokenizer": tokenizer.model_dump() if isinstance(tokenizer, TokenizerConfig) else tokenizer.fingerprint,
        # What was finished under "stop" is the same under "skip".
        "options": config.model_dump(exclude={"workers", "on_bad_input"}),
        "seed": seed,
        "shard_tokens": shard_tokens,
        "sources": {source.url: source.fingerprint for source in sources},
    }


def check_same(place: str, was: dict[str, Any], now: dict[str, Any]) -> None:
    """
    Raises:
        PreparedCorpusError: `place` holds a corpus made from something else; each difference is a line.
    """
    changes = list(_changes(was, now))
    if changes:
        raise PreparedCorpusError(
            f"{place} holds a corpus made from something else:\n  "
            + "\n  ".join(changes)
            + "\nRestore what it was made from, or choose another folder."
        )


def _changes(was: dict[str, Any], now: dict[str, Any], name: str = "") -> Iterator[str]:
    """One line for each value that differs."""
    for key in sorted({*was, *now}):
        before, after = was.get(key), now.get(key)
        if dict in (type(before), type(after)) and {type(before), type(after)} <= {dict, NoneType}:
            yield from _changes(before or {}, after or {}, key)
        elif before != after and name == "sources":
            yield f"source {key} " + ("is new" if before is None else "is gone" if after is None else "has changed")
        elif before != after:
            yield f"{key} was {before}, now {after}"


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
