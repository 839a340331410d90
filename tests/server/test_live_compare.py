"""The view Compare of the live page, in a real browser; and edits while evidence is sought."""

import shutil
import threading
import time
from functools import partial

import httpx2
import pytest

from bertsmith.explain.passes import next_pass
from bertsmith.explain.self_contained import read_asset
from bertsmith.server.explain_schemas import MOST_COMPARED
from bertsmith.server.models import load_models, named_folders
from bertsmith.server.refusals import ClientGoneError
from bertsmith.server.runs import Runs
from browsing import faults_found_by_axe, needs_axe, needs_chromium, number, rows_of, turn_to
from server.live import serving

pytestmark = needs_chromium

TEXT, LATER = "The [MASK] saw a doctor.", "A nurse saw the [MASK] in a ward."
BESIDE = "() => document.querySelector('.ask[aria-busy=false]') && document.querySelector('#moved-head')"


@pytest.fixture(scope="module")
def served(several):
    with serving(several) as (url, _):
        yield url


@pytest.fixture
def compared(opened):
    """Opens the page at Compare."""
    return partial(opened, place="#compare", wait="#moved-head")


def type_in(page, text):
    page.fill("#ask-text", text)
    page.wait_for_function(BESIDE)


def lay_beside(page, name):
    page.select_option("#other", label=name)
    page.wait_for_function(BESIDE)


def moved_heads(page):
    return [int(each) for each in page.locator(".moved").all_inner_texts()]


def wanted_heads(model, other, text):
    (beside,) = model.compare(model.explain(text, evidence=False, hidden_words=False), other).beside
    return beside, [round(100 * float(each)) for each in beside.attention.flatten()]


def test_another_model_of_the_server_is_laid_beside_it(compared, several):
    page = compared()
    assert page.locator("#other option").all_inner_texts() == ["classify", "moved"]
    lay_beside(page, "moved")
    type_in(page, TEXT)
    beside, heads = wanted_heads(several["bert"], several["moved"], TEXT)
    assert moved_heads(page) == heads
    place = page.locator("#at").input_value()
    was = dict(beside.other.guesses(int(place)))
    shown = {piece: share for piece, share, _ in rows_of(page, "Guesses at") if not share.startswith("under")}
    assert shown == {piece: f"{100 * was[piece]:.{1 if was[piece] >= 0.1 else 2}f}%" for piece in shown}
    assert next(iter(was)) in shown
    drift = rows_of(page, "Layer by layer")
    assert [row[0] for row in drift] == [each.name for each in beside.weights]
    assert [row[4] for row in drift[:3]] == [number(each) for each in beside.cka]
    assert page.locator("#beside").count() == 0, "there is one beside it"


def test_an_edit_and_a_hidden_word_keep_the_comparison(compared, several):
    page = compared()
    lay_beside(page, "moved")
    page.click("#moved-1-1")
    type_in(page, LATER)
    assert moved_heads(page) == wanted_heads(several["bert"], several["moved"], LATER)[1]
    page.click("[aria-label='Hide nurse']")
    page.wait_for_function(BESIDE)
    text = "A [MASK] saw the [MASK] in a ward."
    assert moved_heads(page) == wanted_heads(several["bert"], several["moved"], text)[1]
    assert page.locator(".guesses").count() == 2
    assert page.get_attribute("#moved-1-1", "aria-pressed") == "true", "the head that was looked at still is"
    assert page.input_value("#other") == "1"
    assert all(body["compare"] == ["moved"] for body in page.bodies[-2:])


def test_others_are_read_only_where_that_is_looked_at(compared):
    page = compared(place="", wait=".stage")
    page.fill("#ask-text", LATER)
    page.wait_for_selector(".ask[aria-busy=false]")
    turn_to(page, "attention")
    assert not any("compare" in body for body in page.bodies)
    turn_to(page, "compare")
    page.wait_for_function(BESIDE)
    assert page.bodies[-1]["compare"] == ["classify"]
    asked = len(page.bodies)
    turn_to(page, "walk")
    turn_to(page, "compare")
    page.wait_for_selector("#moved-head")
    assert len(page.bodies) == asked, "it is there already"
    assert page.bodies[-1]["evidence"] is page.bodies[-1]["hidden_words"] is False


def test_both_answers_of_two_that_were_fine_tuned_or_not(compared):
    page = compared()
    page.select_option("#model", label="classify")
    page.wait_for_function(BESIDE)
    assert page.locator("#other option").all_inner_texts() == ["bert", "moved"]
    assert "not fine-tuned for this" in page.locator(".said").first.inner_text()
    assert page.locator(".said .verdict").count() == 1


def test_where_nothing_is_alike_it_is_said_with_what_to_do(compared, models):
    page = compared()
    page.select_option("#model", label="modern")
    page.wait_for_selector(".compare .note")
    said = page.inner_text(".compare .note")
    assert "no other model here that can be laid beside modern" in said
    assert "bertsmith serve modern OTHER" in said
    assert page.locator("#other").count() == 0
    page.fill("#ask-text", LATER)
    page.wait_for_selector(".ask[aria-busy=false]")
    assert page.locator(".guesses").count() == 1, "the sentence is still answered"
    page.select_option("#model", label="bert")
    page.wait_for_function(BESIDE)


def test_a_run_is_seen_step_by_step_and_a_step_that_is_gone_is_told(compared, pretrained, tmp_path):
    shutil.copytree(pretrained, tmp_path / "my-bert")
    words = [str(tmp_path / "my-bert")]
    with serving(load_models(words), runs=Runs(named_folders(words))) as (url, service):
        page = compared(url=url, expected="404")
        steps = [f"my-bert/step-{step}" for step in (0, 2, 4)]
        assert page.locator("#other option").all_inner_texts() == [*steps, "my-bert, step by step"]
        lay_beside(page, "my-bert, step by step")
        page.wait_for_selector("#beside")
        assert [row[0] for row in rows_of(page, "Each beside my-bert")] == ["step-0", "step-2", "step-4"]
        page.select_option("#beside", label="step-4")
        assert {row[1] for row in rows_of(page, "Layer by layer")} == {"0.00%"}, "the last step is the model"
        assert page.inner_text("#moved-head").endswith(": 0.00% moved")
        page.fill("#ask-text", "the [MASK]")
        page.wait_for_function(BESIDE)
        assert page.input_value("#beside") == "2", "what was looked at stays in sight"
        service.runs._folders["my-bert"].checkpoints.rename(tmp_path / "gone")
        page.fill("#ask-text", "a [MASK]")
        page.wait_for_selector(".problem")
        assert "No model or step of that name" in page.inner_text(".status")
        assert page.locator("#moved-head").count() == 1, "what came before is still there"


def test_a_page_asks_for_no_more_than_a_server_takes():
    assert f"MOST_AT_ONCE = {MOST_COMPARED};" in read_asset("others.js")


def test_by_the_keyboard(compared, several):
    page = compared()
    type_in(page, TEXT)
    page.focus("#to-compare")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "other":
            break
    page.keyboard.press("ArrowDown")
    page.wait_for_function(BESIDE)
    assert page.evaluate("document.activeElement.id") == "other", "it stays where it was"
    assert moved_heads(page) == wanted_heads(several["bert"], several["moved"], TEXT)[1]


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_all_of_it(compared, dark):
    page = compared(width=360, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.select_option("#model", label="modern")
    page.wait_for_selector(".compare .note")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@needs_axe
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_fault(compared, dark):
    page = compared(dark=dark)
    assert faults_found_by_axe(page) == []
    page.select_option("#model", label="modern")
    page.wait_for_selector(".compare .note")
    assert faults_found_by_axe(page) == []


# Edits while evidence is sought.


def test_neither_an_edit_nor_another_client_waits_for_evidence(compared, models, monkeypatch):
    sought, left = threading.Semaphore(0), threading.Semaphore(0)

    def never_found(*args, **options):
        sought.release()
        try:
            while True:
                next_pass()
                time.sleep(0.01)
        except ClientGoneError:
            left.release()
            raise

    monkeypatch.setattr("bertsmith.explain.targets.find_evidence", never_found)
    with serving({"bert": models["bert"], "classify": models["classify"]}) as (url, _):
        page = compared(url=url, place="#evidence", wait=".evidence")
        assert sought.acquire(timeout=20)
        for path, body in (("fill", {"text": TEXT}), ("classify", {"text": TEXT}), ("explain", {"text": LATER})):
            body |= {"evidence": False, "hidden_words": False} if path == "explain" else {}
            assert httpx2.post(f"{url}/v1/{path}", json=body).status_code == 200
        page.fill("#ask-text", LATER)
        best = models["bert"].fill(LATER)[0].token
        page.wait_for_function("best => document.querySelector('.piece')?.textContent.startsWith(best)", arg=best)
        assert left.acquire(timeout=20), "what was sought before was dropped"
        assert sought.acquire(timeout=20), "and is sought for what stands there now"
        page.close()
        assert left.acquire(timeout=20)
