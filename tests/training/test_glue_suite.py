"""GLUE on made-up folders of its layout: what is found, measured, shown and handed in."""

import csv
import gzip
import json
import os
import zipfile
from pathlib import Path
from statistics import fmean

import pytest
from sklearn.metrics import accuracy_score, f1_score
from transformers import BertForSequenceClassification, BertTokenizerFast

from bertsmith.errors import ConfigError, CorpusError
from bertsmith.tasks.classification import ClassificationTask
from bertsmith.training.finetuning_run import FinetuningRun
from bertsmith.training.suites import run_suite
from bertsmith.training.suites.glue_tasks import PARTS, SUBMISSION
from training.suite_folders import TINY, Told, small_glue, text, write_glue, write_pairs, write_rows


@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    return write_glue(tmp_path_factory.mktemp("suites") / "glue_data")


@pytest.fixture(scope="module")
def told():
    return Told()


@pytest.fixture(scope="module")
def result(glue, tiny_bert, told):
    return run_suite("glue", tiny_bert, glue, glue.parent / "out", config=TINY, reporter=told)


def predictions(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


TAKEN = {
    "CoLA": (5, {"0", "1"}),
    "SST-2": (3, {"0", "1"}),
    "MRPC": (4, {"0", "1"}),
    "QQP": (3, {"0", "1"}),
    "WNLI": (5, {"0", "1"}),
    "QNLI": (5, {"entailment", "not_entailment"}),
    "RTE": (5, {"entailment", "not_entailment"}),
    "MNLI-m": (4, {"entailment", "neutral", "contradiction"}),
    "MNLI-mm": (3, {"entailment", "neutral", "contradiction"}),
    "AX": (5, {"entailment", "neutral", "contradiction"}),
}


@pytest.mark.parametrize("name", TAKEN)
def test_glue_writes_what_the_server_takes(name, result):
    count, labels = TAKEN[name]
    header, *rows = predictions(result.out / "submission" / f"{name}.tsv")
    assert header == ["index", "prediction"]
    assert [index for index, _ in rows] == [str(n) for n in range(count)]
    assert {label for _, label in rows} <= labels


def test_glue_writes_scores_in_range(result):
    header, *rows = predictions(result.out / "submission" / "STS-B.tsv")
    assert header == ["index", "prediction"]
    assert [index for index, _ in rows] == ["0", "1", "2", "3"]
    assert all(0 <= float(score) <= 5 for _, score in rows)


def test_glue_zips_all_its_files(result):
    with zipfile.ZipFile(result.out / "submission.zip") as archive:
        assert sorted(archive.namelist()) == [f"{name}.tsv" for name in SUBMISSION]
        assert archive.read("AX.tsv") == (result.out / "submission" / "AX.tsv").read_bytes()
    assert len(SUBMISSION) == 11
    assert result.files[-1] == result.out / "submission.zip"
    assert not result.notes


def by_transformers(folder: Path, file: Path) -> list[tuple[dict[str, str], str]]:
    """Each row of a file of pairs, with the label that `transformers` gives it."""
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    lines = file.read_text(encoding="utf-8").splitlines()
    answered = []
    for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        inputs = tokenizer(row["sentence1"], row["sentence2"], return_tensors="pt")
        assert inputs["input_ids"].shape[1] <= 32
        answered.append((row, model.config.id2label[int(model(**inputs).logits.argmax())]))
    return answered


@pytest.mark.parametrize(("part", "test"), [("MNLI-mm", "MNLI/test_mismatched.tsv"), ("RTE", "RTE/test.tsv")])
def test_the_submitted_answers_are_those_of_transformers(part, test, glue, result):
    answered = by_transformers(result.out / test.split("/")[0], glue / test)
    said = predictions(result.out / "submission" / f"{part}.tsv")[1:]
    assert said == [[row["index"], label] for row, label in answered]


def test_the_figures_are_glues(result):
    assert set(result.metrics) == {
        *("mnli_m_accuracy", "mnli_mm_accuracy", "qqp_f1", "qqp_accuracy", "qnli_accuracy", "sst_2_accuracy"),
        *("cola_mcc", "sts_b_spearman", "sts_b_pearson", "mrpc_f1", "mrpc_accuracy", "rte_accuracy", "wnli_accuracy"),
        "average",
    }
    own = json.loads((result.out / "MRPC" / "training" / "result.json").read_text())["metrics"]
    assert result.metrics["mrpc_accuracy"] == own["accuracy"]
    nine = ["mnli_m_accuracy", "mnli_mm_accuracy", "qqp_f1", "qnli_accuracy", "sst_2_accuracy", "cola_mcc"]
    nine += ["sts_b_spearman", "mrpc_f1", "rte_accuracy"]
    assert result.metrics["average"] == pytest.approx(fmean(result.metrics[name] for name in nine))


@pytest.mark.parametrize(
    ("task", "figure"),
    [("CoLA", "mcc"), ("MRPC", "f1"), ("QQP", "f1"), ("STS-B", "spearman"), ("RTE", "accuracy"), ("MNLI", "accuracy")],
)
def test_what_is_kept_is_chosen_by_glues_figure(task, figure, result):
    assert json.loads((result.out / task / "training" / "result.json").read_text())["headline"] == figure


def test_the_best_weights_of_cola_are_those_of_the_best_mcc(tiny_bert, tmp_path, monkeypatch):
    rows = [["gj04", n % 2, "", text(n)] for n in range(8)]
    for split in ("train", "dev"):
        write_rows(tmp_path / "glue" / "CoLA" / f"{split}.tsv", "", rows)
    given = iter([(0.9, 0.1), (0.5, 0.8), (0.7, 0.3), (0.5, 0.8)])  # the last once more, of what was kept
    monkeypatch.setattr(
        ClassificationTask, "score", lambda *_: dict(zip(("accuracy", "mcc"), next(given), strict=True))
    )
    kept, keep = [], FinetuningRun._keep_best
    monkeypatch.setattr(FinetuningRun, "_keep_best", lambda run, *more: (kept.append(len(kept)), keep(run, *more)))
    config = TINY.but(steps=3, evaluate_every_steps=1)
    result = run_suite("glue", tiny_bert, tmp_path / "glue", tmp_path / "out", config=config)
    assert len(kept) == 2, "the first evaluation, and the second; not the third, whose accuracy alone is better"
    assert result.metrics["cola_mcc"] == 0.8


def test_f1_is_that_of_paraphrases(glue, tiny_bert, tmp_path):
    """MRPC's development file given once more as its test file: the answers handed in have the F1 that is shown."""
    folder = tmp_path / "glue"
    truth = [0, 1, 1, 1, 0, 1, 1]
    rows = [[label, n, n + 1, text(n), text(n * n)] for n, label in enumerate(truth)]
    for split in ("train", "dev", "test"):
        write_rows(folder / "MRPC" / f"{split}.tsv", "Quality | #1 ID | #2 ID | #1 String | #2 String", rows)
    result = run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY.but(steps=3))
    _, *said = predictions(tmp_path / "out" / "submission" / "MRPC.tsv")
    guess = [int(label) for _, label in said]
    assert [index for index, _ in said] == [str(n) for n in range(7)], "without an index, rows are counted from 0"
    assert result.metrics["mrpc_f1"] == pytest.approx(f1_score(truth, guess))
    assert result.metrics["mrpc_accuracy"] == pytest.approx(accuracy_score(truth, guess))


def test_the_mismatched_set_is_measured_on_its_own(glue, result):
    answered = by_transformers(result.out / "MNLI", glue / "MNLI" / "dev_mismatched.tsv")
    right = fmean(row["gold_label"] == label for row, label in answered)
    assert result.metrics["mnli_mm_accuracy"] == pytest.approx(right)
    assert next(row for row in result.rows if row[0] == "MNLI-mm")[-1] == "7"


def test_the_papers_averages_are_those_of_its_figures():
    columns = zip(*(part.paper for part in PARTS if part.paper), strict=True)
    assert [round(fmean(column), 1) for column in columns] == [75.1, 79.6, 82.1]


def test_glue_shows_the_papers_table_with_ours(result):
    assert "paper's" in result.title
    assert "test sets, ours on development sets" in result.title
    assert result.header[2:] == ("OpenAI GPT, test", "BERT-base, test", "BERT-large, test", "ours, dev", "examples")
    rows = {(row[0], row[1]): row[2:] for row in result.rows}
    cola = f"{100 * result.metrics['cola_mcc']:.1f}"
    assert rows["CoLA", "MCC"] == ("45.4", "52.1", "60.5", cola, "6")
    assert rows["QQP", "accuracy"][:3] == ("–", "–", "–")
    assert rows["WNLI", "accuracy"][:3] == ("–", "–", "–")
    average = f"{100 * result.metrics['average']:.1f}"
    assert rows["average", "no WNLI"] == ("75.1", "79.6", "82.1", average, "")
    written = json.loads((result.out / "results.json").read_text())
    assert written["metrics"] == result.metrics
    assert [tuple(row) for row in written["table"]["rows"]] == list(result.rows)
    assert written["tasks"]["RTE"]["counts"]["train"] == 6
    assert "submission/AX.tsv" in written["files"]


def test_glue_says_which_task_of_how_many_the_smallest_first(result, told):
    tasks = [line for line in told.lines if line.startswith("task ")]
    assert len(tasks) == 9
    assert tasks[0].startswith("task 1 of 9: ")
    assert tasks[-1] == "task 9 of 9: MNLI"


def test_glue_again_trains_and_answers_nothing(glue, tiny_bert, result):
    made = [result.out / "CoLA" / "model.safetensors", *(result.out / "submission").iterdir()]
    before = {path: path.stat().st_mtime_ns for path in made}
    again = Told()
    repeated = run_suite("glue", tiny_bert, glue, result.out, config=TINY, reporter=again)
    assert repeated.metrics == result.metrics
    assert repeated.rows == result.rows
    assert sum("finished already" in line for line in again.lines) == 9
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_glue_with_another_recipe_needs_another_folder(glue, tiny_bert, result):
    with pytest.raises(ConfigError, match=r"learning_rate was 0\.01, now 0\.02"):
        run_suite("glue", tiny_bert, glue, result.out, config=TINY.but(learning_rate=2e-2))


def test_what_is_missing_is_said_and_not_made_up(tiny_bert, tmp_path):
    folder = small_glue(tmp_path / "glue")
    write_rows(folder / "AX" / "AX.tsv", "index | sentence1 | sentence2", [[0, text(0), text(1)]])
    (folder / "QNLI").mkdir()
    (folder / "rte" / "dev.tsv").unlink()
    result = run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY)
    assert {path.name for path in (tmp_path / "out" / "submission").iterdir()} == {"RTE.tsv"}
    said = "\n".join(result.notes)
    assert "SST-2: no test.tsv, so there is no SST-2.tsv to hand in" in said
    assert "AX.tsv: MNLI's model answers it, and there is no MNLI; it is left out" in said
    assert "QNLI: no train.tsv; QNLI is left out. It is empty." in said
    assert "rte: no dev.tsv for RTE: a share of the training examples is kept" in said
    assert "not made here: AX, CoLA, MNLI-m, MNLI-mm, MRPC, QNLI, QQP, SST-2, STS-B, WNLI" in said
    assert set(result.metrics) == {"rte_accuracy", "sst_2_accuracy"}
    rows = {(row[0], row[1]): row[2:] for row in result.rows}
    assert rows["RTE", "accuracy"][-1] == "1 of train"
    assert rows["MNLI-m", "accuracy"] == ("82.1", "84.6", "86.7", "–", "")
    assert rows["average", "no WNLI"][:4] == ("75.1", "79.6", "82.1", "–")
    both = f"{50 * (result.metrics['rte_accuracy'] + result.metrics['sst_2_accuracy']):.1f}"
    assert rows["average", "of these 2"] == ("73.7", "80.0", "82.5", both, "")


def test_several_seeds_show_their_spread(tiny_bert, tmp_path):
    folder = tmp_path / "glue"
    rows = [[text(n), n % 2] for n in range(12)]
    for split in ("train", "dev"):
        write_rows(folder / "SST-2" / f"{split}.tsv", "sentence | label", rows)
    result = run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY.but(seeds=2))
    assert result.header[5] == "ours, dev: best (mean ± sd of 2 seeds)"
    cell = next(row for row in result.rows if row[0] == "SST-2")[5]
    seeds = json.loads((tmp_path / "out" / "results.json").read_text())["tasks"]["SST-2"]["seeds"]
    figures = [100 * each["accuracy"] for each in seeds.values()]
    assert len(figures) == 2
    assert cell.startswith(f"{max(figures):.1f} ({fmean(figures):.1f} ± ")


def test_raw_mrpc_is_split_by_its_list(tiny_bert, tmp_path):
    folder = tmp_path / "glue"
    header = "Quality | #1 ID | #2 ID | #1 String | #2 String"
    rows = [[n % 2, 100 + n, 200 + n, text(n), text(n + 1)] for n in range(9)]
    write_rows(folder / "MRPC" / "msr_paraphrase_train.txt", header, rows)
    write_rows(folder / "MRPC" / "msr_paraphrase_test.txt", header, rows[:3])
    ids = folder / "MRPC" / "dev_ids.tsv"
    write_rows(ids, "", [[101, 201], [102, 202], [106, 206]])
    ids.with_name("dev_ids.tsv.gz").write_bytes(gzip.compress(ids.read_bytes()))  # as any file may be
    ids.unlink()
    result = run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY)
    counts = json.loads((tmp_path / "out" / "results.json").read_text())["tasks"]["MRPC"]["counts"]
    assert (counts["train"], counts["dev"]) == (6, 3)
    _, *said = predictions(tmp_path / "out" / "submission" / "MRPC.tsv")
    assert [index for index, _ in said] == ["0", "1", "2"]
    assert "mrpc_f1" in result.metrics


def test_broken_rows_of_qqp_are_left_out_and_counted(tiny_bert, tmp_path):
    folder = tmp_path / "glue"
    header = "id | qid1 | qid2 | question1 | question2 | is_duplicate"
    rows: list[list[object]] = [[n, n, n + 1, text(n), text(n + 1), n % 2] for n in range(8)]
    write_rows(
        folder / "QQP" / "train.tsv", header, [*rows[:4], [9, 9, 10, "a line"], ["break?", "why?", 1], *rows[4:]]
    )
    write_rows(folder / "QQP" / "dev.tsv", header, rows[:4])
    told = Told()
    run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY, reporter=told)
    assert any("2 broken training example(s) left out, 8 kept" in line for line in told.lines)


def test_a_label_that_the_server_does_not_know_stops(tiny_bert, tmp_path):
    folder = small_glue(tmp_path / "glue")
    write_rows(folder / "SST-2" / "train.tsv", "sentence | label", [[text(0), 1], [text(1), 0], [text(2), "good"]])
    with pytest.raises(CorpusError, match=r'SST-2/train\.tsv, line 4: label "good" is not one of 0, 1'):
        run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("index\tsentence1\n0\ta\n", 'test.tsv, line 1: no column "sentence2"; there are "index", "sentence1"'),
        ("index\tsentence1\tsentence2\n0\ta\tb\n1\ta\n", "test.tsv, line 3: 2 cells, where the first line has 3"),
        ("index\tsentence1\tsentence2\n", "test.tsv: no rows"),
    ],
)
def test_a_broken_test_file_stops(rows, message, tiny_bert, tmp_path):
    folder = tmp_path / "glue"
    write_pairs(folder / "RTE", "sentence1 | sentence2", ["entailment", "not_entailment"], name="label")
    (folder / "RTE" / "test.tsv").write_text(rows)
    with pytest.raises(CorpusError, match=message):
        run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY)
    assert not (tmp_path / "out" / "RTE").exists(), "it is found before anything is trained"


def test_a_mended_test_file_is_answered_again(tiny_bert, tmp_path):
    folder = tmp_path / "glue"
    write_pairs(folder / "rte", "sentence1 | sentence2", ["entailment", "not_entailment"], name="label")
    run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY)
    test = folder / "rte" / "test.tsv"
    write_rows(test, "index | sentence1 | sentence2", [[n, text(n), text(n)] for n in range(7)])
    made = (tmp_path / "out" / "submission" / "RTE.tsv").stat()
    os.utime(test, ns=(made.st_mtime_ns + 1_000_000, made.st_mtime_ns + 1_000_000))
    run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY)
    assert len(predictions(tmp_path / "out" / "submission" / "RTE.tsv")) == 8


def test_two_folders_of_one_task_are_not_guessed_about(tiny_bert, tmp_path):
    folder = small_glue(tmp_path / "glue")
    (folder / "sst2").mkdir()
    with pytest.raises(CorpusError, match="SST-2 and sst2 are the same task"):
        run_suite("glue", tiny_bert, folder, tmp_path / "out", config=TINY)
