"""What moved between two models: the measures against their definitions, the comparison, what the page is fed with."""

import json
import shutil

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import bertsmith
from bertsmith.cli.main import main
from bertsmith.config import ModelConfig, PretrainConfig
from bertsmith.data.shards import open_corpus
from bertsmith.errors import InputError, ModelFolderError
from bertsmith.explain.drift import attention_moved, linear_cka, weight_drift
from bertsmith.explain.opening import open_others
from bertsmith.explain.packing import unpack
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_model_folder, write_model_folder
from bertsmith.tasks.pretraining import Pretraining
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.new_model import new_model
from bertsmith.training.start import Start
from explain.folders import moved_folder, task_folder, words_for
from training.runs import run, write_corpus

TEXT = "The [MASK] saw a medicine in the wards."
SAMPLE = ["a nurse saw the doctor", "", "The patient was given a strong medicine against the pain. " * 5]


# Measures.


def test_cka_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)), rng.normal(size=(40, 9))
    y[:, :3] += 2 * x[:, :3]
    centred = np.eye(40) - 1 / 40
    hsic = lambda k, m: np.trace(k @ centred @ m @ centred) / 39**2  # noqa: E731
    k, m = x @ x.T, y @ y.T
    expected = hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))
    assert 0.1 < expected < 0.9
    assert linear_cka(x, y) == pytest.approx(expected, rel=1e-9)


def test_cka_does_not_see_turning_scaling_moving_and_sides():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 8)), rng.normal(size=(50, 8)) + 1
    y[:, 0] += x[:, 0]
    turn, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    alike = linear_cka(x, y)
    for other in (y @ turn, -3.5 * y, y + rng.normal(size=8), y[:, ::-1]):
        assert linear_cka(x, other) == pytest.approx(alike, rel=1e-9)
    assert linear_cka(y, x) == pytest.approx(alike, rel=1e-9)
    assert linear_cka(x, 2 * x @ turn) == pytest.approx(1, rel=1e-9)
    assert linear_cka(x, y * np.arange(1, 9)) != pytest.approx(alike, rel=1e-3), "it does see stretching"


def test_cka_of_strangers_falls_with_the_tokens():
    rng = np.random.default_rng(2)
    few, many = (linear_cka(rng.normal(size=(n, 32)), rng.normal(size=(n, 32))) for n in (16, 4096))
    assert few > 0.5 > 0.05 > many
    assert linear_cka(np.ones((4, 3)), rng.normal(size=(4, 3))) == 0, "one that tells no tokens apart"


def test_attention_that_moved_is_counted_once():
    was = np.array([[[[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]]], np.float32)
    now = np.array([[[[0, 1, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]]]], np.float32)
    assert_allclose(attention_moved(now, was), [[(1 + 0 + 0.5) / 3]])


def test_weights_are_compared_room_by_room(tiny_bert):
    (was, _), (bert, _) = read_model_folder(tiny_bert), read_model_folder(tiny_bert)
    with torch.no_grad():
        for weight in bert.encoder.layers[1].attention.parameters():
            weight *= 1.25
        bert.encoder.embeddings.word.weight *= 3
    drift = {each.name: each for each in weight_drift(bert, was)}
    assert list(drift) == ["embeddings", "layer 1", "layer 2", "pooler", "masked LM head", "next-sentence head"]
    assert drift["layer 2"].parts == pytest.approx({"attention": 0.25, "norms": 0, "feed-forward": 0})
    layer = torch.cat([each.flatten() for each in was.encoder.layers[1].parameters()])
    attention = torch.cat([each.flatten() for each in was.encoder.layers[1].attention.parameters()])
    assert drift["layer 2"].change == pytest.approx((0.25 * attention.norm() / layer.norm()).item())
    assert drift["embeddings"].parts["words"] == pytest.approx(2)
    assert drift["layer 1"].change == drift["pooler"].change == 0


# Two models.


@pytest.fixture(scope="module")
def moved(tiny_bert, tmp_path_factory):
    return moved_folder(tiny_bert, tmp_path_factory.mktemp("moved") / "other")


@pytest.fixture(scope="module")
def compared(tiny_bert, moved):
    bert = bertsmith.load(tiny_bert)
    return bert.compare(bert.explain(TEXT, evidence=False), moved)


def test_the_other_is_recorded_as_it_would_be_alone(compared, moved):
    (found,) = compared.beside
    alone = bertsmith.load(moved).explain(TEXT, evidence=False)
    assert_allclose(found.other.recording.attention, alone.recording.attention)
    assert found.other.guesses(2) == alone.guesses(2)
    assert_allclose(found.attention, attention_moved(compared.recording.attention, alone.recording.attention))
    states = [[r.embeddings.normed, r.layers[0].output, r.output] for r in (compared.recording, alone.recording)]
    assert_allclose(found.cka, [linear_cka(*each) for each in zip(*states, strict=True)], rtol=1e-6)
    assert (found.sample_tokens, found.from_sample) == (len(compared.recording.tokens), False)
    assert (found.cka[1:] < 0.999).all()


def test_over_a_sample_the_states_are_those_of_the_encoder(tiny_bert, moved):
    bert, other = bertsmith.load(tiny_bert), bertsmith.load(moved)
    (found,) = bert.compare(bert.explain(TEXT, evidence=False), other, sample=SAMPLE).beside
    states: list[list[np.ndarray]] = [[], []]
    for text in (SAMPLE[0], SAMPLE[2]):
        ids = torch.tensor([bert.tokenizer.encode(text).input_ids[:32]])
        for model, kept in zip((bert, other), states, strict=True):
            rows = {"token_type_ids": torch.zeros_like(ids), "position_ids": torch.arange(ids.shape[1])[None]}
            with torch.no_grad():
                kept.append(torch.stack(model.bert.encoder.hidden_states(ids, **rows, sequence_ids=None))[:, 0].numpy())
    ours, theirs = (np.concatenate(each, axis=1) for each in states)
    assert found.sample_tokens == ours.shape[1]
    assert_allclose(found.cka, [linear_cka(*each) for each in zip(ours, theirs, strict=True)], rtol=1e-4)


def test_a_sample_is_read_up_to_its_limit(tiny_bert, moved, monkeypatch):
    monkeypatch.setattr("bertsmith.explain.comparing.SAMPLE_TOKENS", 10)
    bert = bertsmith.load(tiny_bert)
    (found,) = bert.compare(bert.explain(TEXT, evidence=False), moved, sample=SAMPLE).beside
    assert found.sample_tokens == 10


@pytest.mark.parametrize("name", ["classify", "features", "regress", "tag", "answer", "choose"])
def test_a_fine_tuned_model_beside_what_it_came_from(tiny_bert, tmp_path, name):
    task = bertsmith.load(task_folder(tiny_bert, name, tmp_path / name))
    words = words_for(name)
    compared = task.compare(task.explain(**words, evidence=False), tiny_bert, task)
    source, itself = compared.beside
    assert {each.change for each in source.weights} == {0}
    assert_allclose(source.cka, 1, rtol=1e-6)
    assert source.attention.max() == 0
    assert source.other.recording.task is None
    assert source.other.guesses(1), "it still guesses words, and the fine-tuned one does not"
    assert itself.other.recording.task.answer == compared.recording.task.answer
    data = json.loads(json.dumps(compared.as_json(), allow_nan=False))
    assert data["beside"][0]["task"] is None
    assert data["beside"][1]["task"] == data["task"]


def test_what_cannot_be_compared_is_named(tiny_bert, tmp_path, compared):
    bert = bertsmith.load(tiny_bert)
    config = ModelConfig(**{**bert.bert.config.model_dump(), "num_hidden_layers": 1, "intermediate_size": 8})
    write_model_folder(Bert(config, generator=torch.Generator().manual_seed(1)), tmp_path / "flat")
    bert.tokenizer.save(tmp_path / "flat")
    with pytest.raises(InputError, match=r"another shape .*\(num_hidden_layers 1 and 2; intermediate_size 8 and 32\)"):
        bert.compare(compared, tmp_path / "flat")
    shutil.copytree(tiny_bert, tmp_path / "words")
    pieces = bert.tokenizer.tokens
    for file in (tmp_path / "words").glob("tokenizer*"):
        file.unlink()
    (tmp_path / "words/vocab.txt").write_text("\n".join([*pieces[:-1], "elsewhere"]) + "\n")
    with pytest.raises(InputError, match="another vocabulary"):
        bert.compare(compared, tmp_path / "words")
    with pytest.raises(InputError, match="the sample has no word"):
        bert.compare(compared, tiny_bert, sample=["", " "])
    with pytest.raises(ModelFolderError):
        bert.compare(compared, tmp_path / "nowhere")


# A run and its checkpoints.


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run(write_corpus(folder, documents=40), folder / "my-bert", steps=4, checkpoint_every_steps=2)
    return folder / "my-bert"


def test_a_run_beside_its_checkpoints_and_its_start(pretrained):
    bert = bertsmith.load(pretrained)
    steps = pretrained / "training/checkpoints"
    explained = bert.explain("a [MASK]", evidence=False)
    beside = bert.compare(explained, steps).beside
    assert [each.other.recording.model for each in beside] == [f"my-bert, step {step}" for step in (0, 2, 4)]
    change = [next(each.change for each in one.weights if each.name == "layer 2") for one in beside]
    assert change[0] > change[1] > change[2] == 0
    (start,) = bert.compare(explained, steps / "step-0").beside
    assert start.weights == beside[0].weights
    drawn = new_model(PretrainConfig(size="tiny", steps=4), Pretraining("mlm+nsp"), vocab_size=200, pad_token_id=0)
    Start.counted(open_corpus(pretrained / "training/corpus"), 128, seed=0).give(drawn)
    (opened,) = open_others(steps / "step-00000000")
    theirs = dict(drawn.named_parameters())
    assert drawn.config.vocab_size == opened.bert.config.vocab_size
    for name, weight in opened.bert.named_parameters():
        assert torch.equal(weight, theirs[name]), name


def test_the_checkpoints_of_a_run_that_began_otherwise_are_opened(pretrained, tmp_path):
    copied = tmp_path / "my-bert"
    shutil.copytree(pretrained, copied)
    settings = copied / "training/run.toml"
    settings.write_text(settings.read_text().replace('"counted"', '"neighbours"'))
    assert [each.name for each in open_others(copied / "training/checkpoints")] == [
        "my-bert, step 2",
        "my-bert, step 4",
    ]
    with pytest.raises(ModelFolderError, match="no pretraining run of this version"):
        open_others(copied / "training/checkpoints/step-0")


def test_a_start_that_was_lost_is_said(pretrained, tmp_path):
    copied = tmp_path / "my-bert"
    shutil.copytree(pretrained, copied)
    (copied / "training/start.safetensors").unlink()
    with pytest.raises(ModelFolderError, match=r"start\.safetensors: missing or damaged"):
        open_others(copied / "training/checkpoints/step-0")


def test_a_checkpoint_that_is_not_there_is_said(pretrained, tiny_bert, tmp_path):
    with pytest.raises(ModelFolderError, match=r"step-00000003: no such checkpoint; kept are step-00000002, step-0"):
        open_others(pretrained / "training/checkpoints/step-00000003")
    shutil.copytree(tiny_bert, tmp_path / "task")
    (tmp_path / "task/training/checkpoints").mkdir(parents=True)
    with pytest.raises(ModelFolderError, match="of this version, so its start cannot be drawn again"):
        open_others(tmp_path / "task/training/checkpoints/step-0")


# What the page is fed with.


def test_the_heads_that_moved_most_are_given(compared, monkeypatch):
    (found,) = compared.beside
    data = compared.as_json()
    heads = [tuple(each) for each in data["beside"][0]["heads"]]
    moved = [found.attention[head] for head in heads]
    assert len(heads) == 4
    assert moved == sorted(moved, reverse=True)
    arrays = unpack(data["arrays"])
    for index, head in enumerate(heads):
        np.testing.assert_array_equal(arrays["beside.0.weights"][index], found.other.recording.attention[head])
    monkeypatch.setattr("bertsmith.explain.beside_data.BESIDE_BYTES", 2 * 4 * len(compared.recording.tokens) ** 2)
    assert len(compared.as_json()["beside"][0]["heads"]) == 2
    assert len(compared.as_json(whole=True)["beside"][0]["heads"]) == 4


def test_a_page_of_a_base_model_beside_six_others_is_under_three_megabytes(tmp_path, tiny_bert):
    tokenizer = WordPiece.load(tiny_bert)
    tokenizer.save(tmp_path)
    shape = {"num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 192, "hidden_size": 12 * 16}
    config = ModelConfig(vocab_size=tokenizer.vocab_size, initializer_range=0.5, max_position_embeddings=128, **shape)
    write_model_folder(Bert(config, generator=torch.Generator().manual_seed(1)), tmp_path)
    bert = bertsmith.load(tmp_path)
    for words in (31, 125):
        text = " ".join(["[MASK]", *(["nurse", "ward", "pain", "doctor"] * 32)[:words]])
        compared = bert.compare(bert.explain(text, evidence=False), *[bert] * 6)
        assert len(compared.page()) < 3_000_000


def test_the_command_compares(tiny_bert, moved, tmp_path, capsys):
    (tmp_path / "sample.txt").write_text("\n".join(SAMPLE))
    options = [
        "--sample",
        str(tmp_path / "sample.txt"),
        "--out",
        str(tmp_path / "page.html"),
        "--no-evidence",
        "--json",
    ]
    assert main(["explain", str(tiny_bert), TEXT, "--compare", str(moved), str(tiny_bert), *options]) == 0
    beside = json.loads(capsys.readouterr().out)["beside"]
    bert = bertsmith.load(tiny_bert)
    expected = bert.compare(bert.explain(TEXT, evidence=False), moved, sample=SAMPLE).beside[0]
    assert beside[0]["cka"] == pytest.approx(expected.cka.tolist(), rel=1e-5)
    assert beside[0]["weights"] == pytest.approx({each.name: each.change for each in expected.weights})
    assert beside[1]["cka"] == pytest.approx([1, 1, 1])
    assert main(["explain", str(tiny_bert), TEXT, "--sample", "x.txt", "--out", str(tmp_path / "page.html")]) == 2
    assert "no use without --compare" in capsys.readouterr().err
