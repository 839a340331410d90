"""The JSON of SQuAD, in the layouts that its descendants have: articles, paragraphs, or a plain list of questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bertsmith.text.sources import Source
from bertsmith.text.streams import BadInputs, read_blocks, undecodable

# Of a layer of the file: the key of what it holds, and what messages call one of them.
_LAYERS = {"data": "article", "paragraphs": "paragraph", "qas": "question"}


def read_squad(source: Source, bad: BadInputs) -> Iterator[tuple[str, dict[str, Any]]]:
    """The questions of a .json file, as `squad_questions` gives them."""
    data = b"".join(read_blocks(source, bad)).removeprefix(b"\xef\xbb\xbf")
    if bad.broken_off:
        return
    try:
        content = json.loads(data.decode())
    except UnicodeDecodeError as error:
        bad.report(*undecodable(error, line=1, offset=0))
    except json.JSONDecodeError as error:
        lines = "; a file with one object a line is .jsonl" if error.msg == "Extra data" else ""
        bad.report(f"line {error.lineno:,}, column {error.colno:,}", f"malformed JSON ({error.msg}{lines})")
    except RecursionError:
        bad.report("the file", "malformed JSON (nested too deeply)")
    else:
        if is_squad(content):
            yield from squad_questions(content)
        else:
            bad.report("the file", 'no SQuAD: it has neither "data" nor "paragraphs" nor "qas" nor a list of questions')


def is_squad(content: Any) -> bool:
    """Whether a JSON value is laid out as SQuAD is."""
    return isinstance(content, list) or (isinstance(content, Mapping) and not _LAYERS.keys().isdisjoint(content))


def squad_questions(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, question) of each question, which has the context of its paragraph under "context".

    The place is the question's id where it has one, else the numbers of what it lies in. What is no object is given
    as a question without any key.
    """
    yield from _questions(content, {}, "")


def _questions(node: Any, above: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, list):
        node = {"data": node}
    key = next((key for key in _LAYERS if isinstance(node, Mapping) and isinstance(node.get(key), list)), None)
    if key is None:
        values = {**above, **node} if isinstance(node, Mapping) else {}
        named = values.get("id") not in (None, "")
        yield f'question "{values["id"]}"' if named else place or "the file", values
        return
    if "context" in node:
        above = {"context": node["context"]}
    for number, child in enumerate(node[key], start=1):
        name = _LAYERS[key]
        if key == "data" and not (isinstance(child, Mapping) and "paragraphs" in child):
            name = "paragraph" if isinstance(child, Mapping) and "qas" in child else "question"
        yield from _questions(child, above, f"{place}, {name} {number}" if place else f"{name} {number}")
