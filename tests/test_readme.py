"""The README's commands and Python run as written, but for a smaller model and budget from the environment."""

import ast
import gzip
import json
import re
import shlex
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from bertsmith.cli.main import main
from data.corpora import raw_text

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """Every `bertsmith …` of the README: in blocks, and whole ones between back-ticks."""
    lines = [line.strip() for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(bertsmith [^`]*(?:--out|report)[^`]*)`", README)
    lines = [line.replace("--minutes 60", "--minutes 0.01").replace(" TASK ", " classify ") for line in lines]
    lines = [line.replace("s3://bucket", "memory://bucket").removesuffix(" --engine ray") for line in lines]
    return [line for line in lines if line.startswith("bertsmith ")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bert: Path) -> Path:
    """A folder with what the README speaks of."""
    monkeypatch.chdir(tmp_path)
    for folder in ("notes", "more"):
        (tmp_path / folder).mkdir()
    (tmp_path / "notes/a.txt").write_text(raw_text(0, documents=60))
    records = [json.dumps({"body": text}) for text in raw_text(1, documents=20).split("\n\n")]
    (tmp_path / "more/b.jsonl.gz").write_bytes(gzip.compress("\n".join(records).encode()))
    (tmp_path / "SOURCE").symlink_to(tiny_bert)
    for name in ("train.csv", "dev.csv", "test.csv", "more.csv"):
        (tmp_path / name).write_text("text,label\n" + "the pains,bad\na nurse,good\n" * 4)
    question = {"id": "1", "question": "who?", "answers": [{"text": "nurse", "answer_start": 2}]}
    squad = {"data": [{"paragraphs": [{"context": "a nurse in the ward", "qas": [question]}]}]}
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    (tmp_path / "glue_data/SST-2").mkdir(parents=True)
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / "glue_data/SST-2" / name).write_text("sentence\tlabel\n" + "the pains\t0\na nurse\t1\n" * 4)
    fsspec.filesystem("memory").put(str(tmp_path / "notes"), "memory://bucket/notes", recursive=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in {"SIZE": "tiny", "VOCAB_SIZE": "200", "EVALUATION_ROWS": "4", "BATCH_SIZE": "4"}.items():
        monkeypatch.setenv(f"BERTSMITH_{name}", value)
    return tmp_path


def test_every_command_runs(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(commands()) >= 7
    monkeypatch.setenv("BERTSMITH_STEPS", "2")
    files = ["--train", "squad.json", "--dev", "squad.json"]
    assert main(["finetune", "answer", "--model", "SOURCE", *files, "--out", "my-qa"]) == 0  # the README has one
    (place / "other-task").symlink_to("my-task")
    monkeypatch.setattr(
        "bertsmith.server.run.serve", lambda models, config, runs, ready: ready(f"port {config.port}")
    )  # at once
    for number, command in enumerate(commands()):
        words = shlex.split(command, comments=True)[1:]
        if words[0] == "pretrain":
            budget = "0" if "--minutes" in words else "2"
            monkeypatch.setenv("BERTSMITH_STEPS", budget) if budget != "0" else monkeypatch.delenv("BERTSMITH_STEPS")
        folder = place / (words[words.index("--out") + 1] if "--out" in words else "my-bert")
        if words[0] in ("pretrain", "import", "finetune") and folder.exists():  # each is a beginning of its own
            folder.rename(place / f"{folder.name}-{number}")
        if words[0] in ("fill", "tokenizer") and not folder.exists():
            pytest.fail(f"{command}: nothing has made my-bert yet")
        assert main(words) == 0, f"{command}\n{capsys.readouterr().err}"


def run_python(block: str, names: dict[str, Any]) -> dict[str, Any]:
    """What each line that is an expression gives, by its text."""
    given = {}
    for node in ast.parse(block).body:
        line = ast.get_source_segment(block, node) or ""
        if isinstance(node, ast.Expr):
            exec(f"given = {line}", names)
            given[line] = names["given"]
        else:
            exec(line, names)
    return given


def test_the_python_runs_and_gives_what_is_said_beside_it(place: Path, tiny_bert: Path) -> None:
    (place / "my-bert").symlink_to(tiny_bert)
    names: dict[str, Any] = {"texts": ["the pains", "a nurse"], "labels": ["bad", "good"]}
    given: dict[str, Any] = {}
    for block in blocks("python"):
        given |= run_python(block, names)
    layers, heads, width = 2, 2, 16
    assert given['classifier.predict_proba(["a new text"])'].shape == (1, 2)
    assert (place / "my-task/model.safetensors").exists()
    vectors = given['bert.embed(["one text", "another"])']
    assert (vectors.shape, vectors.dtype) == ((2, width), np.float32)
    shares = [fill.probability for fill in given['bert.fill("The patient was given [MASK].")']]
    assert shares == sorted(shares, reverse=True)
    theirs = given['pipeline("fill-mask", model="my-bert")']("The patient was given [MASK].")
    assert [each["score"] for each in theirs] == pytest.approx(shares, abs=1e-5)
    answers = given['task.classify(["one text", "another"])']
    assert [set(answer.probabilities) for answer in answers] == [{"bad", "good"}] * 2
    tokens = len(names["explained"].recording.tokens)
    assert given["explained.recording.layers[0].weights"].shape == (heads, tokens, tokens)
    assert given["explained.evidence[0].integrated"].shape == (tokens,)
    cka, attention = given["compared.beside[0].cka, compared.beside[0].attention"]
    assert (cka.shape, attention.shape) == ((layers + 1,), (layers, heads))
    assert "<html" in (place / "page.html").read_text(encoding="utf-8")
    assert "<svg" in (place / "head.svg").read_text(encoding="utf-8")
