"""finetune, evaluate and predict as a user types them."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bertsmith.cli.main import main
from bertsmith.inference.predictor import load
from bertsmith.model.half import can_halve
from bertsmith.model.native_encoder import native_is_faster_for_short_texts
from bertsmith.tasks.finetuning import BLOCK

QUICK = ["--steps", "2", "--batch-size", "4", "--precision", "float32"]
ROWS = "text,label\nthe pains,bad\na nurse,good\nthe doctor,good\npains pains,bad\nthe ward,good\npain,bad\n"


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_bert) -> Path:
    """Data and one finished model of each kind that the tests ask."""
    folder = tmp_path_factory.mktemp("finetune-cli")
    (folder / "train.csv").write_text(ROWS)
    (folder / "words.conll").write_text("the O\npains B-P\n\na O\nnurse O\n\nward B-P\n\n")
    question = {"id": "1", "question": "who?", "answers": [{"text": "nurse", "answer_start": 2}]}
    squad = {"data": [{"paragraphs": [{"context": "a nurse in the ward", "qas": [question]}]}]}
    (folder / "squad.json").write_text(json.dumps(squad))
    choices = [{"text": "the nurse", "choices": ["pains", "was given"], "label": 1}] * 3
    (folder / "choices.jsonl").write_text("".join(json.dumps(row) + "\n" for row in choices))
    for task, data in (
        ("sentiment", "train.csv"),
        ("tag", "words.conll"),
        ("answer", "squad.json"),
        ("choose", "choices.jsonl"),
    ):
        train = str(folder / data)
        words = ["finetune", task, "--model", tiny_bert, "--train", train, "--dev", train, "--out", folder / task]
        assert main([*map(str, words), *QUICK]) == 0
    return folder


def run_json(capsys, *argv: object):
    assert main([*map(str, argv), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def complaint(capsys, *argv: object) -> str:
    assert main([str(word) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


def test_finetune_tells_figures_and_what_to_try_next(folder, tiny_bert, tmp_path, capsys):
    words = ["finetune", "classify", "--model", tiny_bert, "--train", folder / "train.csv", "--out", tmp_path / "task"]
    said = run_json(capsys, *words, *QUICK)
    assert set(said["metrics"]) == {"accuracy", "f1_macro", "f1_weighted", "mcc"}
    assert main([*map(str, words), *QUICK]) == 0  # finished already; the figures again
    out = capsys.readouterr().out
    assert "accuracy" in out
    assert f"bertsmith predict {tmp_path / 'task'}" in out


def test_several_training_files_are_one_set(folder, tiny_bert, tmp_path, capsys):
    (tmp_path / "more.csv").write_text(ROWS)
    words = ["finetune", "classify", "--model", tiny_bert, "--out", tmp_path / "task", "--dev", folder / "train.csv"]
    assert main([*map(str, words), "--train", str(folder / "train.csv"), str(tmp_path / "more.csv"), *QUICK]) == 0
    assert "12 training examples" in capsys.readouterr().err


def test_predict_answers_words_stdin_and_files_alike(folder, capsys, monkeypatch):
    # Among others a short text may have bfloat16's three digits.
    near = 5e-3 if native_is_faster_for_short_texts() else 1e-6
    model = folder / "sentiment"
    by_words = run_json(capsys, "predict", model, "the pains", "a nurse")["predictions"]
    assert [set(each["probabilities"]) for each in by_words] == [{"bad", "good"}] * 2
    piped = io.TextIOWrapper(io.BytesIO(b"the pains\n\na nurse\n"))
    monkeypatch.setattr("sys.stdin", piped)
    answers = run_json(capsys, "predict", model, "-")["predictions"]
    assert len(answers) == 3  # answer n is that of line n
    assert answers[0]["probabilities"] == pytest.approx(by_words[0]["probabilities"], abs=near)
    assert answers[2]["probabilities"] == pytest.approx(by_words[1]["probabilities"], abs=near)
    by_file = run_json(capsys, "predict", model, "--file", folder / "train.csv")["predictions"]
    assert len(by_file) == 6
    assert by_file[0]["place"].endswith("train.csv, line 2")
    assert by_file[0]["probabilities"]["bad"] == pytest.approx(by_words[0]["probabilities"]["bad"], abs=near)
    assert main(["predict", str(model), "the pains"]) == 0
    assert "the pains" in capsys.readouterr().out


def test_files_are_answered_as_they_are_read(folder, capsys, tmp_path):
    """What stands before a broken line is answered, in the order of the lines, before that line is reached."""
    texts = [" ".join(["the pains"] * (1 + 7 * n % 5) + [f"ward {n}"]) for n in range(600)]
    path = tmp_path / "many.csv"
    path.write_text("text\n" + "\n".join(texts) + "\na,b\n")
    assert main(["predict", str(folder / "sentiment"), "--file", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "many.csv, line 602: 2 cells where the first line has 1" in err
    answered = [line.split(" ", 2)[2] for line in out.splitlines()]  # label, probability, text
    assert answered == texts[: 2 * BLOCK]
    assert main(["predict", str(folder / "sentiment"), "--file", str(path), "--json"]) == 2
    assert capsys.readouterr().out == "", "one object, or none"
    skip = ["--file", str(path), "--on-bad-input", "skip"]
    said = run_json(capsys, "predict", folder / "sentiment", *skip)["predictions"]
    assert [each["place"] for each in said] == [f"{path}, line {n + 2}" for n in range(600)]
    alone = load(folder / "sentiment", precision="auto").classify(texts[:20])
    assert [each["probabilities"] for each in said[:20]] == [
        pytest.approx(each.probabilities, abs=0.01) for each in alone
    ]
    assert main(["predict", str(folder / "sentiment"), *skip]) == 0
    out, err = capsys.readouterr()
    assert out.count("ward") == 600
    assert err.startswith(f'examples: {path}: the text is column "text"'), "before the first answer"
    assert "1 broken example(s) left out, 600 kept" in err
    assert "answering:  600 examples" in err


def test_what_is_piped_is_answered_before_there_are_many_lines(folder, capsys, monkeypatch):
    """Someone may be typing them, or a slow program: the first answer waited for 256 lines."""
    answered = []

    def typed():
        for n in range(4):
            answered.append(capsys.readouterr().out.count("ward"))  # when line n is asked for
            yield f"ward {n}\n".encode()

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=typed()))
    assert main(["predict", str(folder / "sentiment"), "-"]) == 0
    assert answered == [0, 1, 0, 2]
    assert capsys.readouterr().out.count("ward") == 1


def test_predict_gives_entities_answers_and_choices(folder, capsys):
    (tags,) = run_json(capsys, "predict", folder / "tag", "the pains.")["predictions"]
    assert len(tags["tags"]) == 3
    assert "right" not in tags
    (found,) = run_json(capsys, "predict", folder / "answer", "a nurse", "--question", "who?")["predictions"]
    assert found["text"] == "a nurse"[found["start"] : found["end"]]
    words = ["predict", folder / "choose", "the nurse", "--choices", "pains", "was given"]
    (choice,) = run_json(capsys, *words)["predictions"]
    assert sum(choice["probabilities"]) == pytest.approx(1)
    for words in (
        ["tag", "the pains."],
        ["answer", "a nurse", "--question", "who?"],
        ["choose", "the nurse", "--choices", "a", "b"],
    ):
        assert main(["predict", str(folder / words[0]), *words[1:]]) == 0
        assert capsys.readouterr().out.strip()


def test_explain_takes_choices_as_predict_does(folder, capsys, tmp_path):
    words = ["explain", folder / "choose", "the nurse", "--choices", "pains, at last", "was given"]
    shown = run_json(capsys, *words, "--no-evidence", "--out", tmp_path / "page.html")
    assert shown["tokens"][0] == "[CLS]"
    assert (tmp_path / "page.html").stat().st_size


def test_evaluate_measures_what_finetune_measured(folder, capsys, tmp_path):
    stored = json.loads((folder / "sentiment" / "training" / "result.json").read_text())["metrics"]
    said = run_json(capsys, "evaluate", folder / "sentiment", folder / "train.csv", "--out", tmp_path / "answers.jsonl")
    assert said["metrics"] == pytest.approx(stored)
    assert said["examples"] == 6
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [len(answer["probabilities"]) for answer in answers] == [2] * 6
    assert main(["evaluate", str(folder / "tag"), str(folder / "words.conll")]) == 0
    assert "f1" in capsys.readouterr().out


def test_evaluate_has_the_precision_of_answers(folder, capsys):
    words = ["evaluate", folder / "sentiment", folder / "train.csv"]
    assert "float16 is for answers" in complaint(capsys, *words, "--suite", "glue", "--precision", "float16")
    if can_halve():
        assert run_json(capsys, *words, "--precision", "float16")["examples"] == 6
    else:
        assert "float16 is for x86 processors" in complaint(capsys, *words, "--precision", "float16")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "sentiment"], "give texts to predict, - for stdin, or --file"),
        (["predict", "sentiment", "a", "--file", "train.csv"], "one of them"),
        (["predict", "sentiment", "a", "--question", "who?"], "--question has no use here"),
        (["predict", "answer", "--file", "squad.json", "--question", "a"], "--question has no use with --file"),
        (["predict", "answer", "a"], "fine-tuned for answer: give --question too"),
        (["predict", "choose", "a", "--choices", "one"], "--choices needs at least two"),
        (["explain", "choose", "a", "--out", "a.html", "--choices", "one,another"], "--choices needs at least two"),
        (["predict", "nowhere", "a"], "no such folder"),
        (["predict", "sentiment", "--file", "nowhere.csv"], "there is no such file"),
        (["evaluate", "sentiment", "words.conll"], "words.conll"),
    ],
)
def test_what_users_get_wrong_is_explained(folder, words, message, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert message in complaint(capsys, *words)


def test_a_model_that_was_not_finetuned_says_what_to_do(tiny_bert, capsys):
    said = complaint(capsys, "predict", tiny_bert, "a text")
    assert "was not fine-tuned" in said
    assert "bertsmith finetune classify --model" in said


def test_mistakes_in_finetune_leave_nothing_behind(folder, tiny_bert, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = ["finetune", "classify", "--model", tiny_bert, "--out", "task"]
    assert "nowhere.csv" in complaint(capsys, *start, "--train", "nowhere.csv")
    assert "colour" in complaint(capsys, *start, "--train", folder / "train.csv", "--label-column", "colour")
    assert "--epochs" in complaint(capsys, *start, "--train", folder / "train.csv", "--epoch", "3")
    said = complaint(capsys, *start, "--train", folder / "train.csv", "--steps", "2", "--epochs", "1")
    assert "both a budget" in said
    assert not (tmp_path / "task" / "config.json").exists()
