"""What `bertsmith export` hands over, opened by the tool it is for."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bertsmith.cli.main import main
from bertsmith.errors import BertsmithError, CorpusError
from bertsmith.export import gate, graph
from bertsmith.export.quantise import quantise_dynamic
from bertsmith.export.run import export
from bertsmith.inference.predictor import load
from bertsmith.progress import Silent
from export.models import HEADS, alone

LONG_RUN = pytest.mark.skipif("BERTSMITH_KILLS" not in os.environ, reason="more of the same: make faults")
TEXTS = ["The patient was given a strong medicine against the pain.", "A nurse.", "", "the ward " * 40]
MASKED = ["The [MASK] was given a [MASK].", "A [MASK] saw the doctor in the ward.", "the [MASK] ward " * 20]
USE = {
    "fill": lambda model: [model.fill_each(text, top_k=3) for text in MASKED],
    "classify": lambda model: model.classify(TEXTS, ["and a pair"] * 4),
    "regress": lambda model: model.rate(TEXTS),
    "tag": lambda model: model.tag(TEXTS),
    "answer": lambda model: model.answer("What was given?", " ".join(TEXTS)),
    "choose": lambda model: model.choose(TEXTS[0], TEXTS[:2]),
}
# What the lines of the README print, where they decide as the model does.
SAYS = {
    "classify": lambda model: [each.probabilities for each in model.classify(["One text.", "Another."])],
    "regress": lambda model: model.rate(["One text.", "Another."]),
    "choose": lambda model: model.choose("She opened the door.", ["Then she went in.", "Then it was eaten."]).text,
}
# In a short run each shape of graph once; the others have no line of their own in it.
CASES = [
    ("bert", "fill"),
    ("bert", "answer"),
    ("modernbert", "classify"),
    ("modernbert", "multi-features"),
    *(
        pytest.param("bert", case, marks=LONG_RUN)
        for case in ("tag", "classify", "multi", "features", "regress", "choose")
    ),
    *(
        pytest.param("modernbert", case, marks=LONG_RUN)
        for case in ("fill", "tag", "multi", "features", "answer", "regress", "choose")
    ),
]


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


def read_numbers(text):
    """Every decimal number in a text, in order."""
    return [float(number) for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text)]


def code_in(folder):
    """The Python of its README."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return code


NOT_FOR_README = ("torch", "bertsmith", "transformers", "onnx", "pydantic", "scipy", "sklearn", "huggingface_hub")


@pytest.mark.parametrize(("architecture", "case"), CASES)
@pytest.mark.filterwarnings("ignore:.*(longer than|the model reads)")
def test_an_onnx_folder_answers_as_its_model(architecture, case, exported):
    folder, out, verdict = exported(architecture, case)
    assert verdict.largest < 1e-4
    ours, theirs = load(folder), load(out)
    assert theirs.head == ours.head
    np.testing.assert_allclose(theirs.embed(TEXTS), ours.embed(TEXTS), atol=1e-4)
    np.testing.assert_allclose(theirs.embed(TEXTS, pooling="cls"), ours.embed(TEXTS, pooling="cls"), atol=1e-4)
    task = HEADS[case].task if HEADS[case] else "fill"
    use = USE[task]
    assert words(use(theirs)) == words(use(ours))
    assert numbers(use(theirs)) == pytest.approx(numbers(use(ours)), abs=1e-4)
    said = alone(code_in(out), out, NOT_FOR_README)
    if task in SAYS:
        assert read_numbers(said) == pytest.approx(read_numbers(str(SAYS[task](ours))), abs=1e-4)
    assert said.strip()
    assert not list(out.parent.glob(".*")), "nothing is left beside"


def test_the_lines_of_the_readme_give_the_models_answers(exported):
    folder, out, _ = exported("bert", "fill")
    said = alone(code_in(out) + "\nprint(vectors.tolist())", out, NOT_FOR_README).splitlines()
    fills = load(folder).fill("A text with a [MASK] in it.")
    assert said[0] == str([fill.token for fill in fills])
    windows = gate.masked_windows(load(out).tokenizer, gate.SENTENCES, 32)
    ours, theirs = (load(each).reader.next_sentence_logits([window for window, _ in windows]) for each in (folder, out))
    assert theirs.shape == (len(windows), 2)
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
    assert str(folder.parent).encode() not in (out / "model.onnx").read_bytes()
    assert b"site-packages" not in (out / "model.onnx").read_bytes()
    np.testing.assert_allclose(json.loads(said[-1]), load(folder).embed(["One text.", "Another."]), atol=1e-4)


def once(write, kept):
    """`write`, whose file is kept and copied when it is asked for again."""

    def wrote(bert, mask_id, path):
        if not kept.exists():
            write(bert, mask_id, kept)
        shutil.copy(kept, path)

    return wrote


@pytest.mark.filterwarnings("ignore:.*longer than")
@pytest.mark.parametrize(
    ("architecture", "case", "kept"), [("bert", "classify", 0.8), ("modernbert", "multi-features", 0.65)]
)
def test_int8_is_smaller_and_close(architecture, case, kept, folder_of, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(graph, "write_graph", once(graph.write_graph, tmp_path / "exact.onnx"))
    folder = folder_of(architecture, case, hidden_size=64, intermediate_size=256)
    (tmp_path / "calibration.txt").write_text("\n\n".join(gate.SENTENCES), encoding="utf-8")
    dev = tmp_path / "dev.csv"
    said = load(folder).classify(list(gate.SENTENCES))
    rows = [f'"{text}","{",".join(answer.labels)}"' for text, answer in zip(gate.SENTENCES, said, strict=True)]
    dev.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    more = ["--dev", dev, "--max-loss", 1 - kept, "--json"]
    for out, options in (("dynamic", []), ("static", ["--calibration", tmp_path / "calibration.txt"])):
        words = ["export", folder, "--to", "onnx-int8", "--out", tmp_path / out, *options, *more]
        assert main([str(word) for word in words]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["metrics"]["before"] == 1.0
        assert told["metrics"]["after"] >= kept
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


def test_what_rounding_took_is_found(exported, tmp_path):
    folder, out, _ = exported("bert", "fill")
    shutil.copytree(out, tmp_path / "rounded")
    quantise_dynamic(out / "model.onnx", tmp_path / "rounded" / "model.onnx")
    material = gate.material_for(load(folder), (), gate.LabelledConfig(), None)
    verdict = gate.compare(load(folder), load(tmp_path / "rounded"), material)
    assert (verdict.figure, verdict.compared) == ("cosine", len(gate.SENTENCES))
    assert verdict.largest > gate.SAME
    with pytest.raises(BertsmithError, match=rf"loses {verdict.loss:.4f} of the cosine .*, and --max-loss is 0\."):
        verdict.check(0.0, exact=False)
    with pytest.raises(BertsmithError, match="numbers differ by up to"):
        verdict.check(1.0, exact=True)


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
    from transformers import AutoModel, AutoTokenizer

    for architecture in ("bert", "modernbert"):
        folder, out = folder_of(architecture, "classify"), tmp_path / architecture
        export(folder, "sentence-transformers", out)
        theirs = SentenceTransformer(str(out), device="cpu").encode(TEXTS[:3])
        np.testing.assert_allclose(theirs, load(folder).embed(TEXTS[:3]), atol=1e-4)
        np.testing.assert_allclose(load(out).embed(TEXTS[:3]), theirs, atol=1e-4)
        given = AutoTokenizer.from_pretrained(out)(TEXTS[0], return_tensors="pt")
        states = AutoModel.from_pretrained(out).eval()(**given).last_hidden_state  # (1, T, D)
        np.testing.assert_allclose(states.mean(1)[0].detach().numpy(), theirs[0], atol=1e-4)


def test_help_loads_no_torch():
    code = "import sys; from bertsmith.cli.main import main; main(['export', '--help']); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--max-loss" in run.stdout
    assert run.stdout.splitlines()[-1] == "False"


def test_a_loss_is_a_share_of_the_figures_best_whatever_the_task_tells_it_in(folder_of, tmp_path):
    """F1 of answers is told in percent: 0.01 of it is a point, not a hundredth of one."""
    folder = folder_of("bert", "answer")
    questions = [{"id": "1", "question": "who?", "answers": [{"text": "nurse", "answer_start": 2}]}]
    squad = {"data": [{"paragraphs": [{"context": "a nurse in the ward", "qas": questions}]}]}
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    model = load(folder)
    material = gate.material_for(model, [str(tmp_path / "squad.json")], gate.LabelledConfig(), Silent())
    verdict = gate.compare(model, model, material)
    lost = replace(verdict, before=80.0, after=79.5)
    assert (lost.figure, lost.loss) == ("f1", pytest.approx(0.005))
    lost.check(0.01, exact=False)
    with pytest.raises(BertsmithError, match=r"loses 0\.0150 of the f1"):
        replace(lost, after=78.5).check(0.01, exact=False)


def test_without_the_figure_that_counts_no_other_is_taken_for_it(folder_of, tmp_path):
    """Of one example there is no correlation; the squared error, of which less is better, stood in for it."""
    folder = folder_of("bert", "regress")
    (tmp_path / "dev.csv").write_text("text,score\nthe pains,2.5\n")
    model = load(folder)
    material = gate.material_for(model, [str(tmp_path / "dev.csv")], gate.LabelledConfig(), Silent())
    with pytest.raises(CorpusError, match=r"--dev: there is no pearson of these 1 example"):
        gate.compare(model, model, material)
