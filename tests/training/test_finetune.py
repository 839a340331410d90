"""Fine-tuning end to end on a tiny model: it learns, goes on bit for bit, keeps the best, and says what is wrong."""

import json
import os
import re
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import pipeline

from bertsmith.errors import CheckpointError, ConfigError, CorpusError, ModelFolderError, StoppedError
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.inference.evaluate import evaluate
from bertsmith.inference.predictor import load
from bertsmith.model.encoder import BertEncoder
from bertsmith.model.formats import to_hf_tensors
from bertsmith.progress import Silent
from bertsmith.tasks.classification import ClassificationTask
from bertsmith.training import course, loop
from bertsmith.training.course import hold_out
from bertsmith.training.finetune import FinetuneResult, finetune
from bertsmith.training.finetuning_run import FinetuningRun
from bertsmith.training.journal import Journal
from bertsmith.training.optimizer import begin_step, build_optimizer
from bertsmith.training.summary import read_summary

QUICK: dict[str, Any] = {
    "epochs": 8,
    "batch_size": 8,
    "learning_rate": 1e-2,
    "dropout": 0.02,
    "precision": "float32",
    "checkpoint_every_steps": 3,
}


class Listener(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.said.append("warning: " + message)


def write_examples(path: Path, count: int, seed: int) -> Path:
    """Texts about pain or about nurses, among words that tell nothing."""
    rng = np.random.default_rng(seed)
    lines = ["text,label"]
    for _ in range(count):
        label = rng.choice(["pain", "nurse"])
        words = [*rng.choice(["the", "ward", "was", "given", "patient"], 4), label + "s"]
        rng.shuffle(words)
        lines.append(f"{' '.join(words)},{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    write_examples(folder / "train.csv", 60, seed=0)
    write_examples(folder / "dev.csv", 30, seed=1)
    return folder


def run(tiny_bert: Path, data: Path, out: Path, reporter: Any = None, **options: Any) -> FinetuneResult:
    return finetune(
        "classify",
        [str(data / "train.csv")],
        out,
        model=tiny_bert,
        dev=[str(data / "dev.csv")],
        config=FinetuneConfig(**{**QUICK, **options}),
        reading=LabelledConfig(),
        reporter=reporter or Silent(),
    )


def weights(out: Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(out / "model.safetensors").items()}


@pytest.fixture(scope="module")
def straight(tiny_bert: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straight") / "run"
    run(tiny_bert, data, out)
    return out


def test_it_learns_and_transformers_gives_the_same_answers(straight: Path) -> None:
    summary = read_summary(straight / "training" / "result.json")
    assert summary.metrics["accuracy"] > 0.9
    texts = ["pains in the ward", "the nurses was given"]
    ours = load(straight).classify(texts)
    assert [answer.label for answer in ours] == ["pain", "nurse"]
    theirs = pipeline("text-classification", model=str(straight), device="cpu")(texts)
    assert [each["label"] for each in theirs] == [answer.label for answer in ours]
    assert [each["score"] for each in theirs] == pytest.approx(
        [answer.probabilities[answer.label] for answer in ours], abs=1e-5
    )


def test_the_folder_has_what_was_promised(straight: Path) -> None:
    assert (straight / "README.md").exists()
    assert (straight / "training" / "report.html").exists()
    assert not list((straight / "training").glob("checkpoints/*"))  # only an unfinished run needs them
    records = Journal(straight / "training" / "metrics.jsonl").read()
    assert [record["kind"] for record in records].count("evaluation") == 8
    config = json.loads((straight / "config.json").read_text())
    assert config["id2label"] == {"0": "nurse", "1": "pain"}
    assert config["architectures"] == ["BertForSequenceClassification"]


@pytest.mark.parametrize("step", [1, 6, 32])
def test_a_stopped_run_goes_on_bit_for_bit(
    tiny_bert: Path, data: Path, straight: Path, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = loop.Loop._train

    def train(self: Any, *arguments: Any) -> None:
        trained(self, *arguments)
        if self.progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_train", train)
        with pytest.raises(StoppedError, match=f"saved at step {step}"):
            run(tiny_bert, data, tmp_path / "run")
    result = run(tiny_bert, data, tmp_path / "run")
    assert weights(tmp_path / "run") == weights(straight)
    assert result.metrics == read_summary(straight / "training" / "result.json").metrics


def test_a_finished_run_is_not_done_again(tiny_bert: Path, data: Path, straight: Path) -> None:
    listener, before = Listener(), (straight / "model.safetensors").stat().st_mtime_ns
    result = run(tiny_bert, data, straight, listener)
    assert any("finished already" in line for line in listener.said)
    assert (straight / "model.safetensors").stat().st_mtime_ns == before
    assert result.summary.findings.confusion is not None
    with pytest.raises(ConfigError, match=r"learning_rate was 0\.01, now 0\.001"):
        run(tiny_bert, data, straight, learning_rate=1e-3)


def test_other_examples_under_a_run_are_noticed(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_examples(tmp_path / "train.csv", 60, seed=0)
    write_examples(tmp_path / "dev.csv", 30, seed=1)
    trained = loop.Loop._train

    def train(self: Any, *arguments: Any) -> None:
        trained(self, *arguments)
        if self.progress.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_train", train)
        with pytest.raises(StoppedError):
            run(tiny_bert, tmp_path, tmp_path / "run")
    write_examples(tmp_path / "train.csv", 60, seed=5)
    with pytest.raises(CheckpointError, match="trained on other examples"):
        run(tiny_bert, tmp_path, tmp_path / "run")


def test_the_best_evaluation_is_kept_or_the_last(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of the second evaluation, kept as the best of one run, are the last of a run that ends there."""

    def scripted(*accuracies: float) -> None:
        given = iter(accuracies)
        monkeypatch.setattr(ClassificationTask, "score", lambda *_: {"accuracy": next(given)})

    scripted(0.3, 0.9, 0.5, 0.9, 0.1)
    best = run(tiny_bert, data, tmp_path / "best", epochs=4)
    assert best.metrics == {"accuracy": 0.1}  # measured anew, on the kept weights
    scripted(0.3, 0.2, 0.1)
    run(tiny_bert, data, tmp_path / "last", epochs=4, early_stopping=1, keep="last")
    assert weights(tmp_path / "best") == weights(tmp_path / "last")


def test_the_best_of_a_future_that_was_lost_is_forgotten(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after an evaluation that no checkpoint knows: the run goes on otherwise, as with a budget in minutes."""
    options: dict[str, Any] = {"epochs": None, "steps": 8, "evaluate_every_steps": 2}  # a checkpoint every 3
    kept: list[dict[str, bytes]] = []
    keep = FinetuningRun._keep_best

    def keep_best(self: FinetuningRun) -> None:
        kept.append({name: tensor.numpy().tobytes() for name, tensor in to_hf_tensors(self.model).items()})
        keep(self)

    def scripted(*accuracies: float) -> None:
        given = iter(accuracies)
        monkeypatch.setattr(ClassificationTask, "score", lambda *_: {"accuracy": next(given)})

    def crash(self: Any, *arguments: Any) -> None:
        trained(self, *arguments)
        if self.progress.step == 5:
            raise RuntimeError("power cut")

    trained = loop.Loop._train
    monkeypatch.setattr(FinetuningRun, "_keep_best", keep_best)
    scripted(0.5, 0.9)  # after steps 2 and 4
    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_train", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            run(tiny_bert, data, tmp_path / "run", **options)
    assert len(kept) == 2
    scripted(0.4, 0.3, 0.2, 0.5)  # after steps 4, 6 and 8, and of what was kept
    run(tiny_bert, data, tmp_path / "run", **options)
    assert len(kept) == 2, "nothing was better than what step 2 had"
    assert weights(tmp_path / "run") == kept[0]


def test_an_evaluation_that_comes_again_is_told_once(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before the evaluation of step 8, and killed after it."""
    trained = loop.Loop._train

    def at(step: int, how: Any) -> Any:
        def train(self: Any, *arguments: Any) -> None:
            trained(self, *arguments)
            if self.progress.step == step:
                how()

        return train

    def crash() -> None:
        raise RuntimeError("power cut")

    for how, error in (
        (at(8, lambda: os.kill(os.getpid(), signal.SIGINT)), StoppedError),
        (at(9, crash), RuntimeError),
        (trained, None),
    ):
        monkeypatch.setattr(loop.Loop, "_train", how)
        with pytest.raises(error) if error else nullcontext():
            run(tiny_bert, data, tmp_path / "run", epochs=2, checkpoint_every_steps=10)
    records = Journal(tmp_path / "run" / "training" / "metrics.jsonl").read()
    assert [record["step"] for record in records if record["kind"] == "evaluation"] == [8, 16]


def test_early_stopping_ends_a_run_that_gets_no_better(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    result = run(tiny_bert, data, tmp_path / "run", learning_rate=1e-9, epochs=20, early_stopping=2)
    assert result.summary.steps == 3 * 8  # the first evaluation is the best, two more are not better


def test_several_seeds_are_told_as_mean_and_deviation(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    result = run(tiny_bert, data, tmp_path / "run", seeds=3, epochs=1)
    summary = result.summary
    assert list(summary.seeds) == [0, 1, 2]
    scores = [metrics["accuracy"] for metrics in summary.seeds.values()]
    mean, deviation = summary.spread("accuracy")
    assert mean == pytest.approx(np.mean(scores))
    assert deviation == pytest.approx(np.std(scores, ddof=1))
    assert summary.metrics["accuracy"] == max(scores)
    best = scores.index(max(scores))
    assert weights(tmp_path / "run") == weights(tmp_path / "run" / "training" / "seeds" / str(best))


def test_a_search_tries_and_keeps_the_best_and_goes_on(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    options = {"search": 3, "epochs": 2}
    result = run(tiny_bert, data, tmp_path / "run", **options)
    trials = result.summary.trials
    assert len(trials) == 3
    assert trials[0] == {"learning_rate": 1e-2, "batch_size": 8, "epochs": 2, "accuracy": trials[0]["accuracy"]}
    assert result.metrics["accuracy"] == max(trial["accuracy"] for trial in trials)
    tried = sorted(path.name for path in (tmp_path / "run" / "training" / "search").iterdir())
    assert tried == ["trial-000", "trial-001", "trial-002"]
    again = run(tiny_bert, data, tmp_path / "again", **options)
    assert again.summary.trials == trials  # the same search tries the same
    (tmp_path / "again" / "training" / "result.json").unlink()
    listener = Listener()
    assert run(tiny_bert, data, tmp_path / "again", listener, **options).summary.trials == trials
    assert not any("development examples: accuracy" in line for line in listener.said)  # nothing was trained again


def test_feature_mode_trains_the_head_alone(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    result = run(tiny_bert, data, tmp_path / "run", feature_layers=2)
    trained, source = load_file(tmp_path / "run" / "model.safetensors"), load_file(tiny_bert / "model.safetensors")
    shared = [name for name in trained if name.startswith(("bert.embeddings", "bert.encoder"))]
    assert shared
    assert all(np.array_equal(trained[name], source[name]) for name in shared)
    assert trained["classifier.weight"].shape == (2, 2 * 16)
    assert evaluate(tmp_path / "run", data / "dev.csv").metrics == pytest.approx(result.metrics)


def test_in_feature_mode_the_encoder_reads_each_example_once(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    hidden_states = BertEncoder.hidden_states

    def counted(self: BertEncoder, input_ids: Any, **rows: Any) -> Any:
        nonlocal read
        read += int((rows["sequence_ids"] > 0).sum()) if rows["sequence_ids"] is not None else input_ids.numel()
        return hidden_states(self, input_ids, **rows)

    monkeypatch.setattr(BertEncoder, "hidden_states", counted)
    options: dict[str, Any] = {"feature_layers": 2, "epochs": 4, "seeds": 2}
    listener = Listener()
    once = run(tiny_bert, data, tmp_path / "once", listener, **options)
    said = [re.match(r"\d+ (?:training|development) examples, (\d+) tokens", line) for line in listener.said]
    assert read == sum(int(each[1]) for each in said if each), "also of two seeds"
    once_read, read = read, 0
    monkeypatch.setattr(course, "FEATURE_BYTES", 0)
    anew = run(tiny_bert, data, tmp_path / "anew", listener, **options)
    assert read > 4 * 2 * once_read
    assert "the features of 60 examples (0.0 GB) are computed anew in each epoch" in listener.said
    assert anew.metrics == pytest.approx(once.metrics)
    expected = load_file(tmp_path / "anew" / "model.safetensors")
    for name, tensor in load_file(tmp_path / "once" / "model.safetensors").items():
        np.testing.assert_allclose(tensor, expected[name], atol=1e-4)


def test_a_stopped_run_in_feature_mode_goes_on_bit_for_bit(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"feature_layers": 2, "epochs": 3}
    run(tiny_bert, data, tmp_path / "straight", **options)
    trained = loop.Loop._train

    def train(self: Any, *arguments: Any) -> None:
        trained(self, *arguments)
        if self.progress.step == 11:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_train", train)
        with pytest.raises(StoppedError):
            run(tiny_bert, data, tmp_path / "run", **options)
    run(tiny_bert, data, tmp_path / "run", **options)
    assert weights(tmp_path / "run") == weights(tmp_path / "straight")


def test_frozen_layers_stay_as_they_were(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    run(tiny_bert, data, tmp_path / "run", freeze_layers=1, epochs=1)
    trained, source = load_file(tmp_path / "run" / "model.safetensors"), load_file(tiny_bert / "model.safetensors")
    query = "bert.encoder.layer.{}.attention.self.query.weight"
    assert np.array_equal(trained[query.format(0)], source[query.format(0)])
    assert not np.array_equal(trained[query.format(1)], source[query.format(1)])
    word = "bert.embeddings.word_embeddings.weight"
    assert np.array_equal(trained[word], source[word])
    with pytest.raises(ConfigError, match="--freeze-layers 3: the model has 2 layers"):
        run(tiny_bert, data, tmp_path / "other", freeze_layers=3)


def test_each_layer_learns_at_a_share_of_the_one_above(tiny_bert: Path) -> None:
    bert = load(tiny_bert).bert
    optimizer = build_optimizer(bert, weight_decay=0.01, layer_decay=0.5)
    begin_step(optimizer, 0, rate=8.0)
    names = {parameter: name for name, parameter in bert.named_parameters()}
    rates = {names[parameter]: group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert rates["pooler.dense.weight"] == 8
    assert rates["encoder.layers.1.widen.weight"] == 4
    assert rates["encoder.layers.0.widen.bias"] == 2
    assert rates["encoder.embeddings.word.weight"] == 1
    assert len(rates) == len(names)


def test_without_dev_a_share_is_kept_back_always_the_same(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    listener = Listener()
    result = finetune(
        "classify",
        data / "train.csv",
        tmp_path / "run",
        model=tiny_bert,
        config=FinetuneConfig(**{**QUICK, "epochs": 1}),
        reporter=listener,
    )
    assert result.summary.counts["dev"] == 6
    assert result.summary.counts["train"] == 54
    assert any("no --dev given: 6 of the examples are kept" in line for line in listener.said)
    train, dev = hold_out(list(range(50)), 0.1)
    assert sorted(train + dev) == list(range(50))
    assert (train, dev) == hold_out(list(range(50)), 0.1)
    train, dev = hold_out(list(range(50)), 0.2, lambda number: f"group {number % 5}")
    assert {number % 5 for number in train}.isdisjoint(number % 5 for number in dev)
    assert len(dev) == 10
    with pytest.raises(CorpusError, match="at least two are needed"):
        hold_out([1], 0.1)


def test_development_examples_that_are_learned_too_are_told(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\nthe nurse,a\npains,b\nthe ward,b\n")
    (tmp_path / "dev.csv").write_text("text,label\nThe  nurse,a\nthe pains,b\npains,b\n")
    listener = Listener()
    run(tiny_bert, tmp_path, tmp_path / "run", listener, epochs=1)
    (said,) = [line for line in listener.said if "read exactly as" in line]
    assert said.startswith("warning: 2 of the 3 development examples read exactly as training examples do")


def test_long_texts_are_counted_aloud(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + "pains " * 80 + ",a\nnurse,b\n" + "ward " * 50 + ",b\n")
    (tmp_path / "dev.csv").write_text("text,label\nnurse,a\n")
    listener = Listener()
    run(tiny_bert, tmp_path, tmp_path / "run", listener, epochs=1)
    assert any("2 are longer than 32 tokens and are read in overlapping windows" in line for line in listener.said)


def test_questions_too_long_for_a_window_are_left_out_and_counted(tiny_bert: Path, tmp_path: Path) -> None:
    context = "a nurse saw the doctor in the ward"
    rows = [
        {"question": text, "context": context, "answer": "a nurse"} for text in ("who?", "pain " * 20, "whom?", "when?")
    ]
    for name in ("train", "dev"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files: dict[str, Any] = {"train": str(tmp_path / "train.jsonl"), "dev": str(tmp_path / "dev.jsonl")}
    config = FinetuneConfig(**{**QUICK, "epochs": None, "steps": 1})
    with pytest.raises(CorpusError, match=r"train\.jsonl, line 2: the question has 20 tokens"):
        finetune("answer", **files, out=tmp_path / "run", model=tiny_bert, config=config)
    listener, skip = Listener(), LabelledConfig(on_bad_input="skip")
    out = tmp_path / "run"
    result = finetune("answer", **files, out=out, model=tiny_bert, config=config, reading=skip, reporter=listener)
    assert (result.summary.counts["train"], result.summary.counts["dev"]) == (3, 3)
    left_out = [line for line in listener.said if "left out" in line]
    assert left_out[0].startswith(f"warning: left out: {files['train']}, line 2: the question has 20 tokens")
    assert left_out[1] == "warning: 1 broken training example(s) left out, 3 kept"
    assert left_out[3] == "warning: 1 broken development example(s) left out, 3 kept"
    assert evaluate(out, files["dev"], reading=skip).examples == 3
    with pytest.raises(CorpusError, match=r"dev\.jsonl, line 2: the question has"):
        evaluate(out, files["dev"])


def test_what_users_get_wrong_is_explained(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\nnurse,a\npains,b\n")
    (tmp_path / "dev.csv").write_text("text,label\nnurse,a\npains,aa\n")
    with pytest.raises(CorpusError, match=r'dev\.csv, line 3: label "aa" is not one of a, b'):
        run(tiny_bert, tmp_path, tmp_path / "run")
    with pytest.raises(ModelFolderError, match="no such folder"):
        run(tmp_path / "nothing", data, tmp_path / "run")
    assert not (tmp_path / "run").exists()  # nothing is kept of a mistake


def test_a_folder_that_is_taken_is_told_before_examples_are_read(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="no run of bertsmith"):
        run(tiny_bert, tmp_path / "no data here", tmp_path / "taken")


def test_a_model_is_not_overwritten_by_what_is_made_of_it(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_bert.parent)
    with pytest.raises(ConfigError, match="the model to begin with would be overwritten"):
        run(tiny_bert, data, Path(tiny_bert.name))


def test_a_head_alone_learns_at_a_rate_of_its_own() -> None:
    assert FinetuneConfig().learning_rate == 5e-5
    assert FinetuneConfig(feature_layers=4).learning_rate == 1e-3
    assert FinetuneConfig(feature_layers=4, learning_rate=2e-4).but(seed=1).learning_rate == 2e-4


def test_a_search_and_several_seeds_together(tiny_bert: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    result = run(tiny_bert, data, tmp_path / "run", search=2, seeds=2, epochs=1)
    assert list(result.summary.seeds) == [0, 1]
    assert len(result.summary.trials) == 2
    best = max(result.summary.trials, key=lambda trial: trial["accuracy"])
    assert result.summary.recipe["learning_rate"] == best["learning_rate"]


def test_seeds_that_were_stopped_refuse_other_settings_and_go_on_with_the_same(
    tiny_bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"seeds": 2, "epochs": 1}
    trained = loop.Loop._train

    def train(self: Any, *arguments: Any) -> None:
        trained(self, *arguments)
        if self.recipe.seed == 1 and self.progress.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_train", train)
        with pytest.raises(StoppedError):
            run(tiny_bert, data, tmp_path / "run", **options)
    with pytest.raises(ConfigError, match="learning_rate was"):
        run(tiny_bert, data, tmp_path / "run", **options, learning_rate=1e-4)
    result = run(tiny_bert, data, tmp_path / "run", **options)
    straight = run(tiny_bert, data, tmp_path / "straight", **options)
    assert result.summary.seeds == straight.summary.seeds
    assert weights(tmp_path / "run") == weights(tmp_path / "straight")


def test_changed_examples_under_a_finished_run_are_noticed(tiny_bert: Path, tmp_path: Path) -> None:
    write_examples(tmp_path / "train.csv", 20, seed=0)
    write_examples(tmp_path / "dev.csv", 10, seed=1)
    run(tiny_bert, tmp_path, tmp_path / "run", epochs=1)
    write_examples(tmp_path / "dev.csv", 10, seed=2)
    with pytest.raises(CheckpointError, match="finished here was trained on other examples"):
        run(tiny_bert, tmp_path, tmp_path / "run", epochs=1)


def test_one_development_score_is_too_few_for_a_correlation_and_does_no_harm(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "score": score} for text, score in (("the ward", 1.0), ("pains", 2.0), ("a nurse", 3.0))]
    result = finetune("regress", rows, tmp_path / "run", model=tiny_bert, config=FinetuneConfig(**QUICK))
    assert set(result.metrics) == {"mse"}


def test_a_regressor_learned_again_starts_on_the_new_scale(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [
        {"text": f"{word} ward", "score": 2000.0 + 100 * at} for at, word in enumerate(["pains", "the", "a", "was"])
    ]
    for source, out in ((tiny_bert, "first"), (tmp_path / "first", "second")):
        config = FinetuneConfig(**{**QUICK, "steps": 1, "epochs": None, "learning_rate": 1e-9})
        result = finetune("regress", rows, tmp_path / out, model=source, dev=rows, config=config)
        assert result.metrics["mse"] < 1e6  # guesses lie around the mean; on the old scale they would be 2e5 off


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("regress", {"class_weights": "balanced"}, "--class-weights balanced has no use for regress"),
        ("classify", {"feature_layers": 5}, "--feature-layers 5: the model has 2 layers"),
        ("classify", {"overlap_tokens": 30}, "--overlap-tokens 30: windows have 32 tokens, .* at most 29"),
    ],
)
def test_options_without_a_use_are_refused(
    tiny_bert: Path, tmp_path: Path, task: Any, options: Any, message: str
) -> None:
    rows = [{"text": f"word {at}", "label": at} for at in range(4)]
    with pytest.raises(ConfigError, match=message):
        finetune(task, rows, tmp_path / "run", model=tiny_bert, dev=rows, config=FinetuneConfig(**QUICK | options))
