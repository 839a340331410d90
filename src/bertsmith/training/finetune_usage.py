"""What a model card says of using a fine-tuned model: in bertsmith, on the command line, in `transformers`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from bertsmith.config import TaskName
from bertsmith.training.finetune_figures import has_several_labels
from bertsmith.training.summary import Summary

# The task's name on the Hugging Face hub.
PIPELINES: Mapping[TaskName, str] = {
    "classify": "text-classification",
    "regress": "text-classification",
    "tag": "token-classification",
    "answer": "question-answering",
    "choose": "multiple-choice",
}


@dataclass(frozen=True)
class _Usage:
    """How a task is asked; `{name}` is the model's folder, in quotation marks."""

    python: str
    words: str  # of `bertsmith predict MODEL`
    transformers: str


_TEXTS = """\
from transformers import pipeline

ask = pipeline("{pipeline}", model={name})
ask("A text.", truncation=True{all_labels})
ask({{"text": "A text.", "text_pair": "The second text of a pair."}}, truncation=True{all_labels})"""
_USAGES: Mapping[TaskName, _Usage] = {
    "classify": _Usage(
        'model.classify(["A text.", "Another text."])  # pairs: model.classify(texts, pairs)', '"A text."', _TEXTS
    ),
    "regress": _Usage(
        'model.rate(["A text.", "Another text."])  # pairs: model.rate(texts, pairs)', '"A text."', _TEXTS
    ),
    "tag": _Usage(
        'model.tag(["A text of some words."])',
        '"A text of some words."',
        """\
from transformers import pipeline

ask = pipeline("{pipeline}", model={name}, aggregation_strategy="first")
ask("A text of some words.")""",
    ),
    "answer": _Usage(
        'model.answer("What is asked?", "A text of any length that says it.")',
        '--question "What is asked?" "A text of any length that says it."',
        """\
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({name})
model = AutoModelForQuestionAnswering.from_pretrained({name})
inputs = tokenizer("What is asked?", "A text that says it.", truncation="only_second", return_tensors="pt")
logits = model(**inputs)
first, last = logits.start_logits.argmax(), logits.end_logits.argmax()
tokenizer.decode(inputs["input_ids"][0, first : last + 1])""",
    ),
    "choose": _Usage(
        'model.choose("A text that goes on", ["one way.", "another way."])',
        '"A text that goes on" --choices "one way." "another way."',
        """\
from transformers import AutoModelForMultipleChoice, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({name})
model = AutoModelForMultipleChoice.from_pretrained({name})
choices = ["one way.", "another way."]
inputs = tokenizer(["A text that goes on"] * 2, choices, truncation=True, padding=True, return_tensors="pt")
logits = model(**{{key: value[None] for key, value in inputs.items()}}).logits
choices[logits.argmax()]""",
    ),
}

_PAGE = """```python
import bertsmith

model = bertsmith.load({name})
{python}
```

On the command line: `bertsmith predict {shell} {words}`. Texts of any length are read, in overlapping windows.

{transformers}"""
_OPENS = """The folder is a Hugging Face model folder: `transformers` opens it as it is, and cuts long texts.

```python
{code}
```"""
_ONLY_HERE = """Only bertsmith opens the head: it reads the last {layers} layers of the encoder side by side, for which
`transformers` has no class. `AutoModel.from_pretrained` opens the encoder alone."""


def usage(summary: Summary, name: str) -> str:
    """The section of the card, in Markdown.

    Args:
        summary: of the finished fine-tuning.
        name: the model's folder.
    """
    ways, quoted = _USAGES[summary.task], json.dumps(name, ensure_ascii=False)
    if layers := summary.recipe.get("feature_layers"):
        elsewhere = _ONLY_HERE.format(layers=layers)
    else:
        all_labels = ", top_k=None" if has_several_labels(summary) else ""
        code = ways.transformers.format(name=quoted, pipeline=PIPELINES[summary.task], all_labels=all_labels)
        elsewhere = _OPENS.format(code=code)
    shell = shlex.quote(name)
    return _PAGE.format(name=quoted, python=ways.python, shell=shell, words=ways.words, transformers=elsewhere)
