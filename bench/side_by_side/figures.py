"""The figures of answers: one function for both sides, by the definitions everyone reports."""

from __future__ import annotations

import re
import string
import warnings
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

Example = dict[str, Any]


def measure(kind: str, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, float]:
    """The figures of answers to examples of a kind; see `sets`."""
    measures = {"classify": _classified, "regress": _scored, "tag": _tagged, "answer": _answered}
    return {name: float(value) for name, value in measures[kind](examples, answers).items()}


def _classified(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    truth = [example["label"] for example in examples]
    return {
        "accuracy": accuracy_score(truth, answers),
        "f1_macro": f1_score(truth, answers, average="macro"),
        "mcc": matthews_corrcoef(truth, answers),
    }


def _scored(examples: Sequence[Example], answers: Sequence[float]) -> dict[str, float]:
    from scipy.stats import pearsonr, spearmanr

    truth = [example["label"] for example in examples]
    return {"pearson": pearsonr(truth, answers).statistic, "spearman": spearmanr(truth, answers).statistic}


def _tagged(examples: Sequence[Example], answers: Sequence[Sequence[str]]) -> dict[str, float]:
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2

    truth = [example["tags"] for example in examples]
    pairs = [pair for said, right in zip(answers, truth, strict=True) for pair in zip(said, right, strict=True)]
    figures = {"accuracy": fmean(said == right for said, right in pairs)}
    if any(tag.startswith("B-") for tags in truth for tag in tags):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # seqeval warns where nothing was found, as after very short trainings
            figures["f1"] = f1_score(truth, list(answers), mode="strict", scheme=IOB2)
            figures["f1_default"] = f1_score(truth, list(answers))
    return figures


def _answered(examples: Sequence[Example], answers: Sequence[str]) -> dict[str, float]:
    """As SQuAD's official script of version 1.1; shares, not percent."""
    exact, f1 = [], []
    for example, answer in zip(examples, answers, strict=True):
        said, golds = _normal(answer), [_normal(gold["text"]) for gold in example["answers"]]
        exact.append(said in golds)
        f1.append(max(_overlap(said.split(), gold.split()) for gold in golds))
    return {"exact_match": fmean(exact), "f1": fmean(f1)}


def _normal(text: str) -> str:
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def _overlap(said: list[str], gold: list[str]) -> float:
    same = (Counter(said) & Counter(gold)).total()
    return 2 * same / (len(said) + len(gold)) if same else 0.0
