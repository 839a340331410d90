"""What notebooks and papers show of an explanation."""

import dataclasses
import sys
import tempfile
import webbrowser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import pytest

import bertsmith
from bertsmith.errors import InputError

EVIL = "<script>alert(1)</script> $x$ [MASK] nurse"


@pytest.fixture(scope="module")
def explained(tiny_bert):
    return bertsmith.load(tiny_bert).explain(EVIL)


def test_it_draws_itself_with_every_text_as_text(explained):
    evil = dataclasses.replace(explained, vocabulary=[f"<script>{token}" for token in explained.vocabulary])
    assert "<script" not in evil._repr_html_()
    assert "&lt;script&gt;" in evil._repr_html_()
    drawn = explained._repr_html_()
    for token, share in explained.guesses(explained.recording.masked[0])[:5]:
        assert token in drawn
        assert f"{share:.1%}" in drawn


def test_show_opens_the_page_in_a_browser(explained, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(webbrowser, "open", opened.append)
    explained.show()
    (address,) = opened
    assert Path(urlparse(address).path).read_text(encoding="utf-8") == explained.page()


def test_show_stays_below_the_cell_of_a_notebook(explained, monkeypatch):
    shown = []
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=lambda data, raw: shown.append(data)))
    monkeypatch.setattr(webbrowser, "open", lambda address: pytest.fail("a notebook has no need of a browser"))
    explained.show()
    (frame,) = [data["text/html"] for data in shown]
    assert frame.startswith('<iframe sandbox="allow-scripts"')
    assert "<script" not in frame, "the page stands in the frame's attribute, escaped"


@pytest.mark.parametrize(
    ("which", "axes"), [({"layer": 1, "head": 0}, 2), ({"layer": 1}, 2), ({}, 4)], ids=["head", "layer", "all"]
)
def test_attention_is_plotted(explained, tmp_path, which, axes):
    figure = explained.plot_attention(**which, path=tmp_path / "a.png")
    assert len(figure.axes) == axes
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    explained.plot_attention(**which, path=tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    shown = figure.axes[0].images[0].get_array()
    layer = which.get("layer", 0)
    assert (shown == explained.recording.attention[layer, 0]).all()


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"layer": 2}, "layer 2: the model has 2, from 0 to 1"),
        ({"head": 0}, "of which layer"),
        ({"path": "a.jpeg"}, "written as .png, .svg, .pdf"),
    ],
)
def test_what_cannot_be_plotted_is_said(explained, which, message):
    with pytest.raises(InputError, match=message):
        explained.plot_attention(**which)
