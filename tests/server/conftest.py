import shutil
from contextlib import ExitStack

import pytest

from bertsmith.explain.predictor import load
from bertsmith.text.wordpiece import WordPiece
from browsing import chromium, watched
from explain.folders import modern_folder, moved_folder
from server.asking import models_of
from server.live import serving
from training.runs import run, write_corpus


@pytest.fixture(scope="session")
def models(tiny_bert, tmp_path_factory):
    """A pretrained model, and one fine-tuned for each task, by name."""
    return models_of(tiny_bert, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def several(models, tiny_bert, tmp_path_factory):
    """A pretrained model, what it was moved to, a classifier on it; one of another shape, one of another vocabulary."""
    home = tmp_path_factory.mktemp("several")
    folders = {
        "moved": moved_folder(tiny_bert, home / "moved"),
        "modern": modern_folder(tiny_bert, home / "modern"),
        "foreign": foreign_folder(tiny_bert, home / "foreign"),
    }
    others = {name: load(folder) for name, folder in folders.items()}
    for name, predictor in others.items():
        predictor.name = name
    return {"bert": models["bert"], "classify": models["classify"], **others}


def foreign_folder(source, out):
    """The same model with another word in its vocabulary."""
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("tokenizer*"))
    pieces = WordPiece.load(source).tokens
    (out / "vocab.txt").write_text("\n".join([*pieces[:-1], "elsewhere"]) + "\n")
    return out


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """A run of four steps that kept those at 2 and 4."""
    folder = tmp_path_factory.mktemp("run")
    run(write_corpus(folder, documents=40), folder / "my-bert", steps=4, checkpoint_every_steps=2)
    return folder / "my-bert"


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def served(models):
    with serving(models) as (url, _):
        yield url


@pytest.fixture
def opened(browser, served):
    """Opens the page of a server, and keeps in `bodies` what is asked of /v1/explain.

    Nothing was complained of, and nothing asked of another host.
    """
    with ExitStack() as open_ones:

        def open_page(*, url=served, wait=".stage", place="", **how):
            page = open_ones.enter_context(watched(browser, lambda asked: asked.startswith(url), **how))
            page.bodies = []
            page.on("request", lambda sent: sent.url.endswith("explain") and page.bodies.append(sent.post_data_json))
            page.goto(f"{url}/{place}")
            page.wait_for_selector(wait)
            return page

        yield open_page
