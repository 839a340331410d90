"""Training and prediction on a device that says it is CUDA: nothing of the processor's meets what lies there, the
figures are the processor's, and a run goes on from one to the other. No GPU is needed, and none is measured."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bertsmith
from bertsmith.cli.main import main
from bertsmith.data.labelled.examples import ChoiceExample, GoldAnswer, QuestionExample, TextExample
from bertsmith.data.labelled.words import tagged_text
from bertsmith.errors import ConfigError, StoppedError
from bertsmith.finetune_config import FinetuneConfig
from bertsmith.inference.predictor import load
from bertsmith.model import attention
from bertsmith.model.device import choose_device, on_device
from bertsmith.model.precision import choose_precision
from bertsmith.tasks import finetuning, places
from bertsmith.training import loop, pretraining_run
from bertsmith.training.checkpoints import list_checkpoints
from bertsmith.training.finetune import finetune
from bertsmith.training.journal import Journal
from bertsmith.training.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors
from clinic_texts import TEXTS
from flash_by_hand import flash_by_hand
from pretend_cuda import CUDA, OnCuda, pretend_cuda
from training.runs import run
from training.test_finetune import Listener
from training.test_optimizer import Table, batches, train
from training.test_resume import stop_after

CPU = torch.device("cpu")


def losses(out: Path) -> list[float]:
    """Every loss of a run, of steps and evaluations."""
    records = Journal(out / "training" / "metrics.jsonl").read()
    return [value for each in records for name, value in sorted(each.items()) if name.endswith("loss")]


# The device that is none.


def test_on_the_device_that_is_none_nothing_of_the_processors_is_let_in() -> None:
    with pretend_cuda() as device:
        there = on_device(np.arange(3.0), CUDA)
        assert isinstance(there, OnCuda)
        assert there.device == (there + 1).device == torch.zeros(2, device=CUDA).device == CUDA
        assert (device.moved, device.pinned) == (1, 1)
        assert there.sum().item() == 3.0
        assert (there * torch.tensor(2.0)).cpu().tolist() == [0.0, 2.0, 4.0]  # a single number may
        for meeting in (lambda: there + torch.ones(3), lambda: there[torch.tensor([0])], lambda: torch.ones(3) @ there):
            with pytest.raises(AssertionError, match="the processor meets one of CUDA"):
                meeting()


# Which device, and what is fast there.


def test_the_device_is_as_asked_or_cuda_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device(asked) for asked in ("auto", "cpu", "cuda")] == [CUDA, CPU, CUDA]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [choose_device(asked) for asked in ("auto", "cpu")] == [CPU, CPU]
    with pytest.raises(ConfigError, match=r"finds no CUDA device here. Leave --device out"):
        choose_device("cuda")


def test_a_gpu_with_bfloat16_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for supported, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)  # noqa: B023
        assert choose_precision("auto", CUDA) == expected
        assert choose_precision("float32", CUDA) == "float32"
    with pytest.raises(ConfigError, match="int16 is for processors, and this is computed on a GPU: take auto"):
        choose_precision("int16", CUDA)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named_before_anything_is_done(
    tmp_path: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text("text,label\na,b\n" * 3)
    for words in (
        ["pretrain", "train.csv", "--out", "run"],
        ["finetune", "classify", "--model", str(tiny_bert), "--train", "train.csv", "--out", "run"],
        ["bench", "train", "--size", "tiny"],
    ):
        assert main([*words, "--device", "cuda"]) == 2
        said = capsys.readouterr().err
        assert "--device cuda" in said
        assert "Leave --device out" in said
        assert not list(tmp_path.glob("run/**/*.json"))


# Pretraining.


@pytest.mark.parametrize("options", [{}, {"architecture": "modernbert", "max_length_tokens": 160, "batch_size": 2}])
def test_pretraining_gives_the_processors_figures_and_moves_each_batch_once(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    options = {"dropout": 0.0, "steps": 6, "evaluate_every_steps": 3, **options}
    exact = run(small_corpus, tmp_path / "cpu", device="cpu", **options)

    def none_of_it(*_: object) -> None:
        raise AssertionError("only for the processor")

    with pretend_cuda() as device, monkeypatch.context() as patch:
        patch.setattr(attention, "attention_step", none_of_it)
        patch.setattr(loop, "keep_freed_memory", none_of_it)
        patch.setattr(loop.Gaps, "after_step", none_of_it)
        there = run(small_corpus, tmp_path / "cuda", **options)  # auto takes it
    assert there.metrics == pytest.approx(exact.metrics, rel=1e-4)
    assert losses(tmp_path / "cuda") == pytest.approx(losses(tmp_path / "cpu"), rel=1e-4)
    parameters = len(list(load(tmp_path / "cpu").bert.parameters()))
    assert device.pinned > 6 * 6  # the arrays of the batches
    assert device.moved - device.pinned == parameters + 2  # and word vectors, and which words have one


def test_pretraining_with_the_attention_of_a_gpu(small_corpus: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"dropout": 0.0, "steps": 4}
    run(small_corpus, tmp_path / "cpu", device="cpu", **options)
    with pretend_cuda(), flash_by_hand() as made:
        run(small_corpus, tmp_path / "cuda", **options)
    assert len(made) > 4 * 2  # two layers, and evaluations
    assert all(isinstance(each, OnCuda) for each in made)
    assert losses(tmp_path / "cuda") == pytest.approx(losses(tmp_path / "cpu"), rel=1e-4)


def test_dropout_is_drawn_by_torch_there(small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    monkeypatch.setattr("torch.cuda.manual_seed_all", seeds.append)
    with pretend_cuda():
        run(small_corpus, tmp_path / "cuda", steps=3, dropout=0.1)
    run(small_corpus, tmp_path / "cpu", steps=3, dropout=0.1)
    of_steps = [seed for seed in seeds if seeds.count(seed) == 2]  # both runs seed both generators of a step
    assert len(set(of_steps)) == 3
    assert losses(tmp_path / "cuda") != losses(tmp_path / "cpu")
    assert losses(tmp_path / "cuda") == pytest.approx(losses(tmp_path / "cpu"), rel=0.1)


@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_run_goes_on_on_another_device(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    options = {"dropout": 0.0, "steps": 6, "evaluate_every_steps": 6, "precision": "auto"}
    monkeypatch.setattr(pretraining_run, "choose_precision", lambda asked, device: "float32")
    straight = run(small_corpus, tmp_path / "straight", device="cpu", **options)
    with pretend_cuda():
        for stop, device in ((2, first), (4, {"cpu": "cuda", "cuda": "cpu"}[first])):
            with monkeypatch.context() as patch:
                stop_after(stop, patch, lambda: os.kill(os.getpid(), signal.SIGINT))
                with pytest.raises(StoppedError):
                    run(small_corpus, tmp_path / "run", device=device, **options)
            assert list_checkpoints(tmp_path / "run/training/checkpoints")[-1].name == f"step-0000000{stop}"
        there = run(small_corpus, tmp_path / "run", device=first, **options)
    assert there.steps == 6
    assert there.metrics == pytest.approx(straight.metrics, rel=1e-4)
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "straight"), rel=1e-4)


# Fine-tuning.

WORDS = ("pains", "nurses", "wards", "doctors")
EXAMPLES: dict[str, list[Any]] = {
    "classify": [TextExample(text, labels=(f"{n % 2}",)) for n, text in enumerate(TEXTS * 3)]
    + [TextExample("the pains " * 40, labels=("1",))],
    "regress": [TextExample(text, "a nurse", score=float(n)) for n, text in enumerate(TEXTS * 2)],
    "tag": [replace(each, tags=("O",) * (len(each.words) - 1) + ("X",)) for each in map(tagged_text, TEXTS * 2)],
    "answer": [
        QuestionExample("who?", text, (GoldAnswer(word, text.index(word)),))
        for text, word in zip(TEXTS * 2, ("patient", "doctor", "nurses") * 2, strict=True)
    ],
    "choose": [ChoiceExample(text, WORDS[: 2 + n % 3], n % 2) for n, text in enumerate(TEXTS * 2)],
}
LIGHT = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "dropout": 0.0, "precision": "float32"}


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("classify", {"class_weights": "balanced"}),
        ("classify", {"feature_layers": 2}),
        ("regress", {"freeze_layers": 1}),
        ("tag", {"class_weights": "balanced"}),
        ("answer", {}),
        ("choose", {}),
    ],
)
def test_each_task_is_fine_tuned_to_the_processors_figures(
    tiny_bert: Path, tmp_path: Path, task: Any, options: dict[str, Any]
) -> None:
    def learn(name: str) -> dict[str, float]:
        config = FinetuneConfig(**LIGHT, **options, device=name)
        examples = EXAMPLES[task]
        return finetune(task, examples, tmp_path / name, model=tiny_bert, dev=examples, config=config).metrics

    exact = learn("cpu")
    with pretend_cuda() as device:
        there = learn("cuda")
    assert device.pinned > 10
    assert there == pytest.approx(exact, rel=1e-3)
    assert losses(tmp_path / "cuda") == pytest.approx(losses(tmp_path / "cpu"), rel=2e-3)


def test_a_long_text_in_parts_tells_checkpoint_whose_dropout_to_draw_again(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = []
    again = places.checkpoint

    def spied(compute: Any, *given: torch.Tensor, **options: Any) -> Any:
        devices.extend(each.device for each in given)
        return again(compute, *given, **options)

    monkeypatch.setattr(places, "checkpoint", spied)
    monkeypatch.setattr(finetuning, "MICRO_BATCH_TOKENS", 64)
    long = [TextExample("the pains " * 60, labels=(label,)) for label in "ab"]
    config = FinetuneConfig(**{**LIGHT, "batch_size": 1, "dropout": 0.1, "epochs": 1}, device="cuda")
    with pretend_cuda():
        finetune("classify", long, tmp_path / "run", model=tiny_bert, dev=long, config=config)
    assert set(devices) == {CUDA}
    assert len(devices) >= 4


def test_fine_tuning_goes_on_on_another_device_too(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = EXAMPLES["classify"]

    def learn(device: str) -> list[str]:
        config, heard, out = FinetuneConfig(**LIGHT, device=device), Listener(), tmp_path / "run"
        finetune("classify", examples, out, model=tiny_bert, dev=examples, config=config, reporter=heard)
        return heard.said

    with pretend_cuda():
        for stop, device in ((2, "cpu"), (3, "cuda"), (4, "cpu")):
            with monkeypatch.context() as patch:
                stop_after(stop, patch, lambda: os.kill(os.getpid(), signal.SIGINT))
                with pytest.raises(StoppedError):
                    learn(device)
        said = learn("cuda")
    assert "going on after step 4" in said
    assert all(np.isfinite(losses(tmp_path / "run")))


def test_rows_that_were_stepped_on_a_gpu_go_on_being_stepped_on_a_processor() -> None:
    """There every row is; back on the processor those are that ever had a gradient."""
    sparse, dense = Table(sparse=True), Table(sparse=False)
    begun = build_optimizer(sparse, weight_decay=0.0)
    train(sparse, begun, batches(0, 6))
    tensors = optimizer_tensors(begun, sparse)
    with pretend_cuda():
        there = Table(sparse=False).to(CUDA)
        moved = build_optimizer(there, weight_decay=0.0)
        load_optimizer_tensors(moved, there, tensors)
        state = moved.state[there.words]
        assert set(state) == {"step", "exp_avg", "exp_avg_sq"}
        assert {each.device for each in state.values()} == {CUDA}

    # Dense from the start to step 12, then by rows, is dense all the way.
    optimizer = build_optimizer(dense, weight_decay=0.0)
    train(dense, optimizer, batches(0, 12))
    back = Table(sparse=True)
    back.load_state_dict(dense.state_dict())
    resumed = build_optimizer(back, weight_decay=0.0)
    load_optimizer_tensors(resumed, back, {k: v.clone() for k, v in optimizer_tensors(optimizer, dense).items()})
    for table, each in ((dense, optimizer), (back, resumed)):
        train(table, each, batches(12, 20))
    torch.testing.assert_close(back.words, dense.words, rtol=1e-5, atol=1e-6)
    assert resumed.state[back.words]["touched"].sum() < 31


# Prediction, and what is public.


def test_a_predictor_takes_it_too(tiny_bert: Path) -> None:
    exact = load(tiny_bert)
    masked = "A nurse saw the [MASK] in the ward."
    vectors, fills = exact.embed(TEXTS), exact.fill(masked)
    with pretend_cuda():
        there = load(tiny_bert)
        assert there.bert.device == CUDA
        np.testing.assert_allclose(there.embed(TEXTS), vectors, atol=1e-5)
        assert [each.token for each in there.fill(masked)] == [each.token for each in fills]
        low = load(tiny_bert, precision="bfloat16").embed(TEXTS)
    cosines = (low * vectors).sum(1) / np.linalg.norm(low, axis=1) / np.linalg.norm(vectors, axis=1)
    assert cosines.min() > 0.99


def test_estimators_learn_on_it(tiny_bert: Path) -> None:
    with pretend_cuda():
        fitted = bertsmith.TextClassifier(str(tiny_bert), epochs=1, precision="float32").fit(TEXTS, ["a", "b", "a"])
        assert fitted.predict(TEXTS).shape == (3,)
