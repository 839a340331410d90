"""The model card: `README.md` of the run folder, with the figures and the curves, as Hugging Face shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertsmith import __version__
from bertsmith.config import ARCHITECTURES, PretrainConfig
from bertsmith.files import write_text
from bertsmith.safe_text import clean
from bertsmith.training.recipe import Progress
from bertsmith.training.report import shown_figures

CURVES = "training/curves.svg"
PREJUDICES = """\
The text it was trained on decides what it knows and which prejudices it repeats: look at it before you rely on them."""

_CARD = """---
library_name: transformers
pipeline_tag: fill-mask
tags:
- {architecture}
- bertsmith
language: "{language}"
---

# {title}

A {kind} ({size}), pretrained from nothing with bertsmith {version} on {documents:,} documents ({tokens:,} tokens),
{held_out:,} of them held out. Objective: {objective}.

| on {evaluated_on} | |
|---|---|
{rows}

![Curves of the run]({curves})

## Use

```python
import bertsmith

bert = bertsmith.load({name})
bert.fill("A sentence with a [MASK] in it.")
```

The folder is a Hugging Face model folder, and transformers opens it as it is:

```python
from transformers import pipeline

fill = pipeline("fill-mask", model={name})
```

## How it was made

`training/run.toml` holds every setting, `training/metrics.jsonl` every figure, `training/report.html` the curves.
{prejudices}
"""


def write_card(
    folder: Path,
    *,
    name: str,
    config: PretrainConfig,
    manifest: dict[str, Any],
    held_out: int,
    evaluated_on: str,
    progress: Progress,
    curves: str,
) -> None:
    """Write the card and its picture.

    Args:
        folder: the run folder.
        name: what the model is called.
        config: of the run.
        manifest: of the prepared corpus.
        held_out: documents held out.
        evaluated_on: which documents the figures are of.
        progress: where the run ended.
        curves: its picture, an <svg> element.
    """
    figures = shown_figures({**asdict(progress), **progress.metrics})
    card = _CARD.format(
        title=markdown(name),
        name=json.dumps(clean(name), ensure_ascii=False),
        language=manifest["made_from"]["options"]["language"],
        architecture=config.architecture,
        kind=ARCHITECTURES[config.architecture],
        size=config.size,
        version=__version__,
        documents=manifest["counts"]["documents"],
        tokens=manifest["counts"]["tokens"],
        held_out=held_out,
        evaluated_on=evaluated_on,
        objective=config.objective,
        rows=markdown_rows(figures),
        curves=CURVES,
        prejudices=PREJUDICES,
    )
    write_card_files(folder, card, curves)


def markdown(text: str) -> str:
    """Plain text as Markdown, on one line."""
    line = " ".join(clean(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", line)


def markdown_rows(rows: Iterable[Sequence[str]]) -> str:
    """The lines of a table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_card_files(folder: Path, card: str, curves: str) -> None:
    """Write a card and its picture, an <svg> element, into a run folder; "" for no picture."""
    if curves:
        write_text(folder / CURVES, curves)
    write_text(folder / "README.md", card)
