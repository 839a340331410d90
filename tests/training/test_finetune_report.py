"""The page of a finished fine-tuning: what it shows, that it is whole, and that no text of a user breaks out of it."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.tasks.findings import Findings, Mistake, Table
from bertsmith.training.finetune_report import write_finetune_report
from bertsmith.training.journal import Record
from bertsmith.training.summary import Summary, read_summary, write_summary
from training.finished import EVIL, FIGURES, LONG, findings, five_seeds, records, summary

VOID = {"meta", "col", "br"}


class Page(HTMLParser):
    """Checks that what opens closes, and keeps the texts of each kind of tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def of(self, tag: str) -> list[str]:
        """The texts right within tags of a kind."""
        return [text for found, text in self.texts if found == tag]

    @property
    def text(self) -> str:
        """All that is to be read."""
        return "\n".join(text for tag, text in self.texts if tag != "style")

    def rows(self) -> dict[str, list[str]]:
        """The cells of the last table row that begins with a name."""
        found: dict[str, list[str]] = {}
        name = ""
        for tag, text in self.texts:
            if tag == "th":
                name = text
                found[name] = []
            elif tag == "td":
                found.setdefault(name, []).append(text)
        return found


def page(folder: Path, finished: Summary, kept: list[Record] | None = None, **options: Any) -> Page:
    path = folder / "report.html"
    write_finetune_report(path, finished, kept or [], **{"title": "my-task", **options})
    return Page(path.read_text(encoding="utf-8"))


def test_all_is_there_headline_first(tmp_path: Path) -> None:
    found = page(tmp_path, summary(), records())
    assert found.of("title") == ["my-task: fine-tuning"]
    sections = ["Curves", "Classes", "Confusions", "The most wrong examples", "Recipe"]
    assert found.of("h2") == sections
    assert found.of("b")[0] == "80.0%"
    rows = found.rows()
    names = list(rows)
    assert names[:4] == ["accuracy", "macro F1", "weighted F1", "Matthews correlation (MCC)"]
    assert [rows[name] for name in names[:4]] == [["80.0%"], ["75.0%"], ["79.0%"], ["0.612"]]
    assert rows["learning rate"] == ["5e-05"]
    assert "good\n0.900\n0.667\n0.766\n60" in found.text
    assert "900 examples (12,345 tokens)" in found.text
    assert "87 steps, 37,035 tokens, 1 min 5 s." in found.text


def test_the_headline_is_first_wherever_it_stands(tmp_path: Path) -> None:
    metrics = {"mse": 0.5, "spearman": 0.91, "pearson": 0.9}
    found = page(tmp_path, summary(task="regress", headline="pearson", metrics=metrics, findings=Findings()))
    assert found.of("b") == ["0.900"]
    assert list(found.rows())[:3] == ["Pearson correlation", "mean squared error", "Spearman correlation"]


def test_texts_of_users_stay_texts(tmp_path: Path) -> None:
    found = page(tmp_path, summary(source=EVIL), title=EVIL)
    assert "script" not in found.tags
    assert found.text.count("<script>alert('x')</script>") >= 6  # title, heading, source, label, text, right, said
    assert "\x00" not in found.text
    assert not any(name.startswith("on") for name, _ in found.attributes)


def test_nothing_is_fetched(tmp_path: Path) -> None:
    found = page(tmp_path, five_seeds(0.02, trials=({"learning_rate": 1e-5, "accuracy": 0.8},)), records())
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert "svg" in found.tags
    links = [value for name, value in found.attributes if name in ("src", "href", "xlink:href", "action")]
    assert links  # those within the drawing
    assert all(link.startswith("#") for link in links)
    style = "".join(found.of("style"))
    assert "url(" not in style
    assert "@import" not in style


def test_the_confusion_matrix_has_its_counts_row_by_row(tmp_path: Path) -> None:
    found = page(tmp_path, summary())
    rows = found.rows()
    assert rows["good"] == ["50", "10"]
    assert any(cells == ["4", "36"] for cells in rows.values())
    # The depth of a colour goes with the root of the row's share, and so do not the columns'.
    shades = [value for name, value in found.attributes if name == "style" and value.startswith("--share")]
    assert shades == [
        f"--share:{0.6 * (count / of) ** 0.5:.2f}" for count, of in [(50, 60), (10, 60), (4, 40), (36, 40)]
    ]


def test_many_labels_have_their_commonest_confusions_listed(tmp_path: Path) -> None:
    labels = tuple(f"label {index}" for index in range(12))
    counts = np.diag(np.full(12, 8))
    counts[3, 5], counts[4, 0] = 2, 1
    found = page(tmp_path, summary(findings=Findings(confusion=(labels, counts))))
    assert "label 5\n2\n20%" in found.text
    assert found.text.index("20%") < found.text.index("label 0\n1\n11%")
    assert ("class", "confusion tall") in found.attributes


def test_a_matrix_beyond_reading_is_left_to_the_file(tmp_path: Path) -> None:
    labels = tuple(f"label {index}" for index in range(101))
    found = page(tmp_path, summary(findings=Findings(confusion=(labels, np.eye(101, dtype=np.int64)))))
    assert "The whole table of 101 labels is in" in found.text
    assert not any(value.startswith("confusion") for name, value in found.attributes if name == "class")


def test_long_texts_open_and_short_ones_stand_whole(tmp_path: Path) -> None:
    found = page(tmp_path, summary())
    assert found.tags.count("details") == 1
    (full,) = (text for tag, text in found.texts if tag == "div" and text.startswith("A film"))
    assert full == LONG.strip()
    (cut,) = (text for tag, text in found.texts if tag == "span" and text.startswith("A film"))
    assert cut.endswith((" that …", " goes …", " on. …", " film …", " A …"))  # never within a word
    assert 300 < len(cut) <= 402


def test_a_book_does_not_weigh_the_page_down(tmp_path: Path) -> None:
    book = findings().mistakes[0].text * 1000
    found = page(tmp_path, summary(findings=Findings(mistakes=(Mistake("a", book, "good", "bad", 1.0),))))
    assert len(found.text) < 30_000
    assert f"… ({len(book) - 20_000:,} characters more)" in found.text


def test_without_confusion_mistakes_or_steps(tmp_path: Path) -> None:
    found = page(tmp_path, summary(findings=Findings()))
    assert found.of("h2") == ["The most wrong examples", "Recipe"]
    assert "no development example is wholly wrong" in found.text
    assert "svg" not in found.tags


def test_seeds_give_mean_and_standard_deviation(tmp_path: Path) -> None:
    found = page(tmp_path, five_seeds(0.02))  # sd of -2 … 2 steps is the root of 2.5
    assert found.of("b") == ["80.0%"]
    assert "± 3.2 points accuracy, mean of 5 seeds; the kept model's: 80.0%" in found.text
    assert "seed 2, kept" in found.text
    assert "mean ± sd of 5 seeds" in found.text
    rows = found.rows()
    assert rows["0"] == ["76.0%", "71.0%", "75.0%", "0.572"]
    assert rows["mean ± sd"] == ["80.0% ± 3.2", "75.0% ± 3.2", "79.0% ± 3.2", "0.612 ± 0.032"]
    assert found.attributes.count(("class", "best")) == 1


def test_a_large_spread_is_said_and_a_small_one_is_not(tmp_path: Path) -> None:
    loud, still = page(tmp_path, five_seeds(0.02)), page(tmp_path, five_seeds(0.001))
    # Student's t at 0.975 with 8 degrees of freedom is 2.306: 2.306 * 3.162 * sqrt(2 / 5) = 4.61.
    assert "large standard deviation: 3.2 points" in loud.text
    assert "by up to about 4.6 points by chance" in loud.text
    assert "large standard deviation" not in still.text


@pytest.mark.parametrize(
    ("changes", "count", "noise"),
    [
        # 2 * sqrt(p (1 - p) / (n + 4)) with p = (80 + 2) / (100 + 4)
        ({}, 100, "the accuracy by up to about ±8.0 points"),
        ({"metrics": {"accuracy": 1.0}}, 10, "the accuracy by up to about ±18.7 points"),  # 12 of 14, not 0
        ({"task": "answer", "headline": "f1", "metrics": {"f1": 80.0}}, 100, "the F1 by up to about ±8.0 points"),
        # 2 * (1 - 0.8 ** 2) / sqrt(99)
        ({"task": "regress", "headline": "pearson", "metrics": {"pearson": 0.8}}, 100, "by up to about ±0.072"),
        ({"task": "tag", "headline": "f1", "metrics": {"f1": 0.8}}, 100, "development set is small (100 texts)"),
    ],
)
def test_the_noise_of_few_examples_is_said(tmp_path: Path, changes: dict[str, Any], count: int, noise: str) -> None:
    counts = {"train": 50_000, "train_tokens": 9, "windowed": 0}
    few = page(tmp_path, summary(**changes, counts={**counts, "dev": count}))
    many = page(tmp_path, summary(**changes, counts={**counts, "dev": 100_000}))
    assert noise in few.text
    assert "noise" not in many.text
    assert "small" not in many.text


def test_one_seed_of_few_examples_asks_for_more(tmp_path: Path) -> None:
    assert "This is one seed. With 900 training examples" in page(tmp_path, summary()).text
    counts = {"train": 67_349, "dev": 872, "train_tokens": 9, "windowed": 3}
    many = page(tmp_path, summary(counts=counts))
    assert "This is one seed" not in many.text
    assert "3 training examples are longer than a window" in many.text


@pytest.mark.parametrize(
    ("finished", "evaluations", "said"),
    [
        (summary(), 3, "(the best of 3 evaluations)"),
        (summary(), 1, None),
        (summary(recipe={"keep": "last"}), 3, None),
        (five_seeds(0.0), 1, "(the best of 5 seeds)"),
        (summary(trials=({"epochs": 2, "accuracy": 0.7}, {"epochs": 3, "accuracy": 0.8})), 1, "(the best of 2 trials)"),
    ],
)
def test_what_was_chosen_by_the_figures_is_said(
    tmp_path: Path, finished: Summary, evaluations: int, said: str | None
) -> None:
    found = page(tmp_path, finished, records(evaluations=evaluations))
    if said is None:
        assert "optimistic" not in found.text
    else:
        assert said in found.text
        assert "slightly optimistic" in found.text


def test_the_curves_mark_the_kept_evaluation(tmp_path: Path) -> None:
    best, last = page(tmp_path, summary(), records()), page(tmp_path, summary(), records(evaluations=1))
    drawn = best.of("text")
    assert {"training loss", "learning rate", "tokens a second", "development examples", "kept"} <= set(drawn)
    assert {"accuracy", "macro F1", "weighted F1"} <= set(drawn)
    assert "Matthews correlation (MCC)" not in drawn  # no share: it has another scale
    assert "kept" not in last.of("text")


def test_trials_are_shown_and_the_best_stands_out(tmp_path: Path) -> None:
    trials = (
        {"learning_rate": 5e-5, "batch_size": 32, "accuracy": 0.7},
        {"learning_rate": 1.234e-4, "batch_size": 16, "accuracy": 0.8},
        {"learning_rate": 1e-3, "batch_size": 16, "accuracy": float("-inf")},
    )
    found = page(tmp_path, summary(trials=trials))
    rows = found.rows()
    assert "Search" in found.of("h2")
    assert rows["1"] == ["5e-05", "32", "70.0%"]
    assert rows["2"] == ["0.0001234", "16", "80.0%"]
    assert rows["3"] == ["0.001", "16", "–"]
    assert found.attributes.count(("class", "best")) == 1
    assert "in training/search/" in found.text


def test_what_a_classifier_must_be_better_than(tmp_path: Path) -> None:
    assert "accuracy of always saying “good”" in page(tmp_path, summary()).text
    assert page(tmp_path, summary()).rows()["accuracy of always saying “good”"] == ["60.0%"]


def test_a_figure_that_nobody_described_and_a_headline_that_is_not_there(tmp_path: Path) -> None:
    found = page(tmp_path, summary(metrics={"new_figure": 12.0}, headline="other", findings=Findings()))
    assert found.rows()["new figure"] == ["12.000"]
    assert found.of("b") == []


def test_the_page_of_a_summary_that_was_read_is_the_same(tmp_path: Path) -> None:
    table = Table("classes", ("label", "F1", "examples"), (("a", 1.0, 60), ("b", 12.5, 40)))
    clean = Findings((table,), (("a", "b"), np.array([[50, 10], [4, 36]])), (Mistake("x.csv", LONG, "a", "b", 0.5),))
    finished = five_seeds(0.02, findings=clean)
    write_summary(tmp_path / "result.json", finished)
    for name, each in (("one", finished), ("two", read_summary(tmp_path / "result.json"))):
        write_finetune_report(tmp_path / name, each, records(), title="my-task")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_several_labels_a_text_have_their_own_accuracy(tmp_path: Path) -> None:
    metrics = {"accuracy": 0.4, "f1_macro": 0.5, "f1_micro": FIGURES["f1_macro"]}
    found = page(tmp_path, summary(metrics=metrics, headline="f1_macro", findings=Findings()))
    assert found.of("b") == ["50.0%"]
    assert found.rows()["texts with all labels right"] == ["40.0%"]
