"""Made-up folders in the official layouts of the suites, and a recipe that trains one step."""

import json
from pathlib import Path

from bertsmith.finetune_config import FinetuneConfig
from bertsmith.progress import Silent

TINY = FinetuneConfig(steps=1, batch_size=8, precision="float32", learning_rate=1e-2)
TEXTS = [
    "the patient was given a medicine",
    "a nurse saw the doctor",
    "pains in all wards",
    "the doctor saw the nurse in the ward",
    "patients were giving pains",
    'the "strong" medicine against the pain',
]


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    warn = say


def text(number: int) -> str:
    return TEXTS[number % len(TEXTS)]


def write_rows(path: Path, header: str, rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [*([header.replace(" | ", "\t")] if header else []), *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_pairs(folder: Path, columns: str, labels: list[str], *, name: str, train: int = 8) -> None:
    """index, two texts, label: train, dev, and test without label."""
    for split, count in (("train", train), ("dev", 6), ("test", 5)):
        label = [] if split == "test" else [labels]
        header = f"index | {columns}" + (f" | {name}" if label else "")
        rows = [[n, text(n), text(n + 1), *(each[n % len(each)] for each in label)] for n in range(count)]
        write_rows(folder / f"{split}.tsv", header, rows)


def write_mnli(folder: Path) -> None:
    labels = ["neutral", "contradiction", "entailment"]
    front = "index | promptID | pairID | genre | sentence1_binary_parse | sentence1 | sentence2"
    for split, count in (("train", 9), ("dev_matched", 6), ("dev_mismatched", 7)):
        judges = "label1" if split == "train" else "label1 | label2 | label3 | label4 | label5"
        extra = judges.count("|") + 1
        rows = [
            [n, "31", "31n", "fiction", "( x )", text(n), text(n + 2), *["neutral"] * extra, labels[n % 3]]
            for n in range(count)
        ]
        write_rows(folder / f"{split}.tsv", f"{front} | {judges} | gold_label", rows)
    for split, count in (("test_matched", 4), ("test_mismatched", 3)):
        rows = [[n, "31", "31n", "fiction", "( x )", text(n), text(n + 2)] for n in range(count)]
        write_rows(folder / f"{split}.tsv", front, rows)


def write_glue(folder: Path) -> Path:
    """Every task of GLUE, with a few rows each, some folders under other people's names."""
    for split, count in (("train", 8), ("dev", 6)):
        rows = [["gj04", n % 2, "" if n % 2 else "*", text(n)] for n in range(count)]
        write_rows(folder / "CoLA" / f"{split}.tsv", "", rows)
        write_rows(folder / "sst2" / f"{split}.tsv", "sentence | label", [[text(n), n % 2] for n in range(count)])
        rows = [[n, n, n + 1, text(n), text(n + 1), n % 2] for n in range(count)]
        write_rows(folder / "QQP" / f"{split}.tsv", "id | qid1 | qid2 | question1 | question2 | is_duplicate", rows)
        rows = [[n % 2, n, n + 1, text(n), text(n + 1)] for n in range(count)]
        write_rows(folder / "MRPC" / f"{split}.tsv", "Quality | #1 ID | #2 ID | #1 String | #2 String", rows)
        rows = [[n, "news", "2012", text(n), text(n + 1), n % 5 + 0.25] for n in range(count)]
        write_rows(folder / "STS-B" / f"{split}.tsv", "index | genre | year | sentence1 | sentence2 | score", rows)
    write_rows(folder / "CoLA" / "test.tsv", "index | sentence", [[n, text(n)] for n in range(5)])
    write_rows(folder / "sst2" / "test.tsv", "index | sentence", [[0, text(0)], [1, ""], [2, text(2)]])
    write_rows(folder / "QQP" / "test.tsv", "id | question1 | question2", [[n, text(n), ""] for n in range(3)])
    rows = [[n, n, n + 1, text(n), text(n + 1)] for n in range(4)]
    write_rows(folder / "MRPC" / "test.tsv", "index | #1 ID | #2 ID | #1 String | #2 String", rows)
    rows = [[n, "news", "2012", text(n), text(n + 1)] for n in range(4)]
    write_rows(folder / "STS-B" / "test.tsv", "index | genre | year | sentence1 | sentence2", rows)
    entails = ["entailment", "not_entailment"]
    write_pairs(folder / "qnli", "question | sentence", entails, name="label")
    write_pairs(folder / "RTE", "sentence1 | sentence2", entails, name="label", train=6)
    write_pairs(folder / "WNLI", "sentence1 | sentence2", ["0", "1"], name="label", train=4)
    write_mnli(folder / "MNLI")
    rows = [[n, text(n), text(n + 3)] for n in range(5)]
    write_rows(folder / "diagnostic" / "diagnostic.tsv", "index | sentence1 | sentence2", rows)
    return folder


def small_glue(folder: Path) -> Path:
    write_pairs(folder / "rte", "sentence1 | sentence2", ["entailment", "not_entailment"], name="label")
    rows = [[text(n), n % 2] for n in range(12)]
    write_rows(folder / "SST-2" / "train.tsv", "sentence | label", rows)
    write_rows(folder / "SST-2" / "dev.tsv", "sentence | label", rows[:4])
    return folder


def write_squad(path: Path, *, count: int, unanswerable: bool = False) -> None:
    paragraphs = []
    for n in range(count):
        context = f"The patient was given medicine {n} against the pain. The nurse saw the doctor in the ward."
        answers = [{"text": "the doctor", "answer_start": context.index("the doctor")}]
        question = {"id": f"q{n}", "question": "who was seen ?", "answers": answers}
        if unanswerable:
            question |= {"is_impossible": n % 2 == 1, "answers": [] if n % 2 else answers}
        paragraphs.append({"context": context, "qas": [question]})
    values = {"version": "2.0" if unanswerable else "1.1", "data": [{"title": "Ward", "paragraphs": paragraphs}]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


SENTENCES = [
    ["The O", "nurse B-PER", "saw O", "Mary B-PER"],
    ["Pains O", "in O", "Ward B-LOC", "Two I-LOC"],
    ["The O", "patient B-PER", "saw O", "the O", "ward B-LOC"],
]


def write_conll(path: Path, sentences: list[list[str]], *, repeat: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = ["\n".join(f"{word.split()[0]} NN X {word.split()[1]}" for word in each) for each in sentences * repeat]
    path.write_text("-DOCSTART- -X- O O\n\n" + "\n\n".join(blocks) + "\n", encoding="utf-8")


def write_conll_2003(folder: Path) -> Path:
    """In IOB1, as the original is: B- only where spans touch."""
    iob1 = [[word.replace("B-", "I-") for word in each] for each in SENTENCES]
    touching = [["Mary I-PER", "John B-PER", "saw O", "Ward I-LOC"]]
    write_conll(folder / "eng.train", [*iob1, *touching], repeat=3)
    write_conll(folder / "eng.testa", [*iob1, *touching])
    write_conll(folder / "eng.testb", touching + iob1[:2])
    return folder
