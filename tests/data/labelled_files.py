"""What the tests of labelled texts share."""

from pathlib import Path

import pytest

from bertsmith.data.labelled.examples import Labelled, TextExample
from bertsmith.data.labelled.texts import read_classified, stream_texts
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import LabelledConfig
from bertsmith.text.streams import BadInput


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def classified(data: object, *, labels: tuple[str, ...] | None = None, **options: object):
    return read_classified(data, LabelledConfig(**options), labels=labels)


def unlabelled(data: object) -> Labelled[TextExample]:
    """What is to be answered, all at once."""
    skipped: list[BadInput] = []
    notes: list[str] = []
    return Labelled(list(stream_texts(data, LabelledConfig(), skipped, notes)), skipped, notes)


def plain(read: Labelled[TextExample]) -> list[tuple[object, ...]]:
    """Texts, pairs where there are some, and labels."""
    return [(e.text, *(() if e.pair is None else (e.pair,)), *(e.labels or ())) for e in read.examples]


def message(data: object, **options: object) -> str:
    with pytest.raises(CorpusError) as caught:
        classified(data, **options)
    return str(caught.value)
