"""The model card of a fine-tuning: `README.md` of the run folder, as Hugging Face shows it.

Reference:
    https://huggingface.co/docs/hub/model-cards; `model-index` is the hub's schema of results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from bertsmith import __version__
from bertsmith.config import ARCHITECTURES
from bertsmith.safe_text import clean
from bertsmith.training.card import CURVES, PREJUDICES, markdown, markdown_rows, write_card_files
from bertsmith.training.finetune_figures import TASKS, cautions, effort, figure_of, names_of, shown, shown_spread
from bertsmith.training.finetune_report import where_figures_are
from bertsmith.training.finetune_usage import PIPELINES, usage
from bertsmith.training.journal import Record
from bertsmith.training.page import shortened
from bertsmith.training.summary import Summary

_MOST_LABELS = 60  # that a card names

_CARD = """{front}

# {name}

A {kind} for {task},
fine-tuned with bertsmith {version} from {source} on {train:,} examples ({tokens:,} tokens).{labels}

| on {dev:,} development examples | {columns}
{rule}
{rows}

{cautions}

{picture}## Use

{usage}

## How it was made

Training took {effort}. `training/run.toml` holds every setting; `training/report.html` shows the curves and the most
wrong examples. {where}
{prejudices}
"""


def write_finetune_card(folder: Path, summary: Summary, records: Sequence[Record], *, name: str, curves: str) -> None:
    """Write the card and its picture.

    Args:
        folder: the run folder.
        summary: of the finished fine-tuning.
        records: the journal of the kept run.
        name: what the model is called.
        curves: its picture, an <svg> element; "" for none.
    """
    several = len(summary.seeds) > 1
    columns = ["this model", f"mean ± sd of {len(summary.seeds)} seeds"] if several else [""]
    labels = _labels(summary)
    card = _CARD.format(
        front="\n".join(_front(summary, name)),
        name=markdown(name),
        kind=ARCHITECTURES[summary.architecture],
        task=TASKS[summary.task],
        version=__version__,
        source=markdown(Path(summary.source).name),
        train=summary.counts["train"],
        tokens=summary.counts["train_tokens"],
        labels=f"\nLabels: {', '.join(map(markdown, labels))}." if 0 < len(labels) <= _MOST_LABELS else "",
        dev=summary.counts["dev"],
        columns=" | ".join(columns) + " |",
        rule="|---" * (1 + len(columns)) + "|",
        rows=markdown_rows(_rows(summary, several=several)),
        cautions="\n".join(f"- {markdown(sentence)}" for sentence in cautions(summary, records)),
        picture=f"![Curves of the run]({CURVES})\n\n" if curves else "",
        usage=usage(summary, clean(name)),
        effort=effort(summary),
        where=where_figures_are(summary),
        prejudices=PREJUDICES,
    )
    write_card_files(folder, card, curves)


def _rows(summary: Summary, *, several: bool) -> Iterator[list[str]]:
    for name in names_of(summary):
        figure = figure_of(summary, name)
        spread = [shown_spread(summary, name)] if several else []
        yield [markdown(figure.label), shown(figure, summary.metrics[name]), *spread]


def _labels(summary: Summary) -> Sequence[str]:
    """The labels of a classifier, or the types that a tagger marks, as far as its findings name them."""
    named = [table for table in summary.findings.tables if table.header[:1] == ("label",)]
    return [str(row[0]) for row in named[0].rows] if named else []


def _front(summary: Summary, name: str) -> Iterator[str]:
    """The YAML before the card, line by line."""
    pipeline = PIPELINES[summary.task]
    # transformers has no class for a head that reads several layers.
    library = "bertsmith" if summary.recipe.get("feature_layers") else "transformers"
    tags = ("tags:", f"- {summary.architecture}", "- bertsmith")
    yield from ("---", f"library_name: {library}", f"pipeline_tag: {pipeline}", *tags)
    metrics = [line for figure in names_of(summary) for line in _metric(summary, figure)]
    if metrics:
        yield from ("model-index:", f"- name: {_yaml(name)}", "  results:", "  - task:", f"      type: {pipeline}")
        yield from (f"      name: {_yaml(TASKS[summary.task])}", "    dataset:", "      type: custom")
        yield from (f"      name: {summary.counts['dev']} development examples", "      split: validation")
        yield from ("    metrics:", *metrics)
    yield "---"


def _metric(summary: Summary, name: str) -> Iterator[str]:
    """A figure in the hub's schema; nothing for what is no measure of the model."""
    figure, value = figure_of(summary, name), summary.metrics[name]
    if figure.hub_type is None or not math.isfinite(value):
        return
    yield f"    - type: {figure.hub_type}"
    yield f"      name: {_yaml(figure.label)}"
    yield f"      value: {value:.4f}"
    if figure.average:
        yield from ("      args:", f"        average: {figure.average}")


def _yaml(text: str) -> str:
    """A text in quotation marks: those of JSON are YAML's too."""
    return json.dumps(shortened(clean(text)), ensure_ascii=False)
