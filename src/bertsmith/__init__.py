"""From raw text to your own BERT, with one tool, on the hardware you have.

    import bertsmith

    bertsmith.pretrain(["notes/*.txt"], out="my-bert", size="mini", minutes=30)
    bert = bertsmith.load("my-bert")
    bert.fill("The patient was given [MASK].", top_k=5)
    bert.embed(["one text", "another"])
    bertsmith.TextClassifier("my-bert").fit(texts, labels).save("my-task")

Importing this loads no torch; the first use of a name does, with the threads and caches of `bertsmith.environment`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bertsmith import environment

if TYPE_CHECKING:
    from bertsmith.api import finetune, prepare, pretrain
    from bertsmith.errors import BertsmithError
    from bertsmith.estimators import MultipleChoice, QuestionAnswerer, TextClassifier, TextRegressor, TokenTagger
    from bertsmith.explain.predictor import Predictor, load

__version__ = "0.1.0"

_HOMES = {
    "BertsmithError": "bertsmith.errors",
    "MultipleChoice": "bertsmith.estimators",
    "Predictor": "bertsmith.explain.predictor",
    "QuestionAnswerer": "bertsmith.estimators",
    "TextClassifier": "bertsmith.estimators",
    "TextRegressor": "bertsmith.estimators",
    "TokenTagger": "bertsmith.estimators",
    "finetune": "bertsmith.api",
    "load": "bertsmith.explain.predictor",
    "prepare": "bertsmith.api",
    "pretrain": "bertsmith.api",
}

__all__ = [
    "BertsmithError",
    "MultipleChoice",
    "Predictor",
    "QuestionAnswerer",
    "TextClassifier",
    "TextRegressor",
    "TokenTagger",
    "__version__",
    "finetune",
    "load",
    "prepare",
    "pretrain",
]


def __getattr__(name: str) -> Any:
    """Fetch a public name from its module when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bertsmith' has no attribute {name!r}; it offers {', '.join(__all__)}")
    environment.set_defaults()
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
