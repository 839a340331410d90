"""The page in a real browser: the whole walk, the keyboard alone, a phone's width, dark; nothing asked of anyone."""

import math
import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import bertsmith
from bertsmith.explain.notebook import framed
from browsing import chromium, faults_found_by_axe, needs_axe, needs_chromium, number, rows_of, turn_to, watched
from explain.folders import modern_folder, moved_folder, task_folder, words_for

pytestmark = needs_chromium

TEXT = "The [MASK] saw a medicine in the wards."
STOPS = [
    "Words become tokens",
    "Embeddings: tokens become vectors",
    "Self-attention: tokens look at one another",
    "Feed-forward: each vector by itself",
    "The output O: the vector at the end",
    "Classification layer: from place to word",
    "Softmax: a probability for every word",
    "The guess W′",
]


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def opened(browser, tmp_path):
    """Opens an explanation's page; at the end nothing was complained of, and nothing asked of another host."""
    with ExitStack() as open_ones:

        def open_page(explained, **how):
            path = tmp_path / "page.html"
            explained.save(path)
            page = open_ones.enter_context(watched(browser, lambda url: url == path.as_uri(), **how))
            page.goto(path.as_uri())
            page.wait_for_selector("main h2")
            return page

        yield open_page


@pytest.fixture(scope="module")
def explained(tiny_bert):
    return bertsmith.load(tiny_bert).explain(TEXT)


@pytest.fixture(scope="module")
def compared(tiny_bert, tmp_path_factory):
    """Beside a model whose weights are others, and beside itself."""
    bert, other = bertsmith.load(tiny_bert), moved_folder(tiny_bert, tmp_path_factory.mktemp("moved") / "other")
    return bert.compare(bert.explain(TEXT), other, bert)


def heading(page) -> str:
    return page.inner_text("#stop-name")


def test_the_whole_walk_shows_the_models_numbers(opened, explained):
    page, recording = opened(explained), explained.recording
    (place,) = recording.masked
    assert page.inner_text(".guess-pill").endswith("?"), "the guess is not told before it is reached"
    seen = [heading(page)]
    for _ in STOPS[1:]:
        page.click("#forward")
        seen.append(heading(page))
    assert seen == STOPS
    page.keyboard.press("ArrowRight")
    assert heading(page) == STOPS[-1], "there is no further"

    best, probability = explained.guesses(place)[0]
    assert best in page.inner_text(".guess-pill")
    assert f"{100 * probability:.1f}%" in page.inner_text(".guess-pill") or probability < 0.1
    told = [row[0] for row in rows_of(page, "Guesses at [MASK]")]
    assert told == [token for token, _ in explained.guesses(place)[:5]]
    after = rows_of(page, "The guess after each layer")
    pieces = [explained.vocabulary[ids[0]] for ids in explained.lens.ids[::-1, 0]]
    assert [row[1].split()[0] for row in after] == pieces

    page.click("#back")
    logits = [row[2] for row in rows_of(page, "The likeliest WordPieces")]
    assert logits == [number(logit) for logit in recording.masked_lm.logits[place]]
    (dot, power) = page.locator(".worked").all_inner_texts()
    assert dot.endswith(f" = {logits[0]}")
    assert _divisor(power) == pytest.approx(math.exp(recording.masked_lm.log_sum[place]), rel=1e-3)

    page.click("#stop-embeddings")
    embeddings = recording.embeddings
    firsts = [number(abs(step[place, 0])) for step in (embeddings.word, embeddings.segment, embeddings.position)]
    for value in (*firsts, number(abs(embeddings.summed[place, 0]))):
        assert value in page.inner_text(".worked")


def _divisor(worked: str) -> float:
    """What the softmax divides by, as it is told."""
    digits, tens = re.search(r"÷ ([\d,.]+\d)(?: × 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?, the sum", worked).groups()
    return float(digits.replace(",", "")) * 10 ** int(
        (tens or "⁰").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    )


def test_a_thread_leads_from_stop_to_stop(opened, explained):
    page, (evidence,) = opened(explained, width=360), explained.evidence
    texts = [token.text for token in explained.recording.tokens]
    for stop in STOPS[1:]:
        assert page.inner_text(".so-far").startswith("So far at [MASK]: ")
        page.click("#onward")
        assert heading(page) == stop
        assert page.evaluate("document.activeElement.id") == "stop-name"
        assert page.evaluate("document.querySelector('.walk').getBoundingClientRect().top") >= -1, "read from its top"
    assert page.locator("#onward").count() == 0
    most = [place for place in evidence.integrated.argsort()[::-1][:3] if evidence.integrated[place] > 0]
    said = f": {', '.join(f'“{texts[place]}”' for place in most)} (see Evidence)."
    assert said in page.inner_text(".panel")


def test_attention_is_worked_out_for_the_token_layer_and_head_that_are_chosen(opened, explained):
    page = opened(explained)
    page.click("#part-attention")
    page.select_option("#layer", "1")
    page.select_option("#head", "1")
    page.click("#token-4")
    layer = explained.recording.layers[1]
    rows = rows_of(page, "looks at")
    assert [row[0] for row in rows] == [token.text for token in explained.recording.tokens]
    assert [row[2] for row in rows] == [number(score) for score in layer.scores[1, 4]]
    assert [row[3].split()[-1] for row in rows] == [number(weight, 4) for weight in layer.weights[1, 4]]
    fit, power, mix = page.locator(".worked").all_inner_texts()
    best = layer.weights[1, 4].argmax()
    token = explained.recording.tokens[best]
    spoken = token.text if token.word is None or best in explained.recording.masked else f"“{token.text}”"
    assert fit.endswith(f"÷ √8 = {number(layer.scores[1, 4, best])}")
    assert power.endswith(f"= {number(layer.weights[1, 4, best], 4)}")
    assert _divisor(power) == pytest.approx(np.exp(layer.scores[1, 4].astype(float)).sum(), rel=1e-3)
    assert mix.endswith(f"= {number(layer.mixed[1, 4, 0])}")
    assert f"{spoken} ({100 * layer.weights[1, 4, best]:.1f}%)" in page.inner_text(".so-far")
    output = ", ".join(number(value) for value in layer.mixed[1, 4, :4])
    assert output in page.locator(".vector.result").inner_text()
    page.click("#part-feed-forward")
    assert number(layer.output[4, 0]) in page.locator(".vector.result").inner_text()


def test_any_word_can_be_hidden(opened, explained):
    page = opened(explained)
    page.click("#part-guess")
    for index, hidden in enumerate(explained.hidden_words):
        page.click(f"#hide-{index}")
        first = hidden.places[0]
        rows = rows_of(page, f"Guesses for {explained.recording.tokens[first].text}, hidden")
        assert [row[0] for row in rows] == [explained.vocabulary[token_id] for token_id in hidden.ids[0][:5]]
        assert page.inner_text(f"#hide-{index}") == "[MASK]"
    page.click(f"#hide-{index}")
    assert page.locator("caption", has_text="hidden").count() == 0


def test_attention_of_all_heads(opened, explained):
    page, recording = opened(explained), explained.recording
    turn_to(page, "attention")
    assert page.locator(".thumb").count() == 4
    roles = [page.get_attribute(f"#head-{layer}-{head}", "data-role") for layer in range(2) for head in range(2)]
    assert roles == [role.name for layer in explained.roles for role in layer]
    page.click("#head-1-0")
    assert page.inner_text("#one-head") == "Layer 2, head 1"
    page.click("#from-3")
    shown = page.locator(".seen").all_inner_texts()
    for text, token, weight in zip(shown, recording.tokens, recording.layers[1].weights[0, 3], strict=True):
        assert text.split()[0] == token.text
        if weight >= 0.1:
            assert f"{100 * weight:.1f}%" in text
    name = explained.roles[0][0].name
    page.click(f"#role-{name.replace(' ', '-')}")
    others = sum(role.name != name for layer in explained.roles for role in layer)
    assert page.locator(".thumb.faded").count() == others


def test_evidence_adds_up_before_the_readers_eyes(opened, explained):
    page, (evidence,) = opened(explained), explained.evidence
    turn_to(page, "evidence")
    for value in (evidence.integrated.sum(), evidence.value, evidence.baseline):
        assert number(abs(value)) in page.inner_text(".worked")
    for method, shares in ((0, evidence.integrated), (1, evidence.gradient_input)):
        page.select_option("#method", str(method))
        shown = [float(each.replace("−", "-")) for each in _titles(page)]
        assert shown == pytest.approx(shares.tolist(), abs=6e-5)
    page.select_option("#method", "2")
    assert sum(map(float, _titles(page))) == pytest.approx(1, abs=1e-3)


def percent(share: float) -> str:
    if share >= 0.1:
        return f"{100 * share:.1f}%"
    return f"{100 * share:.2f}%" if share >= 0.0001 else "e"


def test_compare_shows_what_moved(opened, compared):
    page, beside = opened(compared), compared.beside[0]
    other, here = beside.other, compared.recording
    turn_to(page, "compare")
    (place,) = here.masked
    was, now = dict(other.guesses(place)), dict(compared.guesses(place))
    rows = rows_of(page, "Guesses at [MASK]")
    assert {row[0] for row in rows} == {*list(was)[:6], *list(now)[:6]}
    for piece, before, after in rows:
        for shown, shares in ((before, was), (after, now)):
            expected = percent(shares[piece]) if piece in shares else f"under {percent(min(shares.values()))}"
            assert expected in shown
    drift = {each.name: each for each in beside.weights}
    table = rows_of(page, "Layer by layer")
    assert [row[0] for row in table] == list(drift)
    for name, weights, attention, feed_forward, cka in table:
        assert f"{100 * drift[name].change:.1f}%" in weights
        if name.startswith("layer"):
            assert attention == f"{100 * drift[name].parts['attention']:.1f}%"
            assert feed_forward == f"{100 * drift[name].parts['feed-forward']:.1f}%"
            assert number(beside.cka[int(name[-1])]) in cka
    page.select_option("#at", "1")
    assert page.locator("caption", has_text="Guesses at the").count() == 1
    page.select_option("#beside", "1")
    assert [row[1].strip() for row in rows_of(page, "Layer by layer")] == ["0.00%"] * len(drift)
    one_by_one = rows_of(page, "Each beside")
    assert [number(each.cka[-1]) in row[-1] for each, row in zip(compared.beside, one_by_one, strict=True)] == [
        True
    ] * 2


def test_compare_shows_each_heads_attention_before_and_now(opened, compared):
    page, beside = opened(compared), compared.beside[0]
    turn_to(page, "compare")
    names = [page.get_attribute(f"#moved-{layer}-{head}", "aria-label") for layer in range(2) for head in range(2)]
    assert [name.split(": ")[1] for name in names] == [
        f"{int(100 * each + 0.5)}% moved" for each in beside.attention.flat
    ]
    page.click("#moved-1-0")
    assert page.inner_text("#moved-head").startswith("Layer 2, head 1: ")
    place, texts = compared.recording.masked[0], [token.text for token in compared.recording.tokens]
    was, now = (each.layers[1].weights[0, place] for each in (beside.other.recording, compared.recording))
    order = sorted(range(len(was)), key=lambda each: -abs(now[each] - was[each]))[:8]
    rows = rows_of(page, "the largest changes")
    assert [row[0] for row in rows] == [texts[each] for each in order]
    assert [row[1:3] for row in rows] == [[number(was[each]), number(now[each])] for each in order]


def test_compare_by_the_keyboard(opened, compared):
    page = opened(compared)
    turn_to(page, "compare", by="Enter")
    first = page.get_attribute('.moved[tabindex="0"]', "id")
    page.focus(f"#{first}")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "moved-1-1"
    assert page.get_attribute("#moved-1-1", "aria-pressed") == "true"


def test_a_fine_tuned_model_beside_its_source_says_both(opened, tiny_bert, tmp_path):
    task = bertsmith.load(task_folder(tiny_bert, "classify", tmp_path / "classify"))
    compared = task.compare(task.explain(**words_for("classify")), tiny_bert, task)
    page = opened(compared)
    turn_to(page, "compare")
    assert page.inner_text(".said:first-child").endswith("It was not fine-tuned for this, so it gives no such answer.")
    assert page.inner_text(".said:last-child .verdict") == compared.recording.task.answer.label
    assert {row[2] for row in rows_of(page, "Guesses at")} == {"no masked LM head"}
    page.select_option("#beside", "1")
    assert page.locator(".said .verdict").all_inner_texts() == [compared.recording.task.answer.label] * 2


def _titles(page) -> list[str]:
    return [each.get_attribute("title") for each in page.locator(".share").all()]


def test_the_keyboard_alone_is_enough(opened, explained):
    page = opened(explained)
    focused = lambda: page.evaluate("document.activeElement.id || document.activeElement.className")  # noqa: E731

    def tab_to(name: str) -> None:
        for _ in range(60):
            if focused() == name:
                return
            page.keyboard.press("Tab")
        pytest.fail(f"the Tab key does not reach {name}")

    for stop in STOPS:
        assert heading(page) == stop
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert heading(page) == STOPS[-2]
    place = explained.recording.masked[0]
    tab_to(f"token-{place}")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert focused() == f"token-{place + 1}"
    assert page.get_attribute(f"#token-{place + 1}", "aria-pressed") == "true"
    assert heading(page) == STOPS[-2], "an arrow among the tokens takes no step"
    tab_to("forward")
    page.keyboard.press("Enter")
    assert focused() == "forward"
    tab_to("hide-0")
    page.keyboard.press("Space")
    assert page.get_attribute("#hide-0", "aria-pressed") == "true"
    page.focus("#to-walk")
    tab_to("to-attention")
    turn_to(page, "attention", by="Enter")
    tab_to("head-0-0")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.inner_text("#one-head") == "Layer 2, head 2"
    assert focused() == "head-1-1"
    tab_to(f"from-{place + 1}")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute(f"#from-{place + 2}", "aria-pressed") == "true"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_all_of_it_without_sideways_scrolling(opened, compared, dark):
    page = opened(compared, width=360, dark=dark)
    for view in ("walk", "attention", "evidence", "compare"):
        turn_to(page, view)
        for _ in range(len(STOPS) if view == "walk" else 1):
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, (view, page.inner_text("main h2"))
            page.keyboard.press("ArrowRight")


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out_from_what_is_behind_them(opened, explained, dark):
    page = opened(explained, dark=dark)
    colours = {
        name: page.evaluate(
            """(name) => { const probe = document.createElement("i"); document.body.append(probe);
            probe.style.color = `var(--${name})`; const found = getComputedStyle(probe).color; probe.remove();
            return found.match(/\\d+/g).map(Number); }""",
            name,
        )
        for name in ("paper", "card", "wash", "part", "accent-wash", "ink", "soft", "accent", "on-accent", "part-ink")
    }
    assert (sum(colours["paper"]) < 200) == dark
    pairs = [(text, behind) for text in ("ink", "soft") for behind in ("paper", "card", "wash", "accent-wash")]
    for text, behind in [*pairs, ("accent", "card"), ("on-accent", "accent"), ("part-ink", "part")]:
        assert _contrast(colours[text], colours[behind]) >= 4.5, (text, behind)


def _contrast(one: list[int], other: list[int]) -> float:
    """As WCAG 2 defines it."""
    lights = []
    for colour in (one, other):
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        lights.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_everything_that_can_be_pressed_has_a_name(opened, compared):
    page = opened(compared)
    for view in ("walk", "attention", "evidence", "compare"):
        turn_to(page, view)
        for control in page.locator("button, a, select").all():
            name = control.get_attribute("aria-label") or control.inner_text() or control.get_attribute("title")
            label = page.locator(f'label[for="{control.get_attribute("id")}"]').count()
            assert (name or "").strip() or label, control.evaluate("each => each.outerHTML")
        for picture in page.locator('[role="img"]').all():
            assert picture.get_attribute("aria-label")


@needs_axe
@pytest.mark.parametrize(("name", "dark"), [(None, False), (None, True), ("answer", True)])
def test_axe_finds_no_fault(opened, compared, tiny_bert, tmp_path, name, dark):
    if name:
        task = bertsmith.load(task_folder(tiny_bert, name, tmp_path / name))
        compared = task.compare(task.explain(**words_for(name)), tiny_bert)
    page = opened(compared, dark=dark)
    for place in ("#stop-attention", "#stop-guess", "#hide-0", "#stop-answer"):
        if page.locator(place).count():
            page.click(place)
            assert faults_found_by_axe(page) == [], place
    for view in ("attention", "evidence", "compare"):
        if page.locator(f"#to-{view}").count():
            turn_to(page, view)
            assert faults_found_by_axe(page) == [], view


def test_a_sentence_with_a_script_in_it_is_harmless(opened, tiny_bert):
    evil = "<script>alert(1)</script> [MASK]"
    page = opened(bertsmith.load(tiny_bert).explain(evil, evidence=False))
    page.click("#stop-guess")
    assert "<script>alert(1)</script>" in page.inner_text(".filled")
    assert page.locator("img, main script").count() == 0


def test_of_a_pair_it_says_whether_the_second_text_follows(opened, tiny_bert):
    explained = bertsmith.load(tiny_bert).explain("The [MASK] saw a ward.", "A nurse.", evidence=False)
    page = opened(explained)
    page.click("#stop-guess")
    logits = [row[1] for row in rows_of(page, "Next-sentence prediction")]
    assert logits == [number(logit) for logit in explained.recording.next_sentence.logits]
    page.click("#stop-embeddings")
    page.click(f"#token-{len(explained.recording.tokens) - 2}")
    assert "segment B" in page.inner_text(".panel")


def test_without_a_mask_each_word_can_be_followed(opened, tiny_bert):
    page = opened(bertsmith.load(tiny_bert).explain("A nurse saw pains."))
    assert page.inner_text("h1") == "What happens at each word"
    assert "serve the model" in page.inner_text("footer")
    assert page.locator("textarea").count() == 0, "a file has no model to ask"
    page.click("#stop-guess")
    assert "This token is in plain sight" in page.inner_text(".panel")
    assert page.locator("#to-evidence").count() == 0


@pytest.mark.parametrize("name", ["classify", "regress", "tag", "answer", "choose"])
def test_a_fine_tuned_models_answer_is_drawn_on_the_text(opened, tiny_bert, tmp_path, name):
    explained = bertsmith.load(task_folder(tiny_bert, name, tmp_path / name)).explain(**words_for(name))
    task, page = explained.recording.task, opened(explained)
    page.click("#stop-task")
    read = task.places.tolist().index(explained.evidence[0].place) if explained.evidence else 0
    rows = rows_of(page, "Logits at")
    assert [row[1] for row in rows] == [number(logit) for logit in sorted(task.logits[read], reverse=True)]
    page.click("#stop-answer")
    if name == "tag":
        marks = page.locator("mark").all_inner_texts()
        assert [text.startswith(span.text) for text, span in zip(marks, task.answer.spans, strict=True)] == [
            True
        ] * len(marks)
    elif name == "answer":
        assert page.inner_text("mark").startswith(task.answer.text)
    else:
        said = {"classify": "label", "choose": "text"}.get(name)
        expected = number(task.answer) if said is None else getattr(task.answer, said)
        assert page.inner_text(".verdict") == expected
    for view in ("attention", *(["evidence"] if explained.evidence else [])):
        turn_to(page, view)


def test_the_page_lives_in_the_frame_of_a_notebook_too(browser, explained):
    page = browser.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.set_content(framed(explained.page()))
    frame = page.frame_locator("iframe")
    frame.locator("#forward").click()
    assert frame.locator("#stop-name").inner_text() == STOPS[1]
    frame.locator("#to-attention").click()
    assert frame.locator("#one-head").inner_text() == "Layer 1, head 1"
    page.close()
    assert faults == []


def test_modernbert_walks_too(opened, tiny_bert, tmp_path):
    page = opened(bertsmith.load(modern_folder(tiny_bert, tmp_path / "modern")).explain(TEXT))
    seen = [heading(page)]
    for _ in STOPS[1:]:
        page.click("#forward")
        seen.append(heading(page))
    assert seen == STOPS
    page.click("#stop-attention")
    page.select_option("#layer", "1")
    assert "−∞" in page.inner_text(".panel"), "what a local layer does not see"


def test_a_bare_encoder_walks_up_to_its_output(opened, tiny_bert, tmp_path: Path):
    import torch

    from bertsmith.config import ModelConfig
    from bertsmith.model.bert import Bert
    from bertsmith.model.folder import write_model_folder
    from bertsmith.text.wordpiece import WordPiece

    tokenizer = WordPiece.load(tiny_bert)
    tokenizer.save(tmp_path)
    config = ModelConfig.preset("tiny", vocab_size=tokenizer.vocab_size)
    write_model_folder(Bert(config, (), generator=torch.Generator().manual_seed(1)), tmp_path)
    page = opened(bertsmith.load(tmp_path).explain("A nurse."))
    assert page.locator(".dot").count() == 5
    page.click("#stop-output")
    assert "After 2 layers" in page.inner_text(".panel")
