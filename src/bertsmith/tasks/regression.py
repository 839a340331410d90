"""Text regression: one number a text or pair, such as how alike two sentences are.

Scores are learned with mean 0 and standard deviation 1, whatever their scale; `settle` then gives the head their scale,
so that the folder's numbers are the user's in `transformers` too.

Letters: P places that the task reads, E examples.

Reference:
    Devlin et al. 2019, section 4.1 (STS-B).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsmith.config import HeadConfig
from bertsmith.data.labelled.examples import Labelled, TextExample
from bertsmith.data.labelled.texts import read_scored, stream_texts
from bertsmith.data.windows import Encoded, WindowBatch
from bertsmith.errors import CorpusError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.model.device import on_device
from bertsmith.tasks.findings import MOST_WRONG, Findings, Mistake
from bertsmith.tasks.finetuning import FinetuneTask
from bertsmith.tasks.reader import Float32s
from bertsmith.tasks.sequences import mean_of_groups, windows_of

if TYPE_CHECKING:
    from torch import Tensor

    from bertsmith.model.bert import Bert


class RegressionTask(FinetuneTask[TextExample, float]):
    """See the module."""

    name = "regress"
    headline = "pearson"

    @classmethod
    def read(cls, data: Any, config: LabelledConfig, *, labels: tuple[str, ...] | None = None) -> Labelled[TextExample]:
        return read_scored(data, config)

    stream = staticmethod(stream_texts)

    @classmethod
    def head_for(cls, examples: Sequence[TextExample], config: LabelledConfig, training: FinetuneConfig) -> HeadConfig:
        scores = np.array([example.score for example in examples], np.float64)
        if len(scores) == 0 or float(scores.std()) == 0.0:
            raise CorpusError(
                f"all {len(scores)} training examples have the same score, which teaches nothing. "
                "Is --label-column the right one?"
            )
        return HeadConfig(
            task="regress", score_mean=float(scores.mean()), score_scale=float(scores.std()), **training.reading()
        )

    def encode(self, examples: Sequence[TextExample]) -> list[Encoded]:
        windows = windows_of(self, [example.text for example in examples], [example.pair for example in examples])
        scores = [[] if example.score is None else [example.score] for example in examples]
        return [Encoded(each, np.array(score, np.float32)) for each, score in zip(windows, scores, strict=True)]

    def losses(self, logits: Tensor, batch: WindowBatch) -> Tensor:
        per_text = mean_of_groups(mean_of_groups(logits, batch.places_of), batch.windows_of)[:, 0]  # (P, 1) -> (E,)
        targets = (on_device(batch.labels, logits.device) - self.head.score_mean) / self.head.score_scale
        return (per_text - targets).square().sum()

    def join(self, example: TextExample, encoded: Encoded, outputs: Sequence[Float32s]) -> float:
        output = float(np.mean([output.mean() for output in outputs], dtype=np.float64))
        return output * self.head.score_scale + self.head.score_mean

    def settle(self, model: Bert) -> HeadConfig:
        assert model.classifier is not None
        model.classifier.dense.weight.data.mul_(self.head.score_scale)
        model.classifier.dense.bias.data.mul_(self.head.score_scale).add_(self.head.score_mean)
        return self.head.but(score_mean=0.0, score_scale=1.0)

    def score(self, examples: Sequence[TextExample], answers: Sequence[float]) -> dict[str, float]:
        from scipy.stats import pearsonr, spearmanr

        truth, guess = self._numbers(examples, answers)
        figures = {"mse": float(np.mean((truth - guess) ** 2))}
        if len(truth) > 1 and truth.std() > 0 and guess.std() > 0:  # else there is no correlation to speak of
            figures["pearson"] = float(pearsonr(truth, guess).statistic)
            figures["spearman"] = float(spearmanr(truth, guess).statistic)
        return figures

    def findings(self, examples: Sequence[TextExample], answers: Sequence[float]) -> Findings:
        truth, guess = self._numbers(examples, answers)
        worst = np.argsort(-np.abs(truth - guess), kind="stable")[:MOST_WRONG]
        return Findings(
            mistakes=tuple(
                Mistake(
                    examples[index].place,
                    " | ".join(text for text in (examples[index].text, examples[index].pair) if text is not None),
                    f"{truth[index]:.3g}",
                    f"{guess[index]:.3g}",
                    float(abs(truth[index] - guess[index])),
                )
                for index in worst
            )
        )

    @staticmethod
    def _numbers(examples: Sequence[TextExample], answers: Sequence[float]) -> tuple[Any, Any]:
        return np.array([example.score for example in examples], np.float64), np.array(answers, np.float64)
