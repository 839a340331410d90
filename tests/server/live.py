"""A server on loopback in a thread of this process, for browsers."""

import io
import socket
import threading
from contextlib import contextmanager

import uvicorn

from bertsmith.serve_config import ServeConfig
from bertsmith.server.app import build_app
from bertsmith.server.logs import Log
from explain.folders import words_for


@contextmanager
def serving(models, *, runs=None, **options):
    """Its address and what its routes share, until the block ends."""
    log = Log(io.StringIO())
    app, service = build_app(models, ServeConfig(**options), log, runs)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", service
        finally:
            server.should_exit = True
            thread.join()
            log.close()


def wait_for(page, words, place="#where", *, timeout_s=30):
    """Until the view Training says something, which is asked for at once instead of in two seconds."""
    page.wait_for_function(
        "([place, words]) => { document.dispatchEvent(new Event('visibilitychange'));"
        " return document.querySelector(place)?.textContent.includes(words); }",
        arg=[place, words],
        polling=100,
        timeout=1000 * timeout_s,
    )


def type_in(page, text, name="text"):
    """Type a text, and wait for the answer to it."""
    page.fill(f"#ask-{name}", text)
    wait_for_answer(page)


def wait_for_answer(page):
    page.wait_for_selector(".ask[aria-busy=false]")


def ask_of(page, name):
    """Choose a fine-tuned model, and ask it what its task is asked in tests."""
    page.select_option("#model", label=name)
    wait_for_answer(page)
    words = dict(words_for(name))
    if "choices" in words:
        words["choices"] = "\n".join(words["choices"])
    if name == "answer":
        page.fill("#ask-question", words.pop("question"))
    if name in ("classify", "regress") and "pair" not in words:
        page.fill("#ask-pair", "")
    for field, value in words.items():
        type_in(page, value, field)


def percent(share):
    """As the page writes probabilities."""
    return "100%" if share >= 0.9995 else f"{100 * share:.{1 if share >= 0.1 else 2}f}%"
