"""What the page is fed with, and the page as one file; that it is drawn rightly is seen in test_browser.py."""

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import bertsmith
from bertsmith.cli.main import main
from bertsmith.config import ModelConfig
from bertsmith.explain.attention import rollout
from bertsmith.explain.packing import Packer, unpack
from bertsmith.explain.page_data import DETAILS, ROOM_BYTES
from bertsmith.explain.self_contained import as_script, joined_modules, modules_from, read_asset
from bertsmith.model.bert import Bert
from bertsmith.model.folder import write_model_folder
from bertsmith.text.wordpiece import WordPiece

TEXT = "The [MASK] saw a medicine in the wards."
PAGE_BYTES = 3_000_000


@pytest.fixture(scope="module")
def explained(tiny_bert):
    return bertsmith.load(tiny_bert).explain(TEXT, "a nurse")


def test_arrays_come_back_from_packing():
    packer, rng = Packer(), np.random.default_rng(0)
    arrays = {
        "floats": rng.normal(size=(2, 3, 5)).astype(np.float32),
        "bytes": rng.integers(0, 255, (3, 7)).astype(np.uint8),
        "ids": rng.integers(0, 9, 4),
        "scores": np.array([-np.inf, 0.5], np.float32),
        "nothing": np.empty((0, 4), np.float32),
    }
    for name, values in arrays.items():
        packer.add(name, values)
    packed = json.loads(json.dumps(packer.packed()))
    assert all(place["offset"] % 4 == 0 for place in packed["table"].values())
    for name, values in unpack(packed).items():
        np.testing.assert_array_equal(values, arrays[name])


def test_the_whole_recording_is_in_the_whole_json(explained):
    data = json.loads(json.dumps(explained.as_json(whole=True), allow_nan=False))
    arrays, recording = unpack(data["arrays"]), explained.recording
    for name, step in recording.embeddings._asdict().items():
        np.testing.assert_array_equal(arrays[f"embeddings.{name}"], step)
    for name in recording.layers[0]._fields:
        np.testing.assert_array_equal(arrays[f"layers.{name}"], [getattr(layer, name) for layer in recording.layers])
    for name, values in vars(recording.masked_lm).items():
        np.testing.assert_array_equal(arrays[f"masked_lm.{name}"], values)
    np.testing.assert_array_equal(arrays["output"], recording.output)
    np.testing.assert_array_equal(arrays["rollout"], rollout(recording.attention)[-1])
    assert data["worked"] == list(range(len(recording.tokens)))
    np.testing.assert_allclose(data["next_sentence"]["logits"], recording.next_sentence.logits, rtol=1e-6)
    np.testing.assert_allclose(data["evidence"][0]["integrated"], explained.evidence[0].integrated, rtol=1e-6)


def test_what_the_page_has_is_exact_where_it_is_shown(explained):
    data = explained.as_json()
    arrays, recording = unpack(data["arrays"]), explained.recording
    np.testing.assert_array_equal(arrays["layers.weights"], recording.attention)
    np.testing.assert_array_equal(arrays["layers.query"], [layer.query[..., :16] for layer in recording.layers])
    shades = arrays["layers.shades"].astype(float) / 255
    np.testing.assert_allclose(shades**2, recording.attention, atol=0.005)


@pytest.mark.parametrize("tokens", [16, 34, 75, 128])
def test_a_page_of_a_base_model_is_under_three_megabytes(tmp_path, tiny_bert, tokens):
    tokenizer = WordPiece.load(tiny_bert)
    tokenizer.save(tmp_path)
    # The width and the vocabulary of a base model change little on the page; one so thin is quick.
    shape = {"num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 192, "hidden_size": 12 * 16}
    config = ModelConfig(vocab_size=tokenizer.vocab_size, initializer_range=0.5, max_position_embeddings=128, **shape)
    write_model_folder(Bert(config, generator=torch.Generator().manual_seed(1)), tmp_path)
    words = ["nurse", "ward", "pain", "doctor", "medicine", "saw", "the", "a"] * 16
    text = " ".join(["[MASK]", *words[: tokens - 3]])
    page = bertsmith.load(tmp_path).explain(text, evidence=False)
    assert len(page.recording.tokens) == tokens
    assert len(page.page()) < PAGE_BYTES


def test_details_are_ordered_by_what_they_take():
    amounts = [(detail.vector, detail.head, detail.rows or 512, detail.shades) for detail in DETAILS]
    assert amounts == sorted(amounts, reverse=True)
    assert 4 * ROOM_BYTES / 3 < PAGE_BYTES, "in base64"


def test_of_a_long_sentence_the_words_around_the_mask_are_hidden(tiny_bert, monkeypatch):
    monkeypatch.setattr("bertsmith.explain.hidden_words.MOST_TOKENS", 40)
    explained = bertsmith.load(tiny_bert).explain("a nurse saw the [MASK] in a ward", evidence=False)
    hidden = [explained.recording.tokens[word.places[0]].text for word in explained.hidden_words]
    assert hidden == ["saw", "the", "in", "a"]


def test_the_page_asks_for_nothing_and_lets_nothing_in(explained):
    page = explained.page()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", 'script type="module"'):
        content = re.search(rf"<{tag}>(.*?)</{tag.split()[0]}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert page.count("<script") == 2
    assert not re.search(r"(?:src|href)=\"(?!data:,)", page)
    without_names = page.replace("http://www.w3.org/2000/svg", "")
    assert "http" not in re.sub(r'content="[^"]*"|http-equiv', "", without_names)


def test_words_of_the_sentence_cannot_end_the_script(tiny_bert):
    evil = "</script><script>alert(1)</script><!-- nurse & [MASK] \u2028"
    explained = bertsmith.load(tiny_bert).explain(evil, evidence=False)
    page = explained.page()
    assert page.count("<script") == 2
    assert "alert(1)</script>" not in page
    data = re.search(r'id="explanation">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(data)["texts"] == [evil]
    assert "&lt;/script&gt;" in re.search("<title>(.*)</title>", page)[1]


def test_no_number_that_json_does_not_have():
    with pytest.raises(ValueError, match="JSON"):
        as_script({"a": float("nan")})


def test_modules_say_what_they_take_and_none_is_left_out():
    folder = Path(bertsmith.__file__).parent / "explain/page"
    joined = joined_modules()
    assert "import " not in re.sub(r"//.*|/\*.*?\*/", "", joined)
    assert not re.search(r"^export", joined, re.MULTILINE)
    reached = {*modules_from("file.js"), *modules_from("live.js")}
    names = re.findall(r"^(?:async )?(?:function|const|class|let) (\w+)", joined, re.MULTILINE)
    assert len(names) == len(set(names)), "one file has one scope"
    for module in folder.glob("*.js"):
        assert module.name in reached, f"{module.name} is reached neither from file.js nor from live.js"
        assert "innerHTML" not in read_asset(module.name)
        for taken, source in re.findall(r'import \{ ([^}]*) \} from "\./([a-z_]+\.js)"', read_asset(module.name)):
            for name in taken.split(", "):
                assert re.search(rf"^export (?:async )?(?:function|const|class) {name}\b", read_asset(source), re.M), (
                    name
                )
                assert len(re.findall(rf"\b{name}\b", read_asset(module.name))) > 1, (
                    f"{module.name} has no use for {name}"
                )


# The command.


def test_the_command_writes_the_page_and_says_what_was_found(tiny_bert, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["explain", str(tiny_bert), TEXT, "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    explained = bertsmith.load(tiny_bert).explain(TEXT)
    assert out.read_text(encoding="utf-8") == explained.page()
    assert said["tokens"] == [token.text for token in explained.recording.tokens]
    assert [guess["token"] for guess in said["masks"][0]["guesses"]] == [token for token, _ in explained.guesses(2)]
    assert sum(said["evidence"][0]["shares"]) == pytest.approx(explained.evidence[0].integrated.sum(), abs=1e-4)


def test_the_command_writes_every_number_as_json(tiny_bert, tmp_path):
    out = tmp_path / "numbers.json"
    assert main(["explain", str(tiny_bert), TEXT, "--out", str(out), "--no-evidence"]) == 0
    data = json.loads(out.read_text(encoding="utf-8"))
    recording = bertsmith.load(tiny_bert).explain(TEXT, evidence=False).recording
    np.testing.assert_array_equal(unpack(data["arrays"])["layers.widened"][1], recording.layers[1].widened)


def test_another_kind_of_file_is_refused_before_the_model_is_read(tmp_path, capsys):
    assert main(["explain", str(tmp_path), TEXT, "--out", str(tmp_path / "page.pdf")]) == 2
    assert "a page ends in .html, the numbers in .json" in capsys.readouterr().err
