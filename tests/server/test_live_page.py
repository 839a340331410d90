"""The page that a server gives, in a real browser: edited, words hidden, models chosen, keyboard, a phone's width."""

from contextlib import suppress

import pytest

from browsing import faults_found_by_axe, needs_axe, needs_chromium, number, rows_of, turn_to
from server.live import percent, serving, type_in, wait_for_answer

pytestmark = needs_chromium

TEXT = "The [MASK] saw a doctor."


def guesses(page):
    """(piece, probability as shown) of each [MASK]."""
    rows = []
    for row in page.locator(".guesses").all():
        rows.append([tuple(piece.split()) for piece in row.locator(".piece").all_inner_texts()])
    return rows


def shown(fills):
    return [(fill.token, percent(fill.probability)) for fill in fills]


def test_the_guess_follows_what_is_typed(opened, models):
    page = opened()
    type_in(page, TEXT)
    assert guesses(page) == [shown(models["bert"].fill(TEXT))]
    assert page.locator("#token-2").inner_text().startswith("[MASK]")
    page.click("#stop-guess")
    type_in(page, "A nurse saw the [MASK] in a ward.")
    ((best, *_),) = guesses(page)
    assert shown(models["bert"].fill("A nurse saw the [MASK] in a ward."))[0] == best
    assert page.inner_text("#stop-name") == "The guess W′", "what was looked at stays in sight"
    assert best[0] in page.inner_text(".guess-pill")


def test_every_number_is_that_of_transformers(opened, models, tiny_bert):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    page, text = opened(), "A nurse [MASK] the doctor."
    type_in(page, text)
    encoded = AutoTokenizer.from_pretrained(tiny_bert)(text, return_tensors="pt")
    made = AutoModelForMaskedLM.from_pretrained(tiny_bert, attn_implementation="eager")(
        **encoded, output_hidden_states=True, output_attentions=True
    )
    place = page.locator(".token.mask").get_attribute("id").removeprefix("token-")
    page.click("#stop-softmax")
    logits = made.logits[0, int(place)].sort(descending=True).values[:10].tolist()
    assert [row[2] for row in rows_of(page, "The likeliest WordPieces")] == [number(logit) for logit in logits]
    page.click("#stop-attention")
    page.select_option("#layer", "1")
    weights = made.attentions[1][0, 0, int(place)].tolist()
    assert [row[3].split()[-1] for row in rows_of(page, "looks at")] == [number(weight, 4) for weight in weights]
    page.click("#stop-output")
    firsts = ", ".join(number(value) for value in made.hidden_states[-1][0, int(place), :4].tolist())
    assert firsts in page.locator(".vector.result").inner_text()


def test_a_click_hides_a_word_and_another_shows_it_again(opened, models):
    page = opened()
    type_in(page, "A nurse saw the doctor.")
    assert guesses(page) == []
    page.click("text='nurse' >> nth=0")
    wait_for_answer(page)
    assert page.input_value("#ask-text") == "A [MASK] saw the doctor."
    assert guesses(page) == [shown(models["bert"].fill("A [MASK] saw the doctor."))]
    assert page.evaluate("document.activeElement.textContent") == "[MASK]"
    followed = page.locator('.token[aria-pressed="true"]').inner_text()
    assert followed.startswith("[MASK]"), "the walk follows the hidden word"
    page.click("[aria-label='Hide doctor']")
    wait_for_answer(page)
    assert guesses(page) == list(map(shown, models["bert"].fill("A [MASK] saw the [MASK].")))
    page.fill("#ask-text", "Look: A [MASK] saw the [MASK].")
    page.fill("#ask-text", "Look: A [MASK] saw the old [MASK].")
    wait_for_answer(page)
    page.click("[aria-label='[MASK] hides doctor: show it']")
    page.click("[aria-label='[MASK] hides nurse: show it']")
    wait_for_answer(page)
    assert page.input_value("#ask-text") == "Look: A nurse saw the old doctor."
    type_in(page, "A [MASK].")
    ((best, *_),) = guesses(page)
    page.click("[aria-label='[MASK]: put the guess there']")
    wait_for_answer(page)
    assert page.input_value("#ask-text") == f"A {best[0].removeprefix('##')}."


def test_a_second_sentence_is_read_too(opened, models):
    page = opened()
    type_in(page, TEXT)
    type_in(page, "A nurse saw.", "pair")
    assert guesses(page) == [shown(models["bert"].fill(TEXT, "A nurse saw."))]
    page.click("[aria-label='Hide nurse']")
    wait_for_answer(page)
    assert len(guesses(page)) == 2
    place = page.locator('.token[aria-pressed="true"]').get_attribute("id")
    assert page.locator(".token.mask").nth(1).get_attribute("id") == place


def test_evidence_is_sought_where_it_is_looked_at(opened, models):
    page = opened(place="#evidence", wait=".evidence")
    type_in(page, TEXT)
    page.wait_for_selector(".highlighted")
    (evidence,) = models["bert"].explain(TEXT).evidence
    titles = [float(each.get_attribute("title").replace("−", "-")) for each in page.locator(".share").all()]
    assert titles == pytest.approx(evidence.integrated.tolist(), abs=6e-5)


def test_what_was_typed_is_kept_for_each_kind_of_model(opened):
    page = opened()
    type_in(page, TEXT)
    page.select_option("#model", label="tag")
    wait_for_answer(page)
    page.select_option("#model", label="bert")
    wait_for_answer(page)
    assert page.input_value("#ask-text") == TEXT


def test_what_cannot_be_read_is_told_and_what_was_typed_is_kept(opened):
    page = opened(expected="422")
    type_in(page, TEXT)
    long = "pain " * 40
    page.fill("#ask-text", long)
    page.wait_for_selector(".problem")
    assert "the model reads 32" in page.inner_text(".status")
    assert page.get_attribute(".status", "role") == "status"
    assert page.input_value("#ask-text") == long
    assert page.locator(".stage").count() == 1, "what came before is still there"
    type_in(page, "A [MASK].")
    assert page.locator(".problem").count() == 0


def test_only_the_last_edit_is_answered(opened, models):
    page, held = opened(), []
    type_in(page, TEXT)

    def hold_the_first(route):
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/v1/explain", hold_the_first)
    page.click("[aria-label='Hide doctor']")
    page.wait_for_timeout(50)
    page.click("[aria-label='[MASK] hides doctor: show it']")
    wait_for_answer(page)
    assert len(held) == 1
    with suppress(Exception):  # the browser gave it up already
        held[0].continue_()
    page.wait_for_timeout(150)
    assert guesses(page) == [shown(models["bert"].fill(TEXT))]


def test_an_overloaded_and_a_lost_server_are_told_and_asked_again(opened, models):
    page = opened(expected="Failed to load resource")
    type_in(page, TEXT)
    answers = [
        lambda route: route.fulfill(
            status=503,
            headers={"Retry-After": "3"},
            json={"error": {"message": "9 wait already", "type": "overloaded"}},
        ),
        lambda route: route.abort("connectionrefused"),
    ]
    page.route("**/v1/explain", lambda route: answers.pop(0)(route) if answers else route.continue_())
    page.click("[aria-label='Hide doctor']")
    page.wait_for_selector(".problem")
    assert "9 wait already. Try again in 3 seconds." in page.inner_text(".status")
    page.click("#again")
    page.wait_for_function("() => document.querySelector('.status').textContent.includes('does not answer')")
    page.click("#again")
    wait_for_answer(page)
    assert guesses(page) == list(map(shown, models["bert"].fill("The [MASK] saw a [MASK].")))


def test_a_key_is_asked_for_and_never_kept(browser, opened, models):
    with serving({"bert": models["bert"]}, key=("a-key",)) as (url, _):
        page = opened(url=url, wait="#key", expected="401")
        assert page.locator("#wrong-key").count() == 0
        page.fill("#key", "wrong")
        page.click("#send-key")
        page.wait_for_selector("#wrong-key")
        assert page.input_value("#key") == ""
        page.fill("#key", "a-key")
        page.keyboard.press("Enter")
        page.wait_for_selector(".stage")
        assert page.locator("#key").count() == 0
        stored = "[document.cookie, localStorage.length, sessionStorage.length, location.href].join()"
        assert page.evaluate(stored) == f",0,0,{url}/"
        page.reload()
        page.wait_for_selector("#key")


def test_a_sentence_with_a_script_in_it_is_harmless(opened):
    page = opened()
    page.click("#stop-guess")
    for evil in ("<script>alert(1)</script> [MASK]", '<img src=x onerror="a"> [MASK]'):
        type_in(page, evil)
        assert evil.removesuffix(" [MASK]") in page.inner_text(".filled")
        assert page.inner_text(".hideable").startswith(evil[:7])
        assert page.locator("main img, main script, .ask img, .ask script").count() == 0


def test_the_keyboard_alone_is_enough(opened, models):
    page = opened()
    type_in(page, TEXT)
    page.focus("#to-walk")

    def tab_to(name):
        for _ in range(60):
            if page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id") == name:
                return
            page.keyboard.press("Tab")
        pytest.fail(f"the Tab key does not reach {name}")

    tab_to("model")
    tab_to("ask-text")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#stop-name") == "Words become tokens", "arrows belong to the text while one types"
    tab_to("Hide saw")
    page.keyboard.press("Enter")
    wait_for_answer(page)
    assert page.input_value("#ask-text") == "The [MASK] [MASK] a doctor."
    page.keyboard.press("Space")
    wait_for_answer(page)
    assert page.input_value("#ask-text") == TEXT
    tab_to("forward")
    page.keyboard.press("Enter")
    assert page.inner_text("#stop-name") == "Embeddings: tokens become vectors"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_all_of_it(opened, dark):
    page = opened(width=360, dark=dark)
    type_in(page, "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft [MASK]"[-60:])
    for view in ("walk", "attention", "evidence"):
        turn_to(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view


@needs_axe
@pytest.mark.parametrize(("name", "dark"), [("bert", False), ("bert", True), ("classify", False)])
def test_axe_finds_no_fault(opened, name, dark):
    page = opened(dark=dark)
    page.emulate_media(reduced_motion="reduce")
    page.select_option("#model", label=name)
    wait_for_answer(page)
    for place in ("#to-walk", "#to-evidence"):
        page.click(place)
        page.wait_for_function("() => !document.querySelector('.status').textContent")
        assert faults_found_by_axe(page) == [], place
