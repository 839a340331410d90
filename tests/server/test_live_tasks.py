"""Fine-tuned models in the live page: tried, and words hidden from them."""

import pytest

from browsing import needs_chromium, number, rows_of, turn_to
from explain.folders import words_for
from server.asking import TASKS
from server.live import ask_of, percent, type_in, wait_for_answer

pytestmark = needs_chromium


@pytest.mark.parametrize("name", TASKS)
def test_a_fine_tuned_model_is_tried(opened, models, name):
    page = opened(expected="422")  # what a question answerer is first asked is longer than this one reads
    ask_of(page, name)
    turn_to(page, "evidence")
    answer = models[name].explain(**words_for(name)).recording.task.answer
    page.wait_for_function("() => !document.querySelector('.status').textContent")
    if name == "tag":
        assert page.locator("mark").count() == len(answer.spans)
        assert all(span.text in page.locator(".told").inner_text() for span in answer.spans)
    elif name == "answer":
        assert page.inner_text("mark").startswith(answer.text)
    else:
        said = {"classify": "label", "choose": "text"}.get(name)
        assert page.inner_text(".verdict") == (number(answer) if said is None else getattr(answer, said))
    evidence = models[name].explain(**words_for(name)).evidence
    if evidence:
        page.wait_for_selector(".highlighted")
    assert page.locator(".highlighted").count() == bool(evidence)


def said_by(model, words):
    """An answer in a line."""
    answer = model.explain(**words, evidence=False).recording.task.answer
    if model.name == "regress":
        return number(answer)
    if model.name == "tag":
        return ", ".join(f"{span.text} ({span.label})" for span in answer.spans) or "nothing is marked"
    if model.name == "classify":
        return f"{answer.label} ({percent(answer.probabilities[answer.label])})"
    share = answer.score if model.name == "answer" else answer.probabilities[answer.index]
    return f"“{answer.text}” ({percent(share)})"


@pytest.mark.parametrize(
    ("name", "field", "word"),
    [
        ("classify", "text", "nurse"),
        ("regress", "pair", "doctor"),
        ("tag", "text", "doctor"),
        ("answer", "text", "nurse"),
        ("answer", "question", "seen"),
        ("choose", "choices", "medicine"),
    ],
)
def test_a_click_hides_a_word_from_a_fine_tuned_model_and_its_answer_moves(opened, models, name, field, word):
    page, model, words = opened(expected="422"), models[name], words_for(name)
    ask_of(page, name)
    told, asked = page.locator(".told"), []
    page.on("request", lambda request: asked.append(request.post_data_json))
    page.click(f"#ask-{field} >> xpath=../following-sibling::* >> [aria-label='Hide {word}']")
    wait_for_answer(page)
    hidden = page.input_value(f"#ask-{field}")
    assert hidden.count("[MASK]") == 1
    words_hidden = words | {field: hidden.split("\n") if field == "choices" else hidden}
    before, after = said_by(model, words), said_by(model, words_hidden)
    assert before != after
    assert told.inner_text() == f"With every word: {before} → with “{word}” hidden: {after}"
    assert len(asked) == 1, "what was said before is known"
    if field != "choices":
        assert page.locator('.token[aria-pressed="true"]').inner_text().startswith("[MASK]")
    turn_to(page, "evidence")
    wait_for_answer(page)
    if name in ("classify", "choose"):
        shares = [row[2] for row in rows_of(page, "Labels" if name == "classify" else "Choices")]
        assert max(shares, key=lambda share: float(share[:-1])) == before.split("(")[1][:-1]
    else:
        assert f"With every word: {before}" in page.inner_text("main")
    page.click(f"[aria-label='[MASK] hides {word}: show it']")
    wait_for_answer(page)
    assert told.inner_text() == before
    assert "ith every word" not in page.inner_text("main")


def test_an_edit_beside_a_hidden_word_moves_both_answers(opened, models):
    page, model = opened(), models["classify"]
    ask_of(page, "classify")
    page.focus("[aria-label='Hide nurse']")
    page.keyboard.press("Enter")
    wait_for_answer(page)
    type_in(page, "The [MASK] saw the doctor.")
    before, after = (said_by(model, {"text": f"The {word} saw the doctor."}) for word in ("nurse", "[MASK]"))
    assert page.inner_text(".told") == f"With every word: {before} → with “nurse” hidden: {after}"
    page.click("[aria-label='[MASK] hides nurse: show it']")
    wait_for_answer(page)
    type_in(page, "[MASK] saw.")
    assert page.inner_text(".told") == said_by(model, {"text": "[MASK] saw."}), "it was typed, so there is no before"
    page.click("[aria-label='[MASK]: take it away']")
    wait_for_answer(page)
    assert page.input_value("#ask-text") == " saw."
