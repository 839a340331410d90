"""A headless Chromium for tests, pages that are watched, and what is read off them."""

import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
AXE = Path(sys.prefix) / "npm/node_modules/axe-core/axe.min.js"

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not there: npm install --prefix .venv/npm axe-core"
)


@contextmanager
def chromium():
    """A browser until the block ends."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def watched(browser, allowed, *, width: int = 1280, dark: bool = False, expected: str | None = None):
    """A page; at the end nothing was complained of but what is expected, and only allowed addresses asked for."""
    scheme = "dark" if dark else "light"
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, faults = context.new_page(), list[str]()
    page.on("console", lambda message: (expected and expected in message.text) or faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on("request", lambda request: allowed(request.url) or faults.append(request.url))
    yield page
    context.close()
    assert faults == []


def turn_to(page, view: str, by: str = "click") -> None:
    """Another view by its link, when it is shown: the browser tells of a new address after the click is over."""
    link = page.locator(f"#to-{view}")
    if by == "click":
        link.click()
    else:
        link.press(by)
    page.wait_for_selector(f"#to-{view}[aria-current=page]")


def number(value: float, places: int = 3) -> str:
    """As the page writes numbers."""
    return re.sub(r"^−(0\.?0*)$", r"\1", f"{value:.{places}f}".replace("-", "−"))


def rows_of(page, caption: str) -> list[list[str]]:
    """The texts of a table's cells."""
    table = page.locator("table", has=page.locator("caption", has_text=caption))
    return [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]


def faults_found_by_axe(page) -> list[tuple[str, str]]:
    """Rule and element of each fault that axe-core finds in what is shown."""
    page.emulate_media(reduced_motion="reduce")  # colours are measured when they have settled
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))  # by the debugger, which no policy of the page's concerns
    found = page.evaluate("axe.run({ preload: false })")["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found]
