import numpy as np
import pytest
import torch

from bertsmith.errors import InputError
from bertsmith.model.folder import read_model_folder
from bertsmith.tasks.fill_mask import STRETCH, Fill, _best, fill_masks
from bertsmith.text.wordpiece import WordPiece


@pytest.fixture(scope="module")
def bert(tiny_bert):
    return read_model_folder(tiny_bert)[0]


@pytest.fixture(scope="module")
def tokenizer(tiny_bert):
    return WordPiece.load(tiny_bert)


@pytest.fixture(scope="module")
def pipeline(tiny_bert):
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    return transformers.pipeline("fill-mask", model=str(tiny_bert), device="cpu")


@pytest.mark.parametrize(
    "text",
    [
        "The patient was given [MASK].",
        "[MASK]",
        "A nurse saw the[MASK]in the Wärd, twice",
        "[MASK] patient was [MASK] a strong [MASK].",
    ],
)
def test_answers_are_those_of_the_fill_mask_pipeline(bert, tokenizer, pipeline, text):
    theirs = pipeline(text, top_k=5)
    theirs = theirs if isinstance(theirs[0], list) else [theirs]
    ours = fill_masks(bert, tokenizer, text)
    assert [[f.token_id for f in mask] for mask in ours] == [[t["token"] for t in mask] for mask in theirs]
    assert [[f.token for f in mask] for mask in ours] == [[t["token_str"] for t in mask] for mask in theirs]
    for our_mask, their_mask in zip(ours, theirs, strict=True):
        scores = [t["score"] for t in their_mask]
        assert [f.probability for f in our_mask] == pytest.approx(scores, abs=1e-5)


def test_candidates_have_the_scores_of_the_pipelines_targets(bert, tokenizer, pipeline):
    words = ["nurse", "patient", "doctor"]
    theirs = pipeline("The [MASK] was given pain.", targets=words)
    (ours,) = fill_masks(bert, tokenizer, "The [MASK] was given pain.", candidates=["Nurse", *words])
    assert [f.token for f in ours] == [t["token_str"] for t in theirs]
    assert [f.probability for f in ours] == pytest.approx([t["score"] for t in theirs], abs=1e-5)


def test_a_pair_is_read_as_two_segments(bert, tokenizer, tiny_bert):
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoModelForMaskedLM.from_pretrained(tiny_bert)
    encoded = transformers.AutoTokenizer.from_pretrained(tiny_bert)(
        "The doctor saw pain.", "A [MASK] in the ward.", return_tensors="pt"
    )
    with torch.inference_mode():
        logits = reference(**encoded).logits[0]
    wanted = logits[encoded["input_ids"][0] == tokenizer.mask_id][0].softmax(-1).topk(5)
    (ours,) = fill_masks(bert, tokenizer, "The doctor saw pain.", pair="A [MASK] in the ward.")
    assert [f.token_id for f in ours] == wanted.indices.tolist()
    assert [f.probability for f in ours] == pytest.approx(wanted.values.tolist(), abs=1e-5)
    assert ours[0].text == f"A {ours[0].token} in the ward."


def test_the_text_is_filled_as_it_was_written(bert, tokenizer):
    first, second = fill_masks(bert, tokenizer, "The [MASK] SAW a [MASK]!", candidates=["nurse", "##s"])
    assert {f.text for f in first} == {"The nurse SAW a [MASK]!", "Thes SAW a [MASK]!"}
    assert {f.text for f in second} == {"The [MASK] SAW a nurse!", "The [MASK] SAW as!"}


def test_only_the_mask_is_special_in_a_text(bert, tokenizer):
    """ "[SEP]" in a text is what it is spelled as, and so the same as with its letters set apart."""
    (special,) = fill_masks(bert, tokenizer, "[SEP] [MASK] [CLS]")
    (spelled,) = fill_masks(bert, tokenizer, "[ SEP ] [MASK] [ CLS ]")
    assert [(f.token_id, f.probability) for f in special] == [(f.token_id, f.probability) for f in spelled]


def test_a_long_text_is_read_in_a_window_around_each_mask(bert, tokenizer):
    left, right = ["pain"] * 100, ["ward"] * 100
    text = " ".join([*left, "[MASK]", *right])
    with pytest.warns(UserWarning, match=r"201 tokens and the model reads 30"):
        (ours,) = fill_masks(bert, tokenizer, text)
    (window,) = fill_masks(bert, tokenizer, " ".join([*left[:15], "[MASK]", *right[:14]]))
    assert [(f.token_id, f.probability) for f in ours] == [(f.token_id, f.probability) for f in window]


@pytest.mark.parametrize("place", [0, 100])
def test_a_window_at_an_end_of_the_text_keeps_the_whole_length(bert, tokenizer, place):
    words = ["pain"] * 100
    words.insert(place, "[MASK]")
    near = slice(0, 30) if place == 0 else slice(-30, None)
    with pytest.warns(UserWarning, match="around each mask"):
        (ours,) = fill_masks(bert, tokenizer, " ".join(words))
    (window,) = fill_masks(bert, tokenizer, " ".join(words[near]))
    assert [f.probability for f in ours] == [f.probability for f in window]


def test_top_k_is_held_to_what_there_is(bert, tokenizer):
    (everything,) = fill_masks(bert, tokenizer, "[MASK]", top_k=10_000)
    assert len(everything) == tokenizer.vocab_size
    assert sum(f.probability for f in everything) == pytest.approx(1, abs=1e-4)
    (one,) = fill_masks(bert, tokenizer, "[MASK]", candidates=["nurse", "pain"], top_k=1)
    assert len(one) == 1
    assert isinstance(one[0], Fill)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "no mask here"}, r"no \[MASK\] in .* write \[MASK\]"),
        ({"text": "[MASK]", "top_k": 0}, "top_k is 0"),
        (
            {"text": "[MASK]", "candidates": ["nursedoctor"]},
            r'"nursedoctor" is not one WordPiece .* nurse ##d',
        ),
        ({"text": "[MASK]", "candidates": ["猫"]}, r"\[UNK\]"),
        ({"text": "[MASK]", "candidates": []}, "list of words"),
        ({"text": "[MASK]", "candidates": "nurse"}, "list of words"),
        ({"text": 3}, "is a str, not int"),
    ],
)
def test_wrong_words_are_explained(bert, tokenizer, arguments, message):
    with pytest.raises(InputError, match=message):
        fill_masks(bert, tokenizer, **arguments)


@pytest.mark.parametrize("vocab_size", [5, STRETCH, 30 * STRETCH + 17, 40 * STRETCH])
@pytest.mark.parametrize("count", [1, 5, 29, 31, 5000])
@pytest.mark.parametrize("different", [3, 10**6])
def test_the_best_words_are_those_of_sorting_all(vocab_size, count, different):
    """Of logits with ties and without, wider than the vocabulary, of which the last places are no words."""
    rng = np.random.default_rng(0)
    logits = (rng.integers(0, different, (3, 40 * STRETCH + 5)) / different * 20).astype(np.float32)
    for row, best in zip(logits, _best(logits, count, vocab_size, None), strict=True):
        ids = [token_id for token_id, _ in best]
        rightly = np.sort(row[:vocab_size])[::-1][:count]
        assert row[ids].tolist() == rightly.tolist()
        assert len({*ids}) == len(ids)
        shares = torch.softmax(torch.tensor(row, dtype=torch.float64), 0)[ids]
        assert [share for _, share in best] == pytest.approx(shares.tolist(), rel=1e-5)


def test_the_best_of_the_allowed_words_keep_their_order_where_they_are_alike() -> None:
    logits = np.array([[0.0, 2.0, 1.0, 2.0, 5.0, 1.0]], np.float32)
    (best,) = _best(logits, 4, 6, [3, 0, 1, 5, 2])
    assert {token_id for token_id, _ in best[:2]} == {1, 3}
    assert {token_id for token_id, _ in best[2:]} == {2, 5}
    (every,) = _best(logits, 5, 6, [3, 0, 1, 5, 2])
    assert [token_id for token_id, _ in every] == [3, 1, 5, 2, 0]
