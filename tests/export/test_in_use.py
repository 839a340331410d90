"""An ONNX folder in the hands of the commands and the server, and what users do wrong."""

import errno
import shutil
import subprocess
import sys

import pytest

from bertsmith.cli.main import main
from bertsmith.errors import ConfigError, DiskFullError, InputError, ModelFolderError
from bertsmith.export.run import export
from bertsmith.inference.onnx_reader import OnnxReader
from bertsmith.inference.predictor import load
from export.models import LABELS, alone

DEV = "text,label\n" + "\n".join(f"A nurse saw {label} patients.,{label}" for label in LABELS)


def test_the_commands_and_the_server_answer_without_torch(exported, tmp_path):
    (_, fills, _), (_, classifies, _) = exported("bert", "fill"), exported("modernbert", "classify")
    (tmp_path / "dev.csv").write_text(DEV, encoding="utf-8")
    code = f"""
import asyncio, io
from bertsmith.cli.main import main
for words in (["predict", {str(classifies)!r}, "A text."], ["evaluate", {str(classifies)!r}, "dev.csv"],
              ["fill", {str(fills)!r}, "The [MASK] slept."], ["embed", {str(fills)!r}, "dev.csv", "--out", "dev.npy"]):
    assert main([*words, "--json"]) == 0, words
import httpx2
from bertsmith.server.app import build_app
from bertsmith.server.logs import Log
from bertsmith.server.models import load_models
from bertsmith.serve_config import ServeConfig
async def ask():
    models = load_models(["fills=" + {str(fills)!r}, "classifies=" + {str(classifies)!r}], precision="auto")
    app, service = build_app(models, ServeConfig(), Log(io.StringIO()))
    service.start()
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for path in ("fill", "classify", "embed", "explain"):
            answer = await client.post("/v1/" + path, json={{"text": "A [MASK]." if path == "fill" else "A text."}})
            print(path, answer.status_code, answer.text[:100])
        answer = await client.get("/v1/models")
        print("models", answer.status_code, answer.text)
    await service.stop()
asyncio.run(ask())
"""
    said = alone(code, tmp_path, ("torch",))
    assert '"accuracy"' in said
    for path in ("fill", "classify", "embed", "models"):
        assert f"\n{path} 200 " in said
    assert "\nexplain 422 " in said
    assert "no model here can explain" in said


def test_it_answers_without_loading_torch(exported):
    _, out, _ = exported("bert", "fill")
    code = (
        "import bertsmith, sys\n"
        f"model = bertsmith.load({str(out)!r})\n"
        "print(model.fill('The [MASK] was here.')[0].token, model.embed(['one', 'two']).shape)\n"
        "print('torch' in sys.modules, 'pyarrow' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[0].endswith("(2, 16)")
    assert run.stdout.splitlines()[1] == "False False"


def test_what_an_onnx_folder_cannot_do_names_the_folder_that_can(exported, tmp_path, capsys):
    folder, out, _ = exported("bert", "fill")
    (tmp_path / "train.csv").write_text(DEV, encoding="utf-8")
    for words in (
        ["finetune", "classify", "--model", out, "--train", tmp_path / "train.csv", "--out", tmp_path / "tuned"],
        ["explain", out, "A [MASK].", "--out", tmp_path / "page.html"],
        ["export", out, "--to", "onnx", "--out", tmp_path / "again"],
        ["export", out, "--to", "sentence-transformers", "--out", tmp_path / "again"],
    ):
        assert main([str(word) for word in words]) == 2, words
        said = " ".join(capsys.readouterr().err.split())
        assert f"model.onnx only answers. Take the folder that it was exported from, {folder.name}." in said
    with pytest.raises(InputError, match="leave bfloat16 out"):
        load(out, precision="bfloat16")


def test_a_damaged_graph_is_said(exported, tmp_path):
    _, out, _ = exported("bert", "fill")
    shutil.copytree(out, tmp_path / "cut")
    (tmp_path / "cut" / "model.onnx").write_bytes((out / "model.onnx").read_bytes()[:999])
    with pytest.raises(ModelFolderError, match=r"model\.onnx is damaged"):
        load(tmp_path / "cut")


def test_the_wrong_words_are_told(tiny_bert, folder_of, tmp_path, capsys):
    there, file = tmp_path / "there", tmp_path / "file"
    there.mkdir()
    (there / "x").write_text("mine")
    file.write_text("Hi.")
    (tmp_path / "sentences.csv").write_text("sentence,mark\nA nurse.,3\n")
    (tmp_path / "empty.txt").write_text("")
    classifier, out = folder_of("bert", "classify"), tmp_path / "out"
    for model, words, message in (
        (tiny_bert, ["--to", "onnx", "--out", there], "is there already"),
        (tiny_bert, ["--to", "onnx", "--out", file], "is there already"),
        (tiny_bert, ["--to", "onnx", "--out", file / "out"], "a file is in the way"),
        (tiny_bert, ["--to", "onnx"], "needs --out"),
        (tiny_bert, ["--to", "onnx", "--out", out, "--calibration", file], "has no use with --to onnx"),
        (tiny_bert, ["--to", "onnx-int8", "--out", out, "--calibration", tmp_path / "no.txt"], "no.txt"),
        (tiny_bert, ["--to", "onnx-int8", "--out", out, "--calibration", tmp_path / "empty.txt"], "empty.txt"),
        (tiny_bert, ["--to", "onnx", "--out", out, "--max-loss", "-1"], "a loss is 0 or more"),
        (tiny_bert, ["--to", "onnx", "--out", out, "--max-loss", "nan"], "a loss is 0 or more"),
        (tiny_bert, ["--to", "onnx", "--out", out, "--dev", tmp_path / "no.txt"], "no.txt"),
        (tiny_bert, ["--to", "onnx", "--out", out, "--repo", "a/b"], "are for --to hub"),
        (tiny_bert, ["--to", "hub", "--out", out, "--repo", "a/b"], "makes no folder"),
        (tiny_bert, ["--to", "hub", "--repo", "ab"], "is no repository"),
        (tiny_bert, ["--to", "hub", "--repo", "a/b", "--dev", file], "have no use with --to hub"),
        (there, ["--to", "onnx", "--out", out], "this is no model folder"),
        (tmp_path / "none", ["--to", "onnx", "--out", out], "no such folder"),
        (classifier, ["--to", "onnx", "--out", out, "--dev", tmp_path / "sentences.csv"], "sentences.csv"),
    ):
        assert main(["export", str(model), *map(str, words)]) == 2, words
        assert message in " ".join(capsys.readouterr().err.split())
    assert (there / "x").read_text() == "mine"
    assert not out.exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_and_an_interrupt_leave_nothing(error, tiny_bert, tmp_path, monkeypatch):
    def fails(bert, mask_id, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr("bertsmith.export.graph.write_graph", fails)
    with pytest.raises((DiskFullError, KeyboardInterrupt)) as raised:
        export(tiny_bert, "onnx", tmp_path / "out")
    assert isinstance(raised.value, KeyboardInterrupt) or "the disk is full" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(tiny_bert, exported, tmp_path, monkeypatch):
    _, out, _ = exported("bert", "fill")
    with monkeypatch.context() as without:
        without.setattr("bertsmith.export.onnx_folder.find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"needs onnx, onnxscript, onnxruntime too: pip install 'bertsmith"):
            export(tiny_bert, "onnx", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'bertsmith\[export\]'"):
        OnnxReader(out)
