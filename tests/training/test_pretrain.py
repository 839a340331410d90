"""A whole run on raw text: it learns, it leaves a folder that others open, and it says what it did."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForPreTraining, AutoTokenizer, pipeline

import bertsmith
from bertsmith.config import ModelConfig, TokenizerConfig
from bertsmith.data.batch import PretrainingBatch
from bertsmith.errors import BertsmithError, ConfigError, CorpusError, PreparedCorpusError, TokenizerError
from bertsmith.model import precision
from bertsmith.model.bert import Bert
from bertsmith.model.precision import choose_precision
from bertsmith.progress import Silent
from bertsmith.tasks.pretraining import Pretraining
from bertsmith.text.wordpiece import WordPiece
from bertsmith.training.journal import Journal
from bertsmith.training.loop import Loop
from bertsmith.training.optimizer import build_optimizer
from marks import needs_whole
from training.runs import run, weights, write_corpus


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run(
        write_corpus(folder),
        folder / "my-bert",
        steps=120,
        learning_rate=5e-3,
        dropout=0.0,
        batch_size=16,
        evaluation_rows=32,
    )
    return folder / "my-bert"


def test_it_learns_more_than_word_frequencies(finished: Path) -> None:
    records = Journal(finished / "training/metrics.jsonl").read()
    evaluations = [r for r in records if r["kind"] == "evaluation"]
    assert 15 <= len(evaluations) <= 21
    assert evaluations[-1]["step"] == 120
    assert records[0]["mlm_loss"] == pytest.approx(evaluations[0]["frequency_loss"], abs=0.2)  # and little else yet
    assert evaluations[-1]["mlm_loss"] < evaluations[-1]["frequency_loss"]


def test_samples_are_the_models_guesses_at_the_same_held_out_masks(finished: Path) -> None:
    lines = Journal(finished / "training/samples.jsonl").read()
    evaluations = [r for r in Journal(finished / "training/metrics.jsonl").read() if r["kind"] == "evaluation"]
    assert [line["step"] for line in lines] == [record["step"] for record in evaluations]
    asked = [
        [[mask["place"], mask["hidden"]] for each in line["sentences"] for mask in each["masks"]] for line in lines
    ]
    assert asked[0]
    assert all(each == asked[0] for each in asked)
    assert lines[0]["sentences"] != lines[-1]["sentences"], "the guesses move"
    tokenizer, model = AutoTokenizer.from_pretrained(finished), AutoModelForPreTraining.from_pretrained(finished)
    assert len(lines[-1]["sentences"]) == 4
    for sentence in lines[-1]["sentences"]:
        tokens = sentence["tokens"]
        ids = torch.tensor([tokenizer.convert_tokens_to_ids(tokens)])
        second = tokens.index("[SEP]") + 1
        types = torch.tensor([[int(place >= second) for place in range(len(tokens))]])
        shares = model(ids, token_type_ids=types).prediction_logits[0].softmax(-1)
        for mask in sentence["masks"]:
            assert tokens[mask["place"]] == "[MASK]"
            best = shares[mask["place"]].topk(3)
            assert [piece for piece, _ in mask["guesses"]] == tokenizer.convert_ids_to_tokens(best.indices.tolist())
            assert [share for _, share in mask["guesses"]] == pytest.approx(best.values.tolist(), abs=2e-5)


def test_transformers_opens_the_folder_and_gives_the_same_answers(finished: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(finished)
    ours = bertsmith.load(finished)
    text = "Abc de [MASK] fgh."
    theirs = pipeline("fill-mask", model=str(finished), tokenizer=tokenizer, top_k=5)(text)
    fills = ours.fill(text, top_k=5)
    assert [fill.token_id for fill in fills] == [answer["token"] for answer in theirs]
    assert [fill.probability for fill in fills] == pytest.approx([answer["score"] for answer in theirs], abs=1e-5)
    model = AutoModelForPreTraining.from_pretrained(finished)
    assert type(model).__name__ == "BertForPreTraining"
    assert model.config.hidden_dropout_prob == 0.1


def test_a_folder_of_any_name_breaks_neither_markdown_nor_python(small_corpus: Path, tmp_path: Path) -> None:
    run(small_corpus, tmp_path / 'a "b" <c> `d`', steps=1)
    card = (tmp_path / 'a "b" <c> `d`' / "README.md").read_text()
    assert r'# a "b" \<c\> \`d\`' in card
    assert r'bertsmith.load("a \"b\" <c> `d`")' in card
    assert r'model="a \"b\" <c> `d`")' in card


def test_the_card_and_the_report_have_the_figures(finished: Path) -> None:
    loss = Journal(finished / "training/metrics.jsonl").read()[-1]["mlm_loss"]
    card, report = (finished / "README.md").read_text(), (finished / "training/report.html").read_text()
    assert f"| masked LM loss, nats a token | {loss:.3f} |" in card
    assert (finished / "training/curves.svg").read_text().startswith("<svg")
    assert f"{loss:.3f}" in report
    assert "word frequency" in report
    assert "http" not in report.replace("http://www.w3.org", "").replace("https://www.w3.org", "")


@pytest.mark.parametrize(
    ("golden_file", "options"),
    [
        ("golden_curve.json", {"optimizer": "adamw", "initial_weights": "random", "early_share": 0.0}),
        ("golden_fast_curve.json", {}),
    ],
)
def test_the_loss_curve_is_the_one_it_always_was(
    small_corpus: Path, tmp_path: Path, golden_file: str, options: dict[str, Any]
) -> None:
    """Golden: change these curves only with a change that is meant to change them."""
    result = run(small_corpus, tmp_path / "run", steps=20, checkpoint_every_steps=50, **options)
    curve = [r["loss"] for r in Journal(tmp_path / "run/training/metrics.jsonl").read() if r["kind"] == "train"]
    golden = json.loads((Path(__file__).parent / golden_file).read_text())
    assert curve == pytest.approx(golden, rel=2e-4)
    assert result.steps == 20


def test_accumulation_does_not_change_the_run(small_corpus: Path, tmp_path: Path) -> None:
    curves = []
    for micro in (8, 3):
        out = tmp_path / f"micro-{micro}"
        run(small_corpus, out, steps=6, dropout=0.0, micro_batch_size=micro)
        curves.append([r["loss"] for r in Journal(out / "training/metrics.jsonl").read() if r["kind"] == "train"])
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_seeds_differ(small_corpus: Path, tmp_path: Path) -> None:
    run(small_corpus, tmp_path / "a", steps=2)
    run(small_corpus, tmp_path / "b", steps=2, seed=1)
    assert weights(tmp_path / "a") != weights(tmp_path / "b")


def test_budgets_of_epochs_and_minutes_end(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, documents=40)
    epochs = run(corpus, tmp_path / "epochs", steps=None, epochs=1.5, batch_size=4)
    last = Journal(tmp_path / "epochs/training/metrics.jsonl").read()[-1]
    assert 1.5 <= last["epochs"] < 2
    assert epochs.steps > 3
    minutes = run(corpus, tmp_path / "minutes", steps=None, minutes=0.03)
    assert 1.8 <= minutes.seconds < 30
    assert minutes.steps >= 1


def test_two_phases_of_lengths(small_corpus: Path, tmp_path: Path) -> None:
    result = run(small_corpus, tmp_path / "run", steps=6, long_share=0.5, long_length_tokens=64)
    assert result.steps == 6
    records = [r for r in Journal(tmp_path / "run/training/metrics.jsonl").read() if r["kind"] == "train"]
    tokens = np.diff([0, *(r["tokens"] for r in records)])
    assert tokens[3:].min() > 1.5 * tokens[:3].max()


def test_a_run_may_begin_with_short_rows_in_which_more_is_hidden(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    loss_sums = Pretraining.loss_sums

    def look(self: Pretraining, model: Bert, batch: PretrainingBatch) -> dict[str, torch.Tensor]:
        share = len(batch.masked_labels) / batch.tokens
        seen.append((batch.input_ids.shape[1], share, int(batch.position_ids.max())))
        return loss_sums(self, model, batch)

    monkeypatch.setattr(Pretraining, "loss_sums", look)
    run(small_corpus, tmp_path / "run", steps=4, early_share=0.5, early_length_tokens=16, early_mask_share=0.4)
    lengths, shares, positions = zip(*seen, strict=True)
    assert lengths == (16, 16, 32, 32)
    assert min(positions) > 16  # those of the later half are taught from the beginning
    assert min(shares[:2]) > 0.25 > 0.2 > max(shares[2:])


def test_masked_lm_alone_leaves_no_next_sentence_head(small_corpus: Path, tmp_path: Path) -> None:
    result = run(small_corpus, tmp_path / "run", steps=2, objective="mlm")
    assert "nsp_loss" not in result.metrics
    assert json.loads((tmp_path / "run/config.json").read_text())["architectures"] == ["BertForMaskedLM"]
    assert not any("pooler" in name or "seq_relationship" in name for name in weights(tmp_path / "run"))


def test_a_loss_that_is_no_number_ends_the_run(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(self: Loop[Bert, object], fed: object) -> tuple[dict[str, float], int]:
        for parameter in self.model.parameters():
            parameter.grad = torch.full_like(parameter, float("nan"))
        return {"mlm": float("nan")}, 1

    monkeypatch.setattr(Loop, "_accumulate", poisoned)
    with pytest.raises(BertsmithError, match=r"step 1: the gradient is nan.*--learning-rate"):
        run(small_corpus, tmp_path / "run")
    assert not (tmp_path / "run/model.safetensors").exists()


def test_a_plateau_is_said_aloud(small_corpus: Path, tmp_path: Path) -> None:
    class Listener(Silent):
        def __init__(self) -> None:
            self.warnings: list[str] = []

        def warn(self, message: str) -> None:
            self.warnings.append(message)

    from bertsmith.config import PretrainConfig
    from bertsmith.training.pretrain import pretrain
    from training.runs import SMALL

    listener = Listener()
    pretrain(
        [str(small_corpus)],
        tmp_path / "run",
        config=PretrainConfig(**{**SMALL, "learning_rate": 1e-7}),
        reporter=listener,
    )
    assert sum("word frequency" in warning for warning in listener.warnings) == 2


def test_biases_and_layer_norms_do_not_decay() -> None:
    config = ModelConfig.preset("tiny", vocab_size=50)
    bert = Bert(config, generator=torch.Generator().manual_seed(0))
    decays = {
        id(parameter): group["weight_decay"]
        for group in build_optimizer(bert, weight_decay=0.01).param_groups
        for parameter in group["params"]
    }
    for name, parameter in bert.named_parameters():
        expected = 0.0 if name.endswith("bias") or "norm" in name else 0.01
        assert decays[id(parameter)] == expected, name


def test_precision_is_measured_or_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = torch.device("cpu")
    assert choose_precision("float32", processor) == "float32"
    assert choose_precision("bfloat16", processor) == "bfloat16"
    monkeypatch.setattr(precision, "bfloat16_is_emulated", lambda: False)
    for alone, there, else_chosen in ((False, True, "float32"), (True, False, "float32"), (True, True, "int16")):
        monkeypatch.setattr(precision, "avx2_alone", lambda alone=alone: alone)
        monkeypatch.setattr(precision, "can_multiply_whole", lambda device, there=there: there)
        for bfloat16_s, expected in ((1.0, else_chosen), (0.5, else_chosen), (0.1, "bfloat16")):
            measured = [0.6, bfloat16_s]
            monkeypatch.setattr(precision, "_product_seconds", lambda *formats, measured=measured: measured)
            assert choose_precision("auto", processor) == expected
        if there:
            assert choose_precision("int16", processor) == "int16"
        else:
            with pytest.raises(ConfigError, match=r"int16 wants an x86 processor .*: take auto or float32"):
                choose_precision("int16", processor)


def test_what_else_the_machine_does_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most products in float32 are held up; the one that is not says how fast it is."""
    now, calls = [0.0], Counter[torch.dtype]()

    def product(left: Tensor, right: Tensor) -> None:
        calls[left.dtype] += 1
        held_up = left.dtype == torch.float32 and calls[left.dtype] % 5
        now[0] += 1.0 if held_up else 0.2 if left.dtype == torch.bfloat16 else 0.1

    monkeypatch.setattr(precision, "bfloat16_is_emulated", lambda: False)
    monkeypatch.setattr(precision, "avx2_alone", lambda: False)
    monkeypatch.setattr(precision, "product", product)
    monkeypatch.setattr(precision, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert choose_precision("auto", torch.device("cpu")) == "float32"


def test_a_format_that_is_emulated_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_is_emulated", lambda: True)
    monkeypatch.setattr(precision, "_product_seconds", lambda *formats: pytest.fail("a product was tried"))
    assert choose_precision("auto", torch.device("cpu")) != "bfloat16"


@pytest.mark.parametrize("low", ["bfloat16", pytest.param("int16", marks=needs_whole)])
def test_16_bits_train_too(small_corpus: Path, tmp_path: Path, low: str) -> None:
    exact = run(small_corpus, tmp_path / "float32", dropout=0.0)
    near = run(small_corpus, tmp_path / low, dropout=0.0, precision=low)
    assert near.metrics["mlm_loss"] == pytest.approx(exact.metrics["mlm_loss"], abs=0.05)
    assert near.metrics != exact.metrics


def test_a_prepared_corpus_brings_its_tokenizer(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave --tokenizer out"):
        bertsmith.pretrain(finished / "training/corpus", out=tmp_path / "x", tokenizer=finished, steps=1)


def test_a_mistake_in_the_words_does_not_stay_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"texd\.txt"):
        run(tmp_path / "texd.txt", tmp_path / "run", steps=1)
    with pytest.raises(TokenizerError, match="does not exist"):
        bertsmith.pretrain(write_corpus(tmp_path), out=tmp_path / "run", tokenizer=tmp_path / "no such", steps=1)
    assert not (tmp_path / "run").exists()
    assert run(write_corpus(tmp_path), tmp_path / "run", steps=1).steps == 1


def test_what_is_in_the_way_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/config.json").write_text("{}")
    text = write_corpus(tmp_path)
    with pytest.raises(ConfigError, match="no run of bertsmith"):
        run(text, tmp_path / "bert", steps=1)
    with pytest.raises(ConfigError, match="a file is in the way"):
        run(text, tmp_path / "bert/config.json", steps=1)


def test_another_tokenizer_in_a_prepared_corpus_is_noticed(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "training/corpus", tmp_path / "corpus")
    WordPiece.train(["other words " * 9], TokenizerConfig(vocab_size=60)).save(tmp_path / "corpus/tokenizer")
    with pytest.raises(PreparedCorpusError, match="not the tokenizer"):
        run(tmp_path / "corpus", tmp_path / "run", steps=1)


def test_settings_with_any_letters_are_read_again(tmp_path: Path) -> None:
    folder = tmp_path / '日記 🦉 "notes"'
    folder.mkdir()
    corpus = write_corpus(folder)
    run(corpus, tmp_path / "run", steps=1)
    assert run(corpus, tmp_path / "run", steps=1).steps == 1
    with pytest.raises(ConfigError, match="minutes"):
        run(corpus, tmp_path / "other", steps=None, minutes=float("inf"))


def test_two_budgets_and_unknown_options_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="steps and minutes are both a budget"):
        bertsmith.pretrain("x.txt", out=tmp_path, steps=1, minutes=2)
    with pytest.raises(ConfigError, match='"lerning_rate": did you mean "learning_rate"'):
        bertsmith.pretrain("x.txt", out=tmp_path, lerning_rate=1)
    assert os.listdir(tmp_path) == []
