import itertools
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bertsmith
from bertsmith.data.windows import DOUBLE_TOKENS, sliding_windows, token_budget_batches
from bertsmith.errors import InputError, ModelFolderError, TokenizerError
from bertsmith.inference.predictor import Predictor, load
from bertsmith.model.folder import read_model_folder, write_model_folder
from bertsmith.text.wordpiece import WordPiece

SHORT = ["the pain", "", "A nurse saw the doctor in the ward.", "pain", "strong medicine against pains!"]


@pytest.fixture(scope="module")
def predictor(tiny_bert):
    return load(tiny_bert)


@pytest.fixture(scope="module")
def reference(tiny_bert):
    transformers = pytest.importorskip("transformers")
    return (
        transformers.AutoModel.from_pretrained(tiny_bert).eval(),
        transformers.AutoTokenizer.from_pretrained(tiny_bert),
    )


@pytest.mark.parametrize("batch_tokens", [1, 20, 4096])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embeddings_are_those_of_transformers(predictor, reference, pooling, batch_tokens):
    model, tokenizer = reference
    for text, ours in zip(SHORT, predictor.embed(SHORT, pooling=pooling, batch_tokens=batch_tokens), strict=True):
        with torch.inference_mode():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        wanted = hidden.mean(0) if pooling == "mean" else hidden[0]
        np.testing.assert_allclose(ours, wanted.numpy(), atol=1e-5)


def test_shapes_and_types(predictor):
    assert predictor.embed(SHORT).shape == (5, 16)
    assert predictor.embed(SHORT).dtype == np.float32
    assert predictor.embed([]).shape == (0, 16)


def test_a_long_text_is_the_weighted_mean_of_its_windows(predictor):
    words = [
        "pain",
        "ward",
        "nurse",
    ] * 15  # 45 tokens; windows of at most 30 that share 7 or more: 0-26, 19-45
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than the 30 tokens"):
        vectors = predictor.embed([" ".join(words), "pain"])
    halves = predictor.embed([" ".join(words[:26]), " ".join(words[19:])])
    np.testing.assert_allclose(vectors[0], halves.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(vectors[1], predictor.embed(["pain"])[0], atol=1e-5)


@pytest.mark.parametrize(
    ("texts", "message"),
    [("one text", r"write \[text\]"), (["a", 3], "text 1 of 2 is no str but int")],
)
def test_wrong_texts_are_explained(predictor, texts, message):
    with pytest.raises(InputError, match=message):
        predictor.embed(texts)


def test_one_mask_gives_a_list_and_several_give_lists(predictor):
    assert len(predictor.fill("The [MASK].", top_k=3)) == 3
    several = predictor.fill("The [MASK] [MASK].", top_k=3)
    assert [len(mask) for mask in several] == [3, 3]


def test_threads_get_the_same_answers(predictor):
    texts = [f"{word} [MASK] in the ward" for word in ("nurse", "doctor", "pain", "patient")] * 8
    alone = [predictor.fill(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(predictor.fill, texts)) == alone


def test_the_public_load_is_this_load(tiny_bert):
    assert isinstance(bertsmith.load(str(tiny_bert)), Predictor)


def test_a_folder_without_masked_lm_embeds_and_says_why_it_fills_nothing(tiny_bert, tmp_path):
    bert, _ = read_model_folder(tiny_bert, parts=())
    write_model_folder(bert, tmp_path)
    WordPiece.load(tiny_bert).save(tmp_path)
    predictor = load(tmp_path)
    assert predictor.embed(["pain"]).shape == (1, 16)
    with pytest.raises(ModelFolderError, match="no masked LM head"):
        predictor.fill("[MASK]")
    with pytest.raises(ModelFolderError, match="so it embeds texts only"):
        predictor.classify(["pain"])
    with pytest.raises(ModelFolderError, match="so it fills masks and embeds texts only"):
        load(tiny_bert).classify(["pain"])


def test_a_tokenizer_of_another_model_is_refused(tiny_bert, tmp_path):
    folder = tmp_path / "mixed"
    shutil.copytree(tiny_bert, folder)
    tokens = [*WordPiece.load(tiny_bert).tokens, "other"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    with pytest.raises(TokenizerError, match=f"{len(tokens)} WordPieces and the model only {len(tokens) - 1}"):
        load(folder)


@given(st.lists(st.integers(1, 60)), st.integers(1, 200))
def test_batches_hold_each_text_once_and_keep_the_budget(lengths, budget):
    batches = token_budget_batches(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget


@given(st.lists(st.integers(1, 60)), st.integers(1, 200), st.integers(2, 4))
def test_batches_side_by_side_are_as_many_for_each_core_and_about_as_large(lengths, budget, cores):
    one = token_budget_batches(lengths, budget)
    batches = token_budget_batches(lengths, budget, at_once=cores)
    assert [index for batch in batches for index in batch] == [index for batch in one for index in batch]
    if len(one) > 1:
        count = -(-len(one) // cores) * cores
        assert len(batches) <= count
        work = [length * (length + DOUBLE_TOKENS) for length in lengths]
        within = all(sum(lengths[i] for i in batch) <= budget for batch in batches)
        for batch in batches:
            assert sum(work[i] for i in batch) <= sum(work) / count + max(work) or not within
            assert sum(lengths[i] for i in batch) <= sum(lengths) / count + max(lengths) or within


def test_short_texts_beside_long_ones_do_not_exceed_the_budget():
    lengths = [512] * 40 + [16] * 1280
    batches = token_budget_batches(lengths, 2048, at_once=2)
    assert max(sum(lengths[i] for i in batch) for batch in batches) <= 2048


def test_one_batch_is_divided_among_cores_where_each_has_enough_of_it():
    assert token_budget_batches([64] * 8, 2048, at_once=2) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert token_budget_batches([63] * 8, 2048, at_once=2) == [list(range(8))]
    assert token_budget_batches([2048], 2048, at_once=2) == [[0]]
    assert token_budget_batches([], 2048, at_once=2) == []


@given(st.integers(0, 300), st.integers(2, 40), st.integers(0, 20))
def test_windows_cover_every_token_and_overlap(tokens, room, overlap):
    overlap = min(overlap, room - 1)
    windows = sliding_windows(tokens, room, overlap)
    assert {place for window in windows for place in window} == set(range(tokens))
    assert len({len(window) for window in windows}) == 1
    assert len(windows[0]) <= room
    for left, right in itertools.pairwise(windows):
        assert left.stop - right.start >= overlap
