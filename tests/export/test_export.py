"""What `bertsmith export` hands over, opened by the tool it is for."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from bertsmith.cli.main import main
from bertsmith.config import HeadConfig, ModelConfig
from bertsmith.errors import BertsmithError, ConfigError, InputError, ModelFolderError
from bertsmith.export import gate
from bertsmith.export.run import export
from bertsmith.inference.onnx_reader import OnnxReader
from bertsmith.inference.predictor import load
from bertsmith.model.bert import Bert
from bertsmith.model.folder import write_model_folder
from bertsmith.text.wordpiece import WordPiece

LONG_RUN = pytest.mark.skipif("BERTSMITH_KILLS" not in os.environ, reason="more of the same: make faults")
TEXTS = ["The patient was given a strong medicine against the pain.", "A nurse.", "", "the ward " * 40]
MASKED = ["The [MASK] was given a [MASK].", "A [MASK] saw the doctor in the ward.", "the [MASK] ward " * 20]
LABELS = ("calm", "glad", "sad")
TAGS = ("O", "B-DRUG", "I-DRUG")
HEADS = {
    "fill": None,
    "classify": HeadConfig(task="classify", labels=LABELS),
    "multi": HeadConfig(task="classify", labels=LABELS, multi_label=True),
    "features": HeadConfig(task="classify", labels=LABELS, feature_layers=2),
    "regress": HeadConfig(task="regress"),
    "tag": HeadConfig(task="tag", labels=TAGS),
    "answer": HeadConfig(task="answer", no_answer_threshold=0.0),
    "choose": HeadConfig(task="choose"),
}
USE = {
    "fill": lambda model: [model.fill_each(text, top_k=3) for text in MASKED],
    "classify": lambda model: model.classify(TEXTS, ["and a pair"] * 4),
    "regress": lambda model: model.rate(TEXTS),
    "tag": lambda model: model.tag(TEXTS),
    "answer": lambda model: model.answer("What was given?", " ".join(TEXTS)),
    "choose": lambda model: model.choose(TEXTS[0], TEXTS[:2]),
}
# In a short run each shape of graph once; the others have no line of their own in it.
CASES = [
    ("bert", "fill"),
    ("bert", "tag"),
    ("bert", "answer"),
    ("modernbert", "classify"),
    *(pytest.param("bert", case, marks=LONG_RUN) for case in ("classify", "multi", "features", "regress", "choose")),
    *(pytest.param("modernbert", case, marks=LONG_RUN) for case in ("fill", "tag", "answer", "regress", "choose")),
]


@pytest.fixture(scope="module")
def folder_of(tiny_bert, tmp_path_factory):
    """Makes model folders with random heads."""
    tokenizer = WordPiece.load(tiny_bert)

    def make(architecture, case, **shape):
        folder = tmp_path_factory.mktemp("models") / f"{architecture}-{case}"
        small = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
        if architecture == "modernbert":
            small["local_attention"] = 8
        config = ModelConfig(
            architecture=architecture,
            vocab_size=tokenizer.vocab_size,
            max_position_embeddings=32,
            initializer_range=0.5,
            **{**small, **shape},
        )
        head = HEADS[case]
        parts = None if head is None else ()
        bert = Bert(config, parts, head=head, generator=torch.Generator().manual_seed(3))
        write_model_folder(bert, folder)
        tokenizer.save(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def filled(folder_of, tmp_path_factory):
    """A model that fills masks, and its ONNX folder."""
    folder = folder_of("bert", "fill")
    out = tmp_path_factory.mktemp("out") / "fill-onnx"
    export(folder, "onnx", out)
    return folder, out


def numbers(value):
    """Every number in an answer, in order."""
    if isinstance(value, (int, float)):
        return [float(value)]
    if isinstance(value, dict):
        value = value.values()
    elif hasattr(value, "__dataclass_fields__"):
        value = [getattr(value, name) for name in value.__dataclass_fields__]
    return [number for each in value for number in numbers(each)] if not isinstance(value, str | None) else []


def words(value):
    """Every word in an answer, in order."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    elif hasattr(value, "__dataclass_fields__"):
        value = [getattr(value, name) for name in value.__dataclass_fields__]
    return [word for each in value for word in words(each)] if isinstance(value, list | tuple) else []


def alone(code, folder, packages):
    """Run Python in a folder where of all installed packages only some are to be had."""
    guard = (
        "import sys\n"
        "class Guard:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {packages!r}: raise ImportError(name + ' is not installed')\n"
        "sys.meta_path.insert(0, Guard())\n"
    )
    run = subprocess.run([sys.executable, "-c", guard + code], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def code_in(folder):
    """The Python of its README."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return code


NOT_FOR_README = ("torch", "bertsmith", "transformers", "onnx", "pydantic", "scipy", "sklearn", "huggingface_hub")


@pytest.mark.parametrize(("architecture", "case"), CASES)
@pytest.mark.filterwarnings("ignore:.*(longer than|the model reads)")
def test_an_onnx_folder_answers_as_its_model(architecture, case, folder_of, filled, tmp_path):
    if (architecture, case) == ("bert", "fill"):
        folder, out = filled
    else:
        folder, out = folder_of(architecture, case), tmp_path / "out"
        assert export(folder, "onnx", out).verdict.largest < 1e-4
    ours, theirs = load(folder), load(out)
    assert theirs.head == ours.head
    np.testing.assert_allclose(theirs.embed(TEXTS), ours.embed(TEXTS), atol=1e-4)
    np.testing.assert_allclose(theirs.embed(TEXTS, pooling="cls"), ours.embed(TEXTS, pooling="cls"), atol=1e-4)
    use = USE[HEADS[case].task if HEADS[case] else "fill"]
    assert words(use(theirs)) == words(use(ours))
    assert numbers(use(theirs)) == pytest.approx(numbers(use(ours)), abs=1e-4)
    assert alone(code_in(out), out, NOT_FOR_README).strip()
    assert not list(out.parent.glob(".*")), "nothing is left beside"


def test_the_lines_of_the_readme_give_the_models_answers(filled):
    folder, out = filled
    said = alone(code_in(out) + "\nprint(vectors.tolist())", out, NOT_FOR_README).splitlines()
    fills = load(folder).fill("A text with a [MASK] in it.")
    assert said[0] == str([fill.token for fill in fills])
    np.testing.assert_allclose(json.loads(said[-1]), load(folder).embed(["One text.", "Another."]), atol=1e-4)


def test_it_answers_without_torch(filled):
    _, out = filled
    code = (
        "import bertsmith, sys\n"
        f"model = bertsmith.load({str(out)!r})\n"
        "print(model.fill('The [MASK] was here.')[0].token, model.embed(['one', 'two']).shape)\n"
        "print('torch' in sys.modules, 'pyarrow' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[0].endswith("(2, 16)")
    assert run.stdout.splitlines()[1] == "False False"


def test_what_an_onnx_folder_cannot_do_is_said(filled, tmp_path):
    _, out = filled
    with pytest.raises(ModelFolderError, match="only answers"):
        load(out).bert  # noqa: B018
    with pytest.raises(InputError, match="leave bfloat16 out"):
        load(out, precision="bfloat16")
    with pytest.raises(ModelFolderError, match="only answers"):
        export(out, "onnx", tmp_path / "again")
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    (tmp_path / "model.onnx").write_bytes((out / "model.onnx").read_bytes()[:999])
    with pytest.raises(ModelFolderError, match=r"model\.onnx is damaged"):
        load(tmp_path)


@pytest.mark.filterwarnings("ignore:.*longer than")
def test_int8_is_smaller_and_close(folder_of, tmp_path, capsys):
    folder = folder_of("bert", "classify", hidden_size=64, intermediate_size=256)
    (tmp_path / "calibration.txt").write_text("\n\n".join(gate.SENTENCES), encoding="utf-8")
    dev = tmp_path / "dev.csv"
    said = load(folder).classify(list(gate.SENTENCES))
    rows = [f'"{text}",{answer.label}' for text, answer in zip(gate.SENTENCES, said, strict=True)]
    dev.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    more = ["--dev", dev, "--max-loss", "0.2", "--json"]
    for out, options in (("dynamic", []), ("static", ["--calibration", tmp_path / "calibration.txt"])):
        words = ["export", folder, "--to", "onnx-int8", "--out", tmp_path / out, *options, *more]
        assert main([str(word) for word in words]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["metrics"]["before"] == 1.0
        assert told["metrics"]["after"] >= 0.8
        assert told["metrics"]["largest"] > 1e-4, "the weights are rounded"
        assert (tmp_path / out / "model.onnx").stat().st_size < 0.5 * (folder / "model.safetensors").stat().st_size
        assert "accuracy | 1.0000" in (tmp_path / out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("largest", "after"), [(1e-6, 0.7), (1e-6, float("nan")), (0.1, 0.9)])
def test_what_loses_too_much_is_refused_with_the_numbers(largest, after, folder_of, tmp_path, monkeypatch):
    verdict = gate.Verdict(largest, 16, "accuracy", 0.9, after, 1000)
    monkeypatch.setattr("bertsmith.export.run.compare", lambda *words: verdict)
    monkeypatch.setattr("bertsmith.export.run.load", lambda folder: None)
    monkeypatch.setattr("bertsmith.export.run.material_for", lambda *words: None)
    monkeypatch.setattr("bertsmith.export.run._write", lambda _, __, folder, ___, name: (folder / "x").write_text(name))
    with pytest.raises(BertsmithError, match=r"accuracy 0\.9000 before and .* after, on 1,000"):
        export(tmp_path, "onnx", tmp_path / "out", max_loss=0.05)
    assert list(tmp_path.iterdir()) == []


def test_a_pretrained_model_is_scored_on_text(tiny_bert, tmp_path):
    text = tmp_path / "dev.txt"
    text.write_text("The patient was given a strong medicine against the pain. A nurse saw the doctor.\n" * 5)
    model = load(tiny_bert)
    material = gate.material_for(model, [str(text)], gate.LabelledConfig(), None)
    verdict = gate.compare(model, model, material)
    assert (verdict.figure, verdict.loss, verdict.largest) == ("mask_accuracy", 0.0, 0.0)
    windows = gate.masked_windows(model.tokenizer, material.texts, 32)
    assert verdict.scored_on == sum(len(hidden) for _, hidden in windows) > 10
    for window, hidden in windows:
        assert (window.input_ids[window.places] == model.tokenizer.mask_id).all()
        assert not (hidden == model.tokenizer.mask_id).any()


def test_a_sentence_transformers_folder_gives_the_same_vectors(folder_of, tmp_path):
    from sentence_transformers import SentenceTransformer

    for architecture in ("bert", "modernbert"):
        folder, out = folder_of(architecture, "classify"), tmp_path / architecture
        export(folder, "sentence-transformers", out)
        theirs = SentenceTransformer(str(out), device="cpu").encode(TEXTS[:3])
        np.testing.assert_allclose(theirs, load(folder).embed(TEXTS[:3]), atol=1e-4)
        np.testing.assert_allclose(load(out).embed(TEXTS[:3]), theirs, atol=1e-4)


def test_the_wrong_words_are_told(tiny_bert, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").write_text("mine")
    for words, message in (
        (["--to", "onnx", "--out", tmp_path / "there"], "is there already"),
        (["--to", "onnx"], "needs --out"),
        (["--to", "onnx", "--out", tmp_path / "out", "--calibration", "x.txt"], "has no use with --to onnx"),
        (["--to", "onnx", "--out", tmp_path / "out", "--repo", "a/b"], "are for --to hub"),
        (["--to", "hub", "--out", tmp_path / "out", "--repo", "a/b"], "makes no folder"),
        (["--to", "hub", "--repo", "ab"], "is no repository"),
    ):
        assert main(["export", str(tiny_bert), *map(str, words)]) == 2
        assert message in capsys.readouterr().err.replace("\n", " ")
    assert (tmp_path / "there" / "x").read_text() == "mine"


def test_missing_packages_are_named(tiny_bert, filled, tmp_path, monkeypatch):
    monkeypatch.setattr("bertsmith.export.onnx_folder.find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"needs onnx, onnxscript, onnxruntime too: pip install 'bertsmith\[export\]'"
    ):
        export(tiny_bert, "onnx", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'bertsmith\[export\]'"):
        OnnxReader(filled[1])


def test_help_loads_no_torch():
    code = "import sys; from bertsmith.cli.main import main; main(['export', '--help']); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--max-loss" in run.stdout
    assert run.stdout.splitlines()[-1] == "False"
