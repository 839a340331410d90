"""The side of `transformers`: `python -m side_by_side.peer JOB`, as its own examples and documentation have it.

Fast tokenizer, batches padded to their longest, `Trainer`; words and questions as `run_ner.py` and `run_qa.py` read
them. What makes it faster and costs nothing is done: examples in memory rather than in Arrow, nothing logged or saved.

Reference:
    huggingface/transformers, `examples/pytorch`: text-classification, token-classification, question-answering.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers.models.bert.modeling_bert  # so that no import is timed
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)

from side_by_side.job import Job, Outcome, child
from side_by_side.sets import read

Example = dict[str, Any]
Feature = dict[str, Any]

IGNORED = -100  # the label of a place that has none
QUESTION_TOKENS, STRIDE_TOKENS = 384, 128
BEST, ANSWER_TOKENS = 20, 30


class Kind(Protocol):
    """What a kind of task adds to `Trainer`: a model, features to train on and to predict, and what outputs mean."""

    collator: Any
    labels: Sequence[str] | None

    def model(self, folder: str, **options: Any) -> PreTrainedModel: ...
    def features(self, examples: list[Example], *, known: bool) -> list[Feature]: ...
    def answers(self, examples: list[Example], features: list[Feature], outputs: Any) -> list[Any]: ...


class Texts:
    """Classification and regression; a text that is too long is truncated."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, longest: int, train: list[Example]) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        self.collator = DataCollatorWithPadding(tokenizer)
        labels = sorted({example["label"] for example in train})
        self.labels = labels if isinstance(labels[0], str) else None

    def model(self, folder: str, **options: Any) -> PreTrainedModel:
        if self.labels is None:
            options |= {"num_labels": 1, "problem_type": "regression"}
        return AutoModelForSequenceClassification.from_pretrained(folder, **options)

    def features(self, examples: list[Example], *, known: bool) -> list[Feature]:
        pairs = [example["pair"] for example in examples] if "pair" in examples[0] else None
        texts = [example["text"] for example in examples]
        features = _rows(self.tokenizer(texts, pairs, truncation=True, max_length=self.longest))
        if known:
            for feature, example in zip(features, examples, strict=True):
                feature["labels"] = self.labels.index(example["label"]) if self.labels else example["label"]
        return features

    def answers(self, examples: list[Example], features: list[Feature], outputs: Any) -> list[Any]:
        if self.labels is None:
            return outputs[:, 0].tolist()
        return [self.labels[index] for index in outputs.argmax(-1)]


class Words:
    """Tagging: a word's first piece has its tag; words beyond the longest sequence get none."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, longest: int, train: list[Example]) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        self.collator = DataCollatorForTokenClassification(tokenizer)
        self.labels = sorted({tag for example in train for tag in example["tags"]})

    def model(self, folder: str, **options: Any) -> PreTrainedModel:
        return AutoModelForTokenClassification.from_pretrained(folder, **options)

    def features(self, examples: list[Example], *, known: bool) -> list[Feature]:
        words = [example["words"] for example in examples]
        encoded = self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=self.longest)
        features = _rows(encoded)
        ids = {label: index for index, label in enumerate(self.labels)}
        for index, (feature, example) in enumerate(zip(features, examples, strict=True)):
            firsts = _firsts(encoded.word_ids(index))
            if known:
                tags = example["tags"]
                feature["labels"] = [IGNORED if word is None else ids[tags[word]] for word in firsts]
            else:
                feature["firsts"] = firsts
        return features

    def answers(self, examples: list[Example], features: list[Feature], outputs: Any) -> list[Any]:
        answers = []
        for example, feature, output in zip(examples, features, outputs.argmax(-1), strict=True):
            tags = ["O"] * len(example["words"])
            for place, word in enumerate(feature["firsts"]):
                if word is not None:
                    tags[word] = self.labels[output[place]]
            answers.append(tags)
        return answers


def _firsts(word_ids: Sequence[int | None]) -> list[int | None]:
    """The word that begins at each place; None where none does."""
    return [word if word != before else None for word, before in zip(word_ids, [None, *word_ids], strict=False)]


class Questions:
    """Extractive question answering in overlapping windows; an answer outside a window is at [CLS]."""

    labels = None

    def __init__(self, tokenizer: PreTrainedTokenizerFast, longest: int, train: list[Example]) -> None:
        self.tokenizer, self.longest = tokenizer, min(longest, QUESTION_TOKENS)
        self.collator = DataCollatorWithPadding(tokenizer)

    def model(self, folder: str, **options: Any) -> PreTrainedModel:
        return AutoModelForQuestionAnswering.from_pretrained(folder, **options)

    def features(self, examples: list[Example], *, known: bool) -> list[Feature]:
        encoded = self.tokenizer(
            [example["question"].lstrip() for example in examples],
            [example["context"] for example in examples],
            truncation="only_second",
            max_length=self.longest,
            stride=STRIDE_TOKENS,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        owners, offsets = encoded.pop("overflow_to_sample_mapping"), encoded.pop("offset_mapping")
        features = _rows(encoded)
        for index, feature in enumerate(features):
            shown = [place for place, part in enumerate(encoded.sequence_ids(index)) if part == 1]
            if known:
                first, last = _target(examples[owners[index]]["answers"][0], offsets[index], shown)
                feature |= {"start_positions": first, "end_positions": last}
            else:
                feature |= {"owner": owners[index], "offsets": offsets[index], "shown": shown}
        return features

    def answers(self, examples: list[Example], features: list[Feature], outputs: Any) -> list[Any]:
        best = [(-np.inf, "")] * len(examples)
        for feature, start, end in zip(features, *outputs, strict=True):
            context = examples[feature["owner"]]["context"]
            score, first, last = _best_span(start, end, feature["shown"])
            text = context[feature["offsets"][first][0] : feature["offsets"][last][1]]
            if score > best[feature["owner"]][0]:
                best[feature["owner"]] = score, text
        return [text for _, text in best]


def _target(answer: Example, offsets: Sequence[tuple[int, int]], shown: Sequence[int]) -> tuple[int, int]:
    """First and last token of an answer; 0 and 0 if the window does not hold all of it."""
    start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
    if not shown or offsets[shown[0]][0] > start or offsets[shown[-1]][1] < end:
        return 0, 0
    first = max(place for place in shown if offsets[place][0] <= start)
    last = min(place for place in shown if offsets[place][1] >= end)
    return first, last


def _best_span(start: Any, end: Any, shown: Sequence[int]) -> tuple[float, int, int]:
    """Score, first and last token of the best span that is in order and not too long, of the BEST starts and ends."""
    places = np.array(shown)
    firsts = places[np.argsort(-start[places])[:BEST]]
    lasts = places[np.argsort(-end[places])[:BEST]]
    length = lasts[None, :] - firsts[:, None] + 1
    fits = (length > 0) & (length <= ANSWER_TOKENS)
    sums = np.where(fits, start[firsts][:, None] + end[lasts][None, :], -np.inf)
    first, last = np.unravel_index(int(sums.argmax()), sums.shape)
    return float(sums[first, last]), int(firsts[first]), int(lasts[last])


def _rows(encoded: Any) -> list[Feature]:
    names = list(encoded.keys())
    return [dict(zip(names, values, strict=True)) for values in zip(*encoded.values(), strict=True)]


KINDS: dict[str, type] = {"classify": Texts, "regress": Texts, "tag": Words, "answer": Questions}


def arguments_of(job: Job, folder: str) -> TrainingArguments:
    """The recipe, as `Trainer` is told it."""
    precision, *options = job.variant.split("+")
    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=job.batch_size,
        per_device_eval_batch_size=32,
        num_train_epochs=job.epochs,
        learning_rate=job.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=job.warmup_share,  # under 1: a share of the steps
        weight_decay=job.weight_decay,
        max_grad_norm=job.clip_norm,
        bf16=precision == "bfloat16",
        train_sampling_strategy="group_by_length" if "grouped" in options else "random",
        torch_compile="compile" in options,
        seed=job.seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def run(job: Job) -> Outcome:
    """Read, train, predict."""
    transformers.logging.set_verbosity_error()
    outcome = Outcome(precision=job.variant.split("+")[0])
    longest = job.max_length_tokens or AutoConfig.from_pretrained(job.model).max_position_embeddings

    def prepare() -> tuple[Kind, list[Feature], list[Example], list[Feature]]:
        tokenizer = AutoTokenizer.from_pretrained(job.model)
        train, dev = (read(job.kind, Path(path)) for path in (job.train, job.dev))
        kind: Kind = KINDS[job.kind](tokenizer, longest, train)
        return kind, kind.features(train, known=True), dev, kind.features(dev, known=False)

    def train() -> Trainer:
        set_seed(job.seed)
        options: dict[str, Any] = {"dtype": torch.float32}
        if kind.labels:
            options |= {"id2label": dict(enumerate(kind.labels)), "label2id": {x: i for i, x in enumerate(kind.labels)}}
        if "eager" in job.variant:
            options["attn_implementation"] = "eager"
        model = kind.model(job.model, **options)
        trainer = Trainer(model, arguments_of(job, folder), train_dataset=learned, data_collator=kind.collator)
        trainer.train()
        return trainer

    def predict() -> list[Any]:
        # What only the answers need is no input of the model.
        inputs = [{name: feature[name] for name in names} for feature in measured]
        return kind.answers(dev, measured, trainer.predict(inputs).predictions)

    with tempfile.TemporaryDirectory() as folder:
        kind, learned, dev, measured = outcome.timed("read", prepare)
        names = ("input_ids", "token_type_ids", "attention_mask")
        trainer = outcome.timed("train", train)
        outcome.answers = outcome.timed("predict", predict)
    outcome.tokens = round(sum(len(feature["input_ids"]) for feature in learned) * job.epochs)
    return outcome


if __name__ == "__main__":
    child(run)
