"""The view Training in a real browser, while a run writes: curves, samples, a model that comes later."""

import json
import shutil
from contextlib import ExitStack

import pytest

from bertsmith.server.runs import Runs
from bertsmith.training.journal import Journal
from browsing import faults_found_by_axe, needs_axe, needs_chromium, rows_of, turn_to, watched
from server.live import serving, wait_for

pytestmark = needs_chromium


class Run:
    """A run folder that is written to as training does."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "training").mkdir(parents=True)
        (folder / "training/run.toml").write_text(
            'architecture = "bert"\nsize = "tiny"\nobjective = "mlm+nsp"\nsteps = 40\n'
        )
        self.journal = Journal(folder / "training/metrics.jsonl")
        self.samples = Journal(folder / "training/samples.jsonl")

    def train(self, first, last):
        for step in range(first, last + 1):
            self._write("train", step, mlm_loss=8 / step, learning_rate=step * 1e-5)

    def evaluate(self, step, guess):
        figures = {
            "mlm_loss": 9 / step,
            "frequency_loss": 5.0,
            "mlm_accuracy": step / 100,
            "nsp_accuracy": 0.5,
            "nsp_baseline": 0.55,
        }
        masks = [{"place": 2, "hidden": "nurse", "guesses": [[guess, 0.5], ["ward", 0.25], ["<b>", 0.125]]}]
        self.samples.write(
            {
                "kind": "evaluation",
                "step": step,
                "sentences": [{"tokens": ["[CLS]", "a", "[MASK]", "saw"], "masks": masks}],
            }
        )
        self._write("evaluation", step, **figures)

    def _write(self, kind, step, **figures):
        stand = {"step": step, "epochs": step / 10, "tokens": 100 * step, "seconds": 6.0 * step}
        self.journal.write({"kind": kind, **stand, **figures, "tokens_per_s": 1000.0 + step})


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "my-run")


@pytest.fixture
def opened(browser, run):
    """Opens the page of a server of the run alone, for which a model may come later."""
    with ExitStack() as open_ones:
        runs = Runs({"my-run": run.folder})
        url, _ = open_ones.enter_context(serving({}, runs=runs))

        def open_page(**how):
            page = open_ones.enter_context(watched(browser, lambda asked: asked.startswith(url), **how))
            page.goto(url)
            page.wait_for_selector("#evaluation")
            return page

        yield open_page


def test_curves_grow_while_a_run_writes_and_its_model_comes_later(opened, run, tiny_bert):
    page = opened()
    wait_for(page, "nothing is written yet", ".head")
    assert "has not written a model yet" in page.inner_text(".head")
    run.train(1, 10)
    wait_for(page, "step 10", ".head")
    assert "10 of 40 steps" in page.inner_text(".head")
    label = page.get_attribute("#loss svg.curves", "aria-label")
    assert "training: from 8 at 1 to 0.8 at 10" in label
    run.evaluate(10, "doctor")
    wait_for(page, "1 of 1, after step 10")
    run.train(11, 20)
    run.evaluate(20, "nurse")
    wait_for(page, "2 of 2, after step 20")
    assert page.locator("#rate .tick").all_text_contents()[:5] == ["0", "5e−5", "1e−4", "1.5e−4", "2e−4"]
    values = {row[0]: row[1:] for row in rows_of(page, "Values")}
    assert values["Masked LM loss: training"] == ["0.4000", "0.4000"]
    assert values["Masked LM loss: held-out"] == ["0.4500", "0.4500"]
    assert values["Guessed right: masked words right"] == ["20.0%", "20.0%"]
    assert values["Guessed right: next sentence right"] == ["50.0%", "50.0%"]
    assert values["Speed: tokens a second"] == ["1,020", "1,020"]
    assert [each.strip() for each in page.locator("#loss .chart-legend li").all_inner_texts()] == [
        "training", "held-out", "guessing by word frequency",
    ]  # fmt: skip
    turn_to(page, "walk")
    assert "nothing to show yet" in page.inner_text("main")
    for path in tiny_bert.iterdir():
        shutil.copy(path, run.folder)
    turn_to(page, "training")
    wait_for(page, "Read the newest weights", ".head")
    page.click("#reload")
    turn_to(page, "walk")
    page.wait_for_selector(".stage")
    assert page.locator(".guesses .piece").count() == 5


def test_the_same_masks_are_seen_at_each_evaluation_by_the_keyboard(opened, run):
    run.train(1, 10)
    run.evaluate(5, "<i>x</i>")
    run.evaluate(10, "nurse")
    page = opened()
    wait_for(page, "2 of 2")
    assert page.inner_text("mark") == "✓ nurse50.0%"
    page.focus("#evaluation")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#where") == "1 of 2, after step 5"
    assert page.get_attribute("#evaluation", "aria-valuetext") == "1 of 2, after step 5"
    assert page.inner_text("mark") == "✗ <i>x</i>50.0%"
    assert page.locator("mark i").count() == 0
    assert {row[0]: row[1:] for row in rows_of(page, "Values")}["Masked LM loss: held-out"] == ["1.8000", "0.9000"]
    page.click("#summary-0")
    assert rows_of(page, "Guesses in sentence 1") == [["nurse", "<i>x</i> 50.0%, ward 25.0%, <b> 12.5%"]]
    run.evaluate(12, "ward")
    wait_for(page, "1 of 3, after step 5")
    assert page.locator("details[open]").count() == 1, "what was opened stays open"
    page.focus("#evaluation")
    page.keyboard.press("End")
    run.evaluate(14, "ward")
    wait_for(page, "4 of 4, after step 14")


def test_a_run_that_went_back_is_drawn_anew(opened, run):
    run.train(1, 10)
    run.evaluate(10, "nurse")
    page = opened()
    wait_for(page, "1 of 1")
    run.journal.rewind(6)
    run.samples.rewind(6)
    run.train(7, 8)
    wait_for(page, "step 8", ".head")
    assert page.inner_text("#where") == "none yet"
    assert "at 8" in page.get_attribute("#loss svg.curves", "aria-label")


def test_axes_scales_and_a_click_on_a_curve(opened, run):
    run.train(1, 40)
    run.evaluate(10, "a")
    run.evaluate(40, "b")
    page = opened()
    wait_for(page, "2 of 2")
    ticks = page.locator("#loss .tick").all_text_contents()
    assert ticks[-1] == "steps"
    assert {"10", "20", "30", "40"} <= set(ticks)
    page.select_option("#across", label="minutes")
    assert page.locator("#loss .tick").all_text_contents()[-1] == "minutes"
    page.check("#log")
    assert {"0.5", "1", "2", "5"} <= set(page.locator("#loss .tick").all_text_contents())
    box = page.locator("#loss svg.curves").bounding_box()
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    assert page.inner_text("#where") == "1 of 2, after step 10"


def test_nothing_is_asked_while_another_view_is_looked_at(opened, run):
    run.train(1, 3)
    page = opened()
    wait_for(page, "step 3", ".head")
    turn_to(page, "walk")
    page.wait_for_timeout(100)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2300)
    assert asked == []
    turn_to(page, "training")
    wait_for(page, "step 3", ".head")
    assert asked


def test_fine_tuning_has_curves_of_its_own_and_of_each_seed(opened, run):
    run.journal.path.parent.joinpath("run.toml").write_text('task = "classify"\nepochs = 3.0\n')
    for seed, loss in ((1, 0.5), (2, 0.25)):
        journal = Journal(run.folder / f"training/seeds/{seed}/training/metrics.jsonl")
        journal.path.parent.mkdir(parents=True)
        stand = {"step": 7, "epochs": 3.0, "tokens": 70, "seconds": 1.0, "tokens_per_s": 9.0}
        journal.write({"kind": "train", "loss": loss, "learning_rate": 1e-5, **stand})
        journal.write({"kind": "evaluation", "accuracy": loss, "f1_macro": 0.125, **stand})
    page = opened()
    wait_for(page, "1 of 1")
    assert {row[0]: row[2] for row in rows_of(page, "Values")} == {
        "Loss: training": "0.5000",
        "On the development examples: accuracy": "0.5000",
        "On the development examples: f1_macro": "0.1250",
        "Learning rate": "1.00e−5",
        "Speed: tokens a second": "9",
    }
    page.select_option("#part", label="seeds/2")
    page.wait_for_function("() => document.querySelector('.samples').textContent.includes('0.2500')")
    assert page.locator("mark").count() == 0


def test_seeds_that_begin_after_the_page_was_opened_are_followed(opened, run):
    run.journal.path.parent.joinpath("run.toml").write_text('task = "classify"\nepochs = 3.0\n')
    page = opened()
    wait_for(page, "nothing is written yet", ".head")
    for seed in (2, 10):
        journal = Journal(run.folder / f"training/seeds/{seed}/training/metrics.jsonl")
        journal.path.parent.mkdir(parents=True)
        stand = {"step": seed, "epochs": 1.0, "tokens": 70, "seconds": 1.0, "tokens_per_s": 9.0}
        journal.write({"kind": "train", "loss": 0.5, **stand})
        wait_for(page, "step 2 ", ".head")
    wait_for(page, "seeds/10", ".training .pickers")
    assert "step 2 " in page.inner_text(".head"), "the one that was looked at stays in sight"
    page.select_option("#part", label="seeds/10")
    wait_for(page, "step 10 ", ".head")


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_all_of_it(opened, run, dark):
    run.train(1, 10)
    run.evaluate(10, "nurse")
    page = opened(width=360, dark=dark)
    wait_for(page, "1 of 1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@needs_axe
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_fault(opened, run, dark):
    run.train(1, 10)
    run.evaluate(5, "nurse")
    run.evaluate(10, "ward")
    page = opened(dark=dark)
    wait_for(page, "2 of 2")
    page.click("#summary-0")
    assert faults_found_by_axe(page) == []


def test_curves_of_long_runs_are_drawn_thin(opened, run):
    with run.journal.path.open("w") as file:
        for step in range(1, 5001):
            file.write(
                json.dumps({"kind": "train", "step": step, "tokens": step, "seconds": 1.0, "mlm_loss": 1.0}) + "\n"
            )
    page = opened()
    wait_for(page, "step 5,000", ".head")
    assert page.get_attribute("#loss path.curve", "d").count("L") < 400
