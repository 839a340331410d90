"""A real pretraining beside a real server, watched in a real browser: stopped, gone on with, and seen to its end."""

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import bertsmith
from browsing import chromium, needs_chromium, watched
from data.corpora import raw_text
from server.live import wait_for
from server.test_process import Process

pytestmark = needs_chromium

STEPS, EVERY = 120, 40
WORDS = (
    f"--size tiny --steps {STEPS} --batch-size 4 --max-length-tokens 32 --evaluation-rows 8 --precision float32 "
    f"--evaluate-every-steps {EVERY} --checkpoint-every-steps 30 --vocab-size 200 --held-out-share 0.1 --workers 1"
).split()


@contextmanager
def training(corpus, run):
    """The process of `bertsmith pretrain`, ended at the end of the block."""
    command = [sys.executable, "-m", "bertsmith", "pretrain", str(corpus), "--out", str(run), *WORDS]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def held_after_an_evaluation(process, run):
    """Let a run get as far as its first evaluation, and no further, while the block begins; `result` waits for that."""
    journal = run / "training/metrics.jsonl"

    def hold():
        while process.poll() is None:
            if journal.exists() and '"evaluation"' in journal.read_text():
                process.send_signal(signal.SIGSTOP)
                return
            time.sleep(0.002)
        raise AssertionError(process.communicate()[1])

    with ThreadPoolExecutor(1) as aside:
        yield aside.submit(hold)


@contextmanager
def watching(run):
    """The view Training of a server of the run, and the server."""
    while not (run / "training").is_dir():
        time.sleep(0.01)
    server = Process(run, "--precision", "float32")
    try:
        with chromium() as browser, watched(browser, lambda asked: asked.startswith(server.url)) as page:
            page.goto(f"{server.url}/#training")
            yield page, server
    finally:
        server.process.kill()
        server.process.communicate()


def test_a_run_is_watched_to_its_end(tmp_path):
    corpus, run = tmp_path / "text.txt", tmp_path / "my-run"
    corpus.write_text(raw_text(0, documents=150))
    with training(corpus, run) as begun, held_after_an_evaluation(begun, run) as held, watching(run) as (page, server):
        held.result()
        wait_for(page, f"1 of 1, after step {EVERY}")
        assert all(words in page.inner_text(".head") for words in (f"of {STEPS} steps", "under way"))
        assert page.get_attribute("#loss path.curve", "d").count("L") >= EVERY - 1
        first = page.inner_text(".samples mark >> nth=0")

        begun.send_signal(signal.SIGINT)
        begun.send_signal(signal.SIGCONT)
        assert begun.wait(timeout=300) == 1
        step = json.loads((run / "training/metrics.jsonl").read_text().splitlines()[-1])["step"]
        assert step < STEPS, "it was held early enough"
        wait_for(page, f"step {step} ", ".head")
        wait_for(page, "stopped", ".head")

        with training(corpus, run) as going_on:
            wait_for(page, "finished", ".head", timeout_s=300)
            assert going_on.wait(timeout=300) == 0
        wait_for(page, f"{STEPS // EVERY} of {STEPS // EVERY}, after step {STEPS}")
        assert f"at {STEPS}" in page.get_attribute("#loss svg.curves", "aria-label")
        assert page.inner_text(".samples mark >> nth=0") != first, "guessed anew"
        page.fill("#evaluation", "0")
        assert page.inner_text(".samples mark >> nth=0") == first

        page.click("#reload")
        page.wait_for_function("() => !document.querySelector('#reload')")
        text = "[MASK] and pain."
        status, answer = server.post("/v1/fill", {"text": text, "model": "my-run"})
        assert status == 200
        (filled,), wanted = answer["answers"][0]["masks"], bertsmith.load(run).fill(text)
        assert [fill["token"] for fill in filled] == [fill.token for fill in wanted]
        shares = [fill["probability"] for fill in filled]
        assert shares == pytest.approx([fill.probability for fill in wanted], abs=1e-5)
