"""`README.md` of an ONNX folder: what was measured, and the lines that run it without bertsmith."""

from __future__ import annotations

from pathlib import Path

from bertsmith import __version__
from bertsmith.config import ARCHITECTURES
from bertsmith.export.gate import Verdict
from bertsmith.files import write_text
from bertsmith.inference.predictor import Predictor
from bertsmith.model.config_json import GRAPH

_CARD = """---
library_name: onnx
tags:
- onnx
- bertsmith
---

# {name}

{kind}, exported with bertsmith {version} as {format}.

| on {scored_on:,} | before | after |
|---|---|---|
{rows}

Its outputs differ from the model's by at most {largest:.2g} (of 1, or of the output where that is more),
on {compared} texts.

## Use

With `onnxruntime`, `tokenizers` and `numpy`, in this folder:

```python
{code}
```

`bertsmith.load("{name}")` does the same without torch, and reads texts of any length, in windows.

## The graph

`{graph}` takes `input_ids`, `attention_mask`{segments}, each (batch, tokens) int64:
any batch, up to {longest} tokens.
{outputs}
"""
_RUN = """import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation({longest})
tokenizer.enable_padding(pad_id={pad_id}, pad_token="{pad}")
session = onnxruntime.InferenceSession("{graph}")
FIELDS = {{"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}}


def run(texts, *outputs):
    encoded = tokenizer.encode_batch(texts)
    names = [given.name for given in session.get_inputs()]
    inputs = {{name: np.array([getattr(e, FIELDS[name]) for e in encoded]) for name in names}}
    return encoded, session.run(outputs, inputs)

"""
_EMBED = """
encoded, (hidden,) = run(["One text.", "Another."], "last_hidden_state")
mask = np.array([e.attention_mask for e in encoded])[..., None]
vectors = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
print(vectors.shape, vectors[0, :3])"""
_FILL = """
encoded, (logits,) = run(["A text with a [MASK] in it."], "mask_logits")  # a row a [MASK]
for row in logits:
    print([tokenizer.id_to_token(index) for index in np.argsort(-row)[:5]])
"""
_LABELS = """
labels = json.load(open("config.json", encoding="utf-8"))["id2label"]"""
_CLASSIFY = (
    _LABELS
    + """
encoded, (logits,) = run(["One text.", "Another."], "logits")
shares = np.exp(logits - logits.max(axis=1, keepdims=True))
shares /= shares.sum(axis=1, keepdims=True)
for row in shares:
    print({labels[str(index)]: float(share) for index, share in enumerate(row)})"""
)
_MULTI = (
    _LABELS
    + """
encoded, (logits,) = run(["One text.", "Another."], "logits")
for row in 1 / (1 + np.exp(-logits)):
    print({labels[str(index)]: float(share) for index, share in enumerate(row)})"""
)
_REGRESS = """
encoded, (scores,) = run(["One text.", "Another."], "logits")
print(scores[:, 0])"""
_TAG = (
    _LABELS
    + """
text = "Ada Lovelace lived in London."
(encoded,), (logits,) = run([text], "logits")
tags = [labels[str(index)] for index in logits[0].argmax(axis=1)]
for place, word in enumerate(encoded.word_ids):
    if word is not None and word != encoded.word_ids[place - 1]:  # the first piece of a word tells
        start, end = encoded.word_to_chars(word)
        print(text[start:end], tags[place])"""
)
_ANSWER = """
question, context = "Where did she live?", "Ada lived in London for many years."
(encoded,), (first, last) = run([(question, context)], "start_logits", "end_logits")
scores = np.where(np.tri(len(encoded.ids), k=-1, dtype=bool), -np.inf, first.T + last)  # no end before its start
outside = [sequence != 1 for sequence in encoded.sequence_ids]
scores[outside], scores[:, outside] = -np.inf, -np.inf
start, end = np.unravel_index(scores.argmax(), scores.shape)
print(context[encoded.offsets[start][0] : encoded.offsets[end][1]])"""
_CHOOSE = """
text, choices = "She opened the door.", ["Then she went in.", "Then it was eaten."]
encoded, (scores,) = run([(text, choice) for choice in choices], "logits")
print(choices[scores[:, 0].argmax()])"""
_TASKS = {"classify": _CLASSIFY, "regress": _REGRESS, "tag": _TAG, "answer": _ANSWER, "choose": _CHOOSE}
_OUTPUTS = {
    "classify": "- `logits` (batch, labels)",
    "regress": "- `logits` (batch, 1), the score",
    "tag": "- `logits` (batch, tokens, labels)",
    "answer": "- `start_logits` and `end_logits` (batch, tokens), of the answer's first token and its last",
    "choose": "- `logits` (batch, 1); a row is a text beside one choice",
}


def write_card(folder: Path, predictor: Predictor, to: str, verdict: Verdict, *, name: str) -> None:
    """Write it.

    Args:
        folder: an ONNX folder.
        predictor: the model that it is of.
        to: its format.
        verdict: what was measured.
        name: of the folder, once it has it.
    """
    before, after = (metrics or {verdict.figure: value} for metrics, value in _sides(verdict))
    config = predictor.config
    card = _CARD.format(
        name=name,
        kind=ARCHITECTURES[config.architecture],
        version=__version__,
        format=to,
        scored_on=verdict.scored_on,
        rows="\n".join(f"| {figure} | {before[figure]:.4f} | {after[figure]:.4f} |" for figure in before),
        largest=verdict.largest,
        compared=verdict.compared,
        code=code_for(predictor),
        graph=GRAPH,
        segments=", `token_type_ids`" if config.architecture == "bert" else "",
        longest=config.max_position_embeddings,
        outputs="\n".join(_outputs(predictor)),
    )
    write_text(folder / "README.md", card)


def code_for(predictor: Predictor) -> str:
    """Python that runs the folder it stands in, for what the model does."""
    tokenizer = predictor.tokenizer
    begin = _RUN.format(
        longest=predictor.max_length_tokens,
        pad_id=tokenizer.pad_id,
        pad=tokenizer.tokens[tokenizer.pad_id],
        graph=GRAPH,
    )
    head = predictor.head
    if head is None:
        return begin + (_FILL if predictor.fills else "") + _EMBED
    return begin + (_MULTI if head.multi_label else _TASKS[head.task])


def _outputs(predictor: Predictor) -> list[str]:
    lines = ["It gives, of which only what is asked for needs to be computed:", ""]
    lines.append(f"- `last_hidden_state` (batch, tokens, {predictor.config.hidden_size})")
    if predictor.head is not None:
        lines.append(_OUTPUTS[predictor.head.task])
    if predictor.fills:
        lines.append("- `mask_logits` (masks, vocabulary), a row for each [MASK], text after text")
    if predictor.bert.next_sentence is not None:
        lines.append("- `next_sentence_logits` (batch, 2): the second text follows the first, or is from elsewhere")
    return lines


def _sides(verdict: Verdict) -> list[tuple[dict[str, float], float]]:
    return [(verdict.metrics[0], verdict.before), (verdict.metrics[1], verdict.after)]
