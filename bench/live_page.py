"""How soon the live page shows something, and how soon it answers an edit: `python bench/live_page.py MODEL`.

The page is opened in headless Chromium from a server on loopback. Times are the browser's own: from navigation, or from
the click that hides a word, until the answer is drawn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

DRAWN = """() => document.querySelector(".ask[aria-busy=false]") && document.querySelector(".stage")
 && performance.now()"""
CLICK = "() => { window.began = performance.now(); document.querySelector('.hideable .word').click(); }"
SINCE = "() => document.querySelector('.ask[aria-busy=false]') && performance.now() - window.began"
SOUGHT = "() => document.querySelector('.status').textContent"
EDITED = """() => document.querySelectorAll(".guesses").length ===
 document.querySelectorAll(".hideable [aria-pressed=true]").length && performance.now() - window.began"""
EVIDENCE = "() => document.querySelector('.highlighted') && performance.now() - window.began"


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--text", default="The patient was given [MASK] against the pain in the night.")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    command = [sys.executable, "-m", "bertsmith", "serve", options.model, "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout
        url = json.loads(server.stdout.readline())["url"]
        with sync_playwright() as running:
            browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            found = [_measured(browser, url, options.text) for _ in range(options.runs)]
    finally:
        server.terminate()
        server.wait()
    for name in found[0]:
        values = [each[name] for each in found]
        print(f"{name}: {median(values):.2f} s (from {min(values):.2f} to {max(values):.2f})")


def _measured(browser: Any, url: str, text: str) -> dict[str, float]:
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(url)
    first = page.wait_for_function(DRAWN).json_value()
    page.fill("#ask-text", text)
    page.wait_for_function(DRAWN)
    page.evaluate(CLICK)
    edit = page.wait_for_function(SINCE).json_value()
    page.evaluate("() => { window.began = performance.now(); location.hash = 'evidence'; }")
    evidence = page.wait_for_function(EVIDENCE).json_value()
    page.evaluate(CLICK)
    page.wait_for_function(SOUGHT)
    page.evaluate(CLICK)
    during = page.wait_for_function(EDITED).json_value()
    page.close()
    found = {"first view": first, "a word hidden, its answer": edit, "evidence": evidence}
    found["a word hidden while evidence is sought"] = during
    return {name: milliseconds / 1000 for name, milliseconds in found.items()}


if __name__ == "__main__":
    main()
