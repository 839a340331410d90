"""ModernBERT from raw text to answers: it learns, goes on bit for bit, is fine-tuned; transformers says the same."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification, AutoTokenizer, pipeline

import bertsmith
from bertsmith.cli.main import main
from bertsmith.config import PretrainConfig
from bertsmith.errors import ConfigError, StoppedError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.inference.evaluate import evaluate
from bertsmith.inference.predictor import load
from bertsmith.progress import Silent
from bertsmith.training import loop
from bertsmith.training.finetune import FinetuneResult, finetune
from bertsmith.training.journal import Journal
from bertsmith.training.optimizer import begin_step, build_optimizer
from bertsmith.training.pretrain import pretrain
from training.runs import SMALL, run, weights, write_corpus

WORD, QKV = "model.embeddings.tok_embeddings.weight", "model.layers.{}.attn.Wqkv.weight"


class Listener(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(scope="module")
def model(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 80 tokens, of which a local layer sees 64 to either side."""
    out = tmp_path_factory.mktemp("modern") / "my-bert"
    options: dict[str, Any] = {"learning_rate": 5e-3, "dropout": 0.0, "batch_size": 16, "max_length_tokens": 80}
    run(small_corpus, out, architecture="modernbert", steps=60, evaluation_rows=32, **options)
    return out


def test_it_learns_more_than_word_frequencies(model: Path) -> None:
    records = Journal(model / "training/metrics.jsonl").read()
    assert records[0]["mlm_loss"] == pytest.approx(records[-1]["frequency_loss"], abs=0.2)  # and little else yet
    assert records[-1]["mlm_loss"] < records[-1]["frequency_loss"]
    assert "nsp_loss" not in records[-1]
    card = (model / "README.md").read_text()
    assert "A ModernBERT (tiny), pretrained" in card
    assert "- modernbert\n" in card
    assert "Objective: mlm." in card


def test_transformers_fills_masks_with_the_same_answers(model: Path) -> None:
    text = "Abc de [MASK] fgh."
    fills = bertsmith.load(model).fill(text, top_k=5)
    theirs = pipeline("fill-mask", model=str(model), top_k=5)(text)
    assert [fill.token_id for fill in fills] == [answer["token"] for answer in theirs]
    assert [fill.probability for fill in fills] == pytest.approx([answer["score"] for answer in theirs], abs=1e-5)
    opened = AutoModelForMaskedLM.from_pretrained(model)
    assert type(opened).__name__ == "ModernBertForMaskedLM"
    assert (opened.config.mlp_dropout, opened.config.attention_dropout) == (0.0, 0.0)
    assert set(AutoTokenizer.from_pretrained(model)("abc", "de")) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("step", [3, 8])
def test_a_stopped_run_goes_on_bit_for_bit(
    small_corpus: Path, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"architecture": "modernbert", "steps": 10, "max_length_tokens": 80}
    run(small_corpus, tmp_path / "straight", **options)
    trained = loop.Loop._train

    def train(self: Any, *arguments: Any) -> None:
        trained(self, *arguments)
        if self.progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_train", train)
        with pytest.raises(StoppedError):
            run(small_corpus, tmp_path / "run", **options)
    assert run(small_corpus, tmp_path / "run", **options).steps == 10
    assert weights(tmp_path / "run") == weights(tmp_path / "straight")
    with pytest.raises(ConfigError, match="architecture was 'modernbert', now 'bert'"):
        run(small_corpus, tmp_path / "run", steps=10, max_length_tokens=80)


def write_data(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name, count in (("train", 60), ("dev", 30)):
        rows, words = ["text,label"], []
        for _ in range(count):
            label = rng.choice(["ab", "cd"])
            text = [*rng.choice(["ef", "gh", "ij"], 4), label]
            rng.shuffle(text)
            rows.append(f"{' '.join(text)},{label}")
            words += [f"{word} {'B-X' if word in ('ab', 'cd') else 'O'}" for word in text] + [""]
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
        (folder / f"{name}.conll").write_text("\n".join(words) + "\n")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    write_data(folder)
    return folder


def tuned(task: Any, model: Path, data: Path, out: Path, reporter: Any = None, **options: Any) -> FinetuneResult:
    suffix = "conll" if task == "tag" else "csv"
    quick: dict[str, Any] = {"epochs": 6, "batch_size": 8, "learning_rate": 5e-3, "precision": "float32"}
    return finetune(
        task,
        [str(data / f"train.{suffix}")],
        out,
        model=model,
        dev=[str(data / f"dev.{suffix}")],
        config=FinetuneConfig(**{**quick, **options}),
        reading=LabelledConfig(),
        reporter=reporter or Silent(),
    )


def test_a_classifier_learns_and_transformers_gives_its_answers(model: Path, data: Path, tmp_path: Path) -> None:
    listener = Listener()
    result = tuned("classify", model, data, tmp_path / "task", listener, layer_decay=0.8)
    assert result.metrics["accuracy"] > 0.9
    assert not any("drawn anew" in line for line in listener.said)  # the layer before the decoder came along
    assert evaluate(tmp_path / "task", data / "dev.csv").metrics == pytest.approx(result.metrics)
    card = (tmp_path / "task/README.md").read_text()
    assert "A ModernBERT for " in card
    assert "- modernbert\n" in card
    texts = ["ef ab gh", "ij ij cd", "gh"]
    theirs = pipeline("text-classification", model=str(tmp_path / "task"), top_k=1)(texts)
    for ours, (their,) in zip(load(tmp_path / "task").classify(texts), theirs, strict=True):
        assert ours.label == their["label"]
        assert ours.probabilities[ours.label] == pytest.approx(their["score"], abs=1e-5)


def test_a_tagger_learns_and_opens_in_transformers(model: Path, data: Path, tmp_path: Path) -> None:
    result = tuned("tag", model, data, tmp_path / "task")
    assert result.metrics["f1"] > 0.9
    opened, text = load(tmp_path / "task"), "ef ab gh"
    (tagging,) = opened.tag([text])
    assert [(span.start, span.end) for span in tagging.spans] == [(3, 5)]
    twin = AutoModelForTokenClassification.from_pretrained(tmp_path / "task")
    assert type(twin).__name__ == "ModernBertForTokenClassification"
    read = AutoTokenizer.from_pretrained(tmp_path / "task")(text, return_tensors="pt")
    first = read.word_ids().index(1)  # of the word's pieces
    with torch.inference_mode():
        theirs = twin(**read).logits[0, first].softmax(-1)
    assert twin.config.id2label[int(theirs.argmax())] == tagging.tags[1] == "B-X"
    assert tagging.probabilities[1] == pytest.approx(theirs.max().item(), abs=1e-5)


def test_frozen_layers_and_feature_mode_leave_what_they_promise(model: Path, data: Path, tmp_path: Path) -> None:
    source = load_file(model / "model.safetensors")
    tuned("classify", model, data, tmp_path / "frozen", freeze_layers=1, epochs=1)
    trained = load_file(tmp_path / "frozen/model.safetensors")
    kept = [np.array_equal(trained[name], source[name]) for name in (WORD, QKV.format(0), QKV.format(1))]
    assert kept == [True, True, False]
    result = tuned("classify", model, data, tmp_path / "features", feature_layers=2)
    trained = load_file(tmp_path / "features/model.safetensors")
    assert all(np.array_equal(trained[name], source[name]) for name in trained if name.startswith("model."))
    assert trained["classifier.weight"].shape == (2, 2 * 128)
    assert evaluate(tmp_path / "features", data / "dev.csv").metrics == pytest.approx(result.metrics)


def test_each_layer_learns_at_a_share_of_the_one_above(model: Path) -> None:
    bert = load(model).bert
    optimizer = build_optimizer(bert, weight_decay=0.01, layer_decay=0.5)
    begin_step(optimizer, 0, rate=8.0)
    names = {parameter: name for name, parameter in bert.named_parameters()}
    rates = {names[parameter]: group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert rates["masked_lm.dense.weight"] == rates["encoder.final_norm.weight"] == 8
    assert (rates["encoder.layers.1.widen.weight"], rates["encoder.layers.0.attention.qkv.weight"]) == (4, 2)
    assert rates["encoder.embeddings.word.weight"] == 1
    assert len(rates) == len(names)


@pytest.mark.parametrize(("architecture", "told"), [("bert", 1), ("modernbert", 0)])
def test_the_end_of_a_run_that_learned_little_names_the_other_architecture(
    small_corpus: Path, tmp_path: Path, architecture: Any, told: int
) -> None:
    listener = Listener()
    config = PretrainConfig(**{**SMALL, "steps": 2, "learning_rate": 1e-5, "architecture": architecture})
    pretrain([str(small_corpus)], tmp_path / "run", config=config, reporter=listener)
    assert sum("--architecture modernbert" in line for line in listener.said) == told


def test_the_command_line_takes_it_all_the_way(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path, documents=40)
    small = ["--size", "tiny", "--steps", "2", "--batch-size", "4", "--vocab-size", "200", "--precision", "float32"]
    modern = ["--architecture", "modernbert"]
    assert main(["pretrain", "text.txt", "--out", "x", *modern, "--objective", "mlm+nsp", *small]) == 2
    assert "--objective mlm" in capsys.readouterr().err
    assert main(["pretrain", "text.txt", "--out", "bert", *modern, *small]) == 0
    assert "ModernBERT tiny" in capsys.readouterr().err
    assert main(["pretrain", "text.txt", "--out", "bert", "--config", "bert/training/run.toml"]) == 0  # goes on
    assert main(["import", "bert", "--out", "copy"]) == 0
    assert weights(tmp_path / "copy") == weights(tmp_path / "bert")
    assert main(["embed", "copy", "text.txt", "--out", "vectors.npy"]) == 0
    assert np.load("vectors.npy").shape[1] == 128
    train = ["--train", str(data / "train.csv"), "--steps", "2", "--batch-size", "4", "--precision", "float32"]
    assert main(["finetune", "classify", "--model", "copy", *train, "--out", "task"]) == 0
    capsys.readouterr()
    assert main(["predict", "task", "ef ab", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
