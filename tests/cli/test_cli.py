"""The commands, mostly in this process; the real entry point where it matters."""

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bertsmith.cleaning_config import CleaningConfig
from bertsmith.cli.main import COMMANDS, main
from bertsmith.config import CorpusConfig, PretrainConfig, TokenizerConfig
from bertsmith.finetune_config import FinetuneConfig, LabelledConfig
from bertsmith.plan_config import PlanConfig

TEXT = "The patient was given a medicine.\nThe nurse saw the doctor in the ward.\n\nPains and wards. The end.\n" * 20
OPTIONS_OF = {
    "tokenizer train": (TokenizerConfig, CorpusConfig),
    "tokenizer report": (CorpusConfig,),
    "prepare": (TokenizerConfig, CorpusConfig, CleaningConfig),
    "pretrain": (PretrainConfig, TokenizerConfig, CorpusConfig, CleaningConfig),
    "preview": (CorpusConfig, PretrainConfig),
    "plan": (PlanConfig, PretrainConfig),
    "bench train": (PretrainConfig,),
    "bench prepare": (TokenizerConfig, CorpusConfig),
    "finetune": (FinetuneConfig, LabelledConfig),
    "evaluate": (LabelledConfig,),
    "predict": (LabelledConfig,),
}


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """A working directory with some text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def run_json(capsys, *argv: object):
    assert main([*map(str, argv), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1, "one JSON object and nothing else on stdout"
    return json.loads(out)


def complaint(capsys, *argv: object) -> str:
    """What a command that must fail for the user's words says."""
    assert main([str(word) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("words", COMMANDS)
def test_help_of_every_command_lists_its_options(words, capsys):
    assert main([*words.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--config" in shown
    assert "--json" in shown
    for config in OPTIONS_OF.get(words, ()):
        for name, field in config.model_fields.items():
            assert f"--{name.replace('_', '-')}" in shown
            assert field.description.split()[0] in shown


def test_help_lists_every_command_without_torch_or_a_config():
    code = (
        "import sys; from bertsmith.cli.main import main; main(['--help']);"
        "print(sorted({'torch', 'pydantic', 'numpy', 'tokenizers'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    for words in COMMANDS:
        assert words.split()[0] in shown


def test_the_module_is_the_command():
    run = subprocess.run([sys.executable, "-m", "bertsmith", "fil"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert 'Did you mean "fill"?' in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["pretrain", "a.txt", "--out", "x", "--stps", "3"], "--steps"),
        (["pretrain", "a.txt", "--out", "x", "--steps", "many"], "many"),
        (["pretrain", "a.txt", "--out", "x", "--size", "huge"], "'tiny', 'mini'"),
        (["pretrain", "a.txt", "--out", "x", "--mask-share", "1.5"], "mask_share"),
        (["pretrain", "a.txt", "--out", "x", "--early-share", "0.1", "--early-length-tokens", "256"], "is above"),
        (["pretrain", "--out", "x"], "--corpus"),
        (["prepare", "missing.txt", "--out", "x"], "missing.txt"),
        (["fill", "nowhere", "A [MASK]."], "nowhere"),
        (["fill", "nowhere", "--topk", "3", "A [MASK]."], "misspelt"),
        (["embed", "nowhere", "-"], "--out"),
        (["embed", "nowhere", "missing.txt"], "missing.txt"),
    ],
)
def test_the_users_mistakes_have_status_2_and_name_the_place(notes, capsys, argv, message):
    assert message in complaint(capsys, *argv)


def test_flags_win_over_the_environment_which_wins_over_the_file(notes, capsys, monkeypatch):
    Path("run.toml").write_text(
        'corpus = ["notes.txt"]\nout = "from-file"\nvocab_size = 70\nmin-frequency = 2\n', encoding="utf-8"
    )
    assert run_json(capsys, "tokenizer", "train", "--config", "run.toml") == {"out": "from-file", "vocab_size": 70}
    monkeypatch.setenv("BERTSMITH_VOCAB_SIZE", "71")
    monkeypatch.setenv("BERTSMITH_OUT", "from-environment")
    made = run_json(capsys, "tokenizer", "train", "--config", "run.toml")
    assert made == {"out": "from-environment", "vocab_size": 71}
    made = run_json(capsys, "tokenizer", "train", "--config", "run.toml", "--vocab-size", "72", "--out", "flag")
    assert made == {"out": "flag", "vocab_size": 72}
    assert Path("flag/tokenizer.json").exists()


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("vocab_sise = 40", 'run.toml: unknown option "vocab_sise": did you mean "vocab_size"?'),
        ("whatever = 40", '"whatever": --help lists what there is'),
        ("vocab_size = ", "no valid TOML"),
        ('vocab_size = "many"', "many"),
    ],
)
def test_a_wrong_file_is_explained(notes, capsys, toml, message):
    Path("run.toml").write_text(toml, encoding="utf-8")
    assert message in complaint(capsys, "tokenizer", "train", "notes.txt", "--out", "x", "--config", "run.toml")


def test_a_missing_config_file_is_named(notes, capsys):
    error = complaint(capsys, "tokenizer", "train", "notes.txt", "--out", "x", "--config", "gone.toml")
    assert "gone.toml: cannot be read" in error


def test_tokenizer_report_counts_what_is_cut(notes, capsys):
    run_json(capsys, "tokenizer", "train", "notes.txt", "--out", "tok", "--vocab-size", "200")
    Path("odd.txt").write_text("nurseward the\n", encoding="utf-8")
    metrics = run_json(capsys, "tokenizer", "report", "tok", "odd.txt")["metrics"]
    assert metrics["words"] == 2
    assert metrics["whole_word_share"] == 0.5
    assert [cut["word"] for cut in metrics["worst_cut_words"]] == ["nurseward"]
    assert main(["tokenizer", "report", "tok", "odd.txt"]) == 0
    assert "nurseward" in capsys.readouterr().out


def test_prepare_keeps_its_tokenizer_and_notices_other_options(notes, capsys):
    made = run_json(capsys, "prepare", "notes.txt", "--out", "corpus", "--vocab-size", "70", "--workers", "1")
    assert made["counts"]["documents"] == 21
    assert Path("corpus/tokenizer/vocab.txt").read_text(encoding="utf-8").count("\n") == 70
    error = complaint(capsys, "prepare", "notes.txt", "--out", "corpus", "--vocab-size", "71", "--workers", "1")
    assert "vocab_size was 70, now 71" in error


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (MemoryError(), "not enough memory. Give less"),
        (MemoryError("of a batch"), "not enough memory (of a batch). Give less"),
        (RuntimeError("[enforce fail] can't allocate memory: you tried 9\nat …"), "you tried 9). Give less"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "not enough memory (CUDA out of memory)"),
        (RuntimeError("a mistake of ours"), None),
    ],
)
def test_too_little_memory_is_one_line_and_no_other_error_is_taken_for_it(error, shown, notes, capsys, monkeypatch):
    def fails(*given, **options):
        raise error

    monkeypatch.setattr("bertsmith.text.train.train_tokenizer", fails)
    words = ["tokenizer", "train", "notes.txt", "--out", "made"]
    if shown is None:
        with pytest.raises(RuntimeError, match="of ours"):
            main(words)
    else:
        assert main(words) == 1
        assert shown in capsys.readouterr().err
    assert not Path("made").exists()


@pytest.mark.parametrize("words", [["prepare"], ["pretrain", "--steps", "1"], ["tokenizer", "train"]])
def test_a_file_without_text_leaves_no_folder(words, notes, capsys):
    Path("blank.txt").write_text(" \n\n", encoding="utf-8")
    assert "blank.txt: no document found" in complaint(capsys, *words, "blank.txt", "--out", "made")
    assert not Path("made").exists()
    assert main([*words, "blank.txt", "notes.txt", "--out", "made"]) == 0
    assert Path("made").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_read_once(notes):
    assert main(["tokenizer", "train", "notes.txt", "--out", "tok", "--vocab-size", "70"]) == 0
    os.mkfifo("piped.txt")
    threading.Thread(target=Path("piped.txt").write_bytes, args=[Path("notes.txt").read_bytes()], daemon=True).start()
    words = ["prepare", "piped.txt", "--tokenizer", "tok", "--out", "corpus", "--workers", "1", "--json"]
    read = subprocess.run([sys.executable, "-m", "bertsmith", *words], capture_output=True, timeout=120, check=True)
    assert json.loads(read.stdout)["counts"]["documents"] == 21


def test_prepare_cleans_what_it_is_asked_to_and_shows_it(notes, capsys):
    words = ["prepare", "notes.txt", "--vocab-size", "70", "--workers", "1", "--drop-duplicates", "exact"]
    preview = run_json(capsys, *words, "--out", "corpus", "--preview-cleaning", "100")
    assert preview["cleaning"]["read"]["documents"] == 21
    assert preview["cleaning"]["steps"]["exact_duplicates"]["dropped"] == 18
    assert preview["examples"][0]["beside"] == preview["examples"][0]["text"]
    assert not Path("corpus").exists()
    made = run_json(capsys, *words, "--out", "corpus")
    assert made["cleaning"] == preview["cleaning"]
    assert made["counts"]["documents"] == 3
    assert main([*words, "--out", "corpus"]) == 0  # made already: the table is that of the manifest
    shown = capsys.readouterr().out
    assert "dropped: exact duplicate" in shown
    assert [line.split()[1] for line in shown.splitlines() if line.split()[0] in ("read", "kept")] == ["21", "3"]
    assert main([*words, "--out", "corpus", "--preview-cleaning", "100"]) == 0
    out, err = capsys.readouterr()
    assert out.count("notes.txt") == 3
    assert "fewer in a sample than in the whole corpus" in err
    assert "no step of cleaning" in complaint(capsys, *words[:-2], "--out", "x", "--preview-cleaning", "9")


def test_pretrain_cleans_raw_text_and_says_what_is_idle_on_a_prepared_corpus(notes, capsys):
    words = [
        "--size",
        "tiny",
        "--steps",
        "1",
        "--batch-size",
        "2",
        "--evaluation-rows",
        "2",
        "--drop-duplicates",
        "exact",
    ]
    assert main(["pretrain", "notes.txt", "--out", "run", *words, "--vocab-size", "70", "--workers", "1"]) == 0
    assert "18 of 21 documents dropped (18 exact duplicate)" in capsys.readouterr().err
    assert 'drop_duplicates = "exact"' in Path("run/training/run.toml").read_text(encoding="utf-8")
    assert main(["pretrain", "run/training/corpus", "--out", "other", *words]) == 0
    assert "drop_duplicates: decided when the corpus" in capsys.readouterr().err.replace("\n", " ")


def test_cleaning_loads_its_libraries_only_where_they_are_used(notes):
    code = (
        "import sys, bertsmith.data.prepare, bertsmith.data.cleaning.preview;"
        "print(sorted({'ftfy', 'rensa', 'wcwidth'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_fill_answers_as_json_and_as_a_table(tiny_bert, capsys):
    made = run_json(capsys, "fill", tiny_bert, "The [MASK] [MASK].", "--candidates", "nurse, pain")
    (only,) = made["answers"]
    assert [len(mask) for mask in only["masks"]] == [2, 2]
    assert {fill["token"] for fill in only["masks"][0]} == {"nurse", "pain"}
    assert main(["fill", str(tiny_bert), "The [MASK] [red]pain[/red].", "--top-k", "3"]) == 0
    assert capsys.readouterr().out.count("[red]pain[/red]") == 4


def test_fill_reads_lines_from_stdin(tiny_bert, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a [MASK]\n\r\nthe [MASK]\n")))
    answers = run_json(capsys, "fill", tiny_bert, "-")["answers"]
    assert [each["text"] for each in answers] == ["a [MASK]", "", "the [MASK]"]
    assert [len(each["masks"]) for each in answers] == [1, 0, 1]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("a [MASK]\n\na für [MASK]\n".encode("latin-1"))))
    assert main(["fill", str(tiny_bert), "-"]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("a [MASK]"), "answered before the next line was read"
    assert "stdin, line 3: byte 3 is no UTF-8" in err
    assert "Traceback" not in err


def test_embed_writes_a_row_a_line(tiny_bert, notes, capsys):
    Path("lines.txt").write_text("the pain\r\n\nthe ward\u2028here", encoding="utf-8")
    assert main(["embed", str(tiny_bert), "lines.txt"]) == 0
    vectors = np.load("lines.npy")
    assert vectors.shape == (3, 16)
    shown = run_json(capsys, "embed", tiny_bert, "lines.txt", "--pooling", "cls")
    assert shown["shape"] == [3, 16]
    assert not np.allclose(shown["embeddings"], vectors)
    assert main(["embed", str(tiny_bert), "lines.txt", "--out", "new/cls.npy", "--pooling", "cls"]) == 0
    np.testing.assert_allclose(np.load("new/cls.npy"), shown["embeddings"], rtol=1e-6)


def test_embed_names_the_byte_that_is_no_utf_8(tiny_bert, notes, capsys):
    Path("latin.txt").write_bytes("für".encode("latin-1"))
    assert "latin.txt: byte 1 is not UTF-8" in complaint(capsys, "embed", tiny_bert, "latin.txt")


def test_embed_of_an_empty_file_is_a_mistake(tiny_bert, notes, capsys, monkeypatch):
    Path("empty.txt").write_bytes(b"")
    assert "empty.txt is empty" in complaint(capsys, "embed", tiny_bert, "empty.txt")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert "stdin is empty" in complaint(capsys, "embed", tiny_bert, "-", "--json")
    assert not Path("empty.npy").exists()


def test_import_of_a_legacy_folder_answers_the_same(tiny_bert, notes, capsys):
    import torch
    from safetensors.torch import load_file

    weights = load_file(tiny_bert / "model.safetensors")
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): value for name, value in weights.items()}
    legacy = Path("legacy")
    legacy.mkdir()
    for name in ("config.json", "vocab.txt"):
        (legacy / name).write_bytes((tiny_bert / name).read_bytes())
    torch.save(
        {name: value for name, value in old.items() if "seq_relationship" not in name}, legacy / "pytorch_model.bin"
    )
    assert "bertsmith import" in complaint(capsys, "fill", legacy, "a [MASK]")
    made = run_json(capsys, "import", legacy, "--out", "mine")
    assert made["absent"] == ["next_sentence"]
    ours, theirs = (run_json(capsys, "fill", model, "a [MASK]")["answers"] for model in ("mine", tiny_bert))
    assert ours == theirs
    assert "is the source itself" in complaint(capsys, "import", "mine", "--out", "mine")


def test_debug_shows_the_traceback(monkeypatch):
    from bertsmith.errors import InputError

    monkeypatch.setenv("BERTSMITH_DEBUG", "1")
    with pytest.raises(InputError):
        main(["fill", "nowhere", "a [MASK]"])


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (KeyboardInterrupt(), 1, "stopped by Ctrl-C"),
        (PermissionError(13, "no", "f"), 1, "'f'"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_other_ends_are_short(monkeypatch, capfd, raised, status, said):
    def fail(*_, **__):
        raise raised

    monkeypatch.setattr("bertsmith.inference.predictor.load", fail)
    monkeypatch.setattr("os.dup2", lambda *_: None)  # it would take the test's own stdout
    assert main(["fill", "x", "a [MASK]"]) == status
    error = capfd.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert error.count("\n") <= 1
