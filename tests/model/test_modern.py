"""ModernBERT: the numbers, gradients and folders of `transformers`; who sees whom; how it begins; what is refused."""

import json

import pytest
import torch
from bert_twins import generator, rows
from modern_twins import masks, modern_twin, packed_rows, tiny_modern
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForMultipleChoice,
    ModernBertForQuestionAnswering,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)

from bertsmith.config import HeadConfig
from bertsmith.errors import ModelFolderError
from bertsmith.model.bert import Bert
from bertsmith.model.config_json import config_to_hf
from bertsmith.model.folder import read_for_task, read_model_folder, write_model_folder
from bertsmith.model.formats import hf_names

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
LENGTHS = [16, 1, 9, 13, 5]  # most of them beyond what a local layer sees
LABELS = ("bad", "good", "so so")
HEADS = {
    "classify": (HeadConfig(task="classify", labels=LABELS), ModernBertForSequenceClassification),
    "multi": (HeadConfig(task="classify", labels=LABELS, multi_label=True), ModernBertForSequenceClassification),
    "regress": (HeadConfig(task="regress"), ModernBertForSequenceClassification),
    "tag": (HeadConfig(task="tag", labels=("O", "B-X", "I-X")), ModernBertForTokenClassification),
    "answer": (HeadConfig(task="answer", no_answer_threshold=-1.5), ModernBertForQuestionAnswering),
    "choose": (HeadConfig(task="choose", max_length_tokens=16), ModernBertForMultipleChoice),
}
EACH_HEAD = pytest.mark.parametrize("name", HEADS)


def compare_gradients(bert: Bert, twin) -> None:
    theirs = dict(twin.named_parameters())
    compared = set()
    for name, weight in bert.named_parameters():
        (hf,) = hf_names(name, "modernbert")
        torch.testing.assert_close(weight.grad, theirs[hf].grad, **CLOSE, msg=lambda text, name=name: f"{name}: {text}")
        compared.add(hf)
    assert compared == set(theirs)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_packed_rows_have_the_hidden_states_logits_and_gradients_of_transformers(activation, mode):
    bert, batch = tiny_modern(hidden_act=activation), packed_rows()
    twin = modern_twin(bert, ModernBertForMaskedLM)
    bert.train(mode == "train")
    twin.train(mode == "train")
    seen = masks(batch["sequence_ids"])
    theirs = twin(
        batch["input_ids"], attention_mask=seen, position_ids=batch["position_ids"], output_hidden_states=True
    )
    ours = bert.encoder.hidden_states(**batch)
    real = batch["sequence_ids"].bool()
    assert len(ours) == len(theirs.hidden_states) == 5
    for state, reference in zip(ours, theirs.hidden_states, strict=True):
        torch.testing.assert_close(state[real], reference[real], **CLOSE)
    hidden = bert(**batch)
    torch.testing.assert_close(hidden, ours[-1])
    torch.testing.assert_close(bert.masked_lm_logits(hidden[real]), theirs.logits[real], **CLOSE)

    masked = real & (torch.rand(3, 16, generator=generator(3)) < 0.4)
    words = torch.randint(0, 61, (int(masked.sum()),), generator=generator(4))
    F.cross_entropy(theirs.logits[masked], words).backward()
    F.cross_entropy(bert.masked_lm_logits(hidden[masked]), words).backward()
    compare_gradients(bert, twin)


@pytest.mark.parametrize("gradients", [True, False], ids=["plain", "fused"])
def test_padded_rows_have_the_numbers_of_transformers_with_its_own_masks(gradients):
    bert, batch = tiny_modern(), rows(LENGTHS, 16)
    real = batch["sequence_ids"].bool()
    with torch.set_grad_enabled(gradients):
        twin = modern_twin(bert, ModernBertForMaskedLM)
        theirs = twin(batch["input_ids"], attention_mask=batch["sequence_ids"])
        torch.testing.assert_close(bert.masked_lm_logits(bert(**batch)[real]), theirs.logits[real], **CLOSE)
        alone = rows([16, 16], 16)
        theirs = twin.model(alone["input_ids"]).last_hidden_state
        torch.testing.assert_close(bert(**{**alone, "sequence_ids": None}), theirs, **CLOSE)


def logits_of(bert: Bert, batch) -> torch.Tensor:
    hidden = bert.head_input(**batch)
    return bert.task_logits(hidden if bert.head.task in ("tag", "answer") else hidden[:, 0])


def logits_of_twin(twin, batch) -> torch.Tensor:
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["sequence_ids"]}
    if isinstance(twin, ModernBertForMultipleChoice):  # (1, choices, T) -> (1, choices)
        return twin(**{name: value[None] for name, value in inputs.items()}).logits[0][:, None]
    said = twin(**inputs)
    if isinstance(twin, ModernBertForQuestionAnswering):
        return torch.stack([said.start_logits, said.end_logits], dim=-1)
    return said.logits


def seen_of(bert: Bert, batch):
    return batch["sequence_ids"].bool() if bert.head.task in ("tag", "answer") else slice(None)


@EACH_HEAD
def test_the_logits_and_gradients_of_each_task_are_those_of_transformers(name):
    head, theirs = HEADS[name]
    bert, batch = tiny_modern(head=head), rows(LENGTHS, 16)
    twin = modern_twin(bert, theirs)
    seen = seen_of(bert, batch)
    ours, reference = logits_of(bert, batch)[seen], logits_of_twin(twin, batch)[seen]
    torch.testing.assert_close(ours, reference, **CLOSE)
    weights = torch.randn(ours.shape, generator=generator(5))
    (ours * weights).mean().backward()
    (reference * weights).mean().backward()
    compare_gradients(bert, twin)


@EACH_HEAD
def test_a_fine_tuned_folder_of_ours_opens_in_transformers_and_here(name, tmp_path):
    head, theirs = HEADS[name]
    bert, batch = tiny_modern(head=head), rows(LENGTHS, 16)
    write_model_folder(bert, tmp_path)
    twin, loading = theirs.from_pretrained(tmp_path, output_loading_info=True)
    assert {kind: found for kind, found in loading.items() if found} == {}
    again, report = read_model_folder(tmp_path)
    assert (again.head, again.config) == (bert.head, bert.config)
    assert (report.absent, report.left, report.task_heads) == (("masked_lm",), (), ())
    seen = seen_of(bert, batch)
    torch.testing.assert_close(logits_of(again, batch), logits_of(bert, batch), atol=0, rtol=0)
    torch.testing.assert_close(logits_of_twin(twin.eval(), batch)[seen], logits_of(bert, batch)[seen], **CLOSE)
    if head.labels:
        assert tuple(AutoConfig.from_pretrained(tmp_path).id2label.values()) == head.labels


def test_a_pretrained_folder_of_ours_opens_in_transformers_and_here(tmp_path):
    bert, batch = tiny_modern(), rows(LENGTHS, 16)
    write_model_folder(bert, tmp_path)
    twin, loading = ModernBertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert {kind: found for kind, found in loading.items() if found} == {}
    real = batch["sequence_ids"].bool()
    with torch.no_grad():
        theirs = twin.eval()(batch["input_ids"], attention_mask=batch["sequence_ids"]).logits
        torch.testing.assert_close(bert.masked_lm_logits(bert(**batch)[real]), theirs[real], **CLOSE)
    again, report = read_model_folder(tmp_path)
    assert (again.config, again.parts) == (bert.config, ("masked_lm",))
    assert (report.absent, report.left, report.ignored) == ((), (), ())
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), bert.parameters(), strict=True))


THEIRS = {"vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 4, "pad_token_id": 0}
SMALL = {**THEIRS, "intermediate_size": 40, "max_position_embeddings": 20, "local_attention": 6}


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (ModernBertForMaskedLM, ("masked_lm",)),
        (ModernBertModel, ()),
        (ModernBertForTokenClassification, ("pooler", "classifier")),
    ],
)
def test_a_folder_of_transformers_opens_here_with_the_same_numbers(tmp_path, kind, parts):
    twin = kind(ModernBertConfig(**SMALL, global_attn_every_n_layers=2, global_rope_theta=700.0)).eval()
    twin.save_pretrained(tmp_path)
    bert, report = read_model_folder(tmp_path)
    assert (bert.parts, report.left, report.task_heads) == (parts, (), ())
    assert (bert.config.global_attn_every_n_layers, bert.config.global_rope_theta) == (2, 700.0)
    batch = rows(LENGTHS, 16)
    real = batch["sequence_ids"].bool()
    body = twin if kind is ModernBertModel else twin.model
    with torch.no_grad():
        theirs = body(batch["input_ids"], attention_mask=batch["sequence_ids"]).last_hidden_state
        torch.testing.assert_close(bert(**batch)[real], theirs[real], **CLOSE)


def change_config(folder, remove=(), **changes):
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if key not in remove}))


def test_the_keys_of_the_first_versions_are_understood(tmp_path):
    bert = tiny_modern()
    write_model_folder(bert, tmp_path)
    change_config(
        tmp_path,
        remove=("layer_types", "rope_parameters", "classifier_activation"),
        classifier_pooling="mean",  # of a head that is not there
        reference_compile=False,
        position_embedding_type="absolute",
    )
    assert read_model_folder(tmp_path)[0].config == bert.config


def test_the_folder_says_the_same_under_old_keys_and_new(tmp_path):
    values = config_to_hf(tiny_modern())
    assert (values["model_type"], values["architectures"]) == ("modernbert", ["ModernBertForMaskedLM"])
    assert values["layer_types"] == ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    assert values["rope_parameters"]["sliding_attention"] == {"rope_type": "default", "rope_theta": 30.0}
    assert (values["global_attn_every_n_layers"], values["local_rope_theta"]) == (3, 30.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_bias": True}, "norm_bias is True, only False can be read"),
        ({"attention_bias": True, "mlp_bias": True}, "attention_bias is True.*mlp_bias is True"),
        ({"decoder_bias": False}, "decoder_bias is False, only True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"hidden_activation": "swish", "classifier_activation": "swish"}, "hidden_act.*'swish'"),
        ({"classifier_activation": "relu"}, "classifier_activation is 'relu' and hidden_activation 'gelu'"),
        ({"layer_types": ["sliding_attention"] * 4}, "layer_types is .*'sliding_attention'.*each n-th, from the first"),
        ({"layer_types": ["full_attention"] * 3}, "an entry a layer"),
        ({"layer_types": 7}, "layer_types is 7"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "yarn", "rope_theta": 9.0}}},
            "rope_type 'default'.*yarn",
        ),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 9.0}}, "only rope_type 'default'.*9.0"),
        ({"rope_scaling": {"type": "linear"}}, "not .*linear"),
        ({"num_attention_heads": 8}, "heads of 3 values cannot be rotated"),
        ({"global_rope_theta": "far", "rope_parameters": None}, 'option "global_rope_theta".*far'),
    ],
)
def test_a_config_of_something_else_is_refused_by_key_and_value(tmp_path, changes, message):
    write_model_folder(tiny_modern(), tmp_path)
    change_config(tmp_path, **changes)
    with pytest.raises(ModelFolderError, match=message) as caught:
        read_model_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_head_that_reads_a_mean_is_refused(tmp_path):
    write_model_folder(tiny_modern(head=HEADS["classify"][0]), tmp_path)
    change_config(tmp_path, classifier_pooling="mean")
    with pytest.raises(ModelFolderError, match=r"classifier_pooling is 'mean': only a head that reads \[CLS\]"):
        read_model_folder(tmp_path)


def test_every_tensor_missing_left_over_or_misshapen_is_named(tmp_path):
    write_model_folder(tiny_modern(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.attn_norm.weight"], tensors["head.norm.weight"]
    tensors["model.layers.0.attn_norm.weight"] = torch.zeros(24)  # the first layer has none
    tensors["model.layers.2.attn.Wo.bias"] = torch.zeros(24)
    tensors["model.layers.3.mlp.Wi.weight"] = torch.zeros(40, 24)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelFolderError) as caught:
        read_model_folder(tmp_path)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}: the weights do not fit the config:",
        "  left over: model.layers.0.attn_norm.weight (24)",
        "  left over: model.layers.2.attn.Wo.bias (24)",
        "  missing: head.norm.weight (24)",
        "  missing: model.layers.1.attn_norm.weight (24)",
        "  shape: model.layers.3.mlp.Wi.weight is (40, 24), the config says (80, 24)",
    ]


def test_a_decoder_of_its_own_is_refused_and_a_repeated_one_is_not(tmp_path):
    write_model_folder(tiny_modern(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    words = tensors["model.embeddings.tok_embeddings.weight"]
    save_file({**tensors, "decoder.weight": words.clone()}, tmp_path / "model.safetensors")
    assert read_model_folder(tmp_path)[0].parts == ("masked_lm",)
    save_file({**tensors, "decoder.weight": words + 1}, tmp_path / "model.safetensors")
    with pytest.raises(ModelFolderError, match=r"decoder\.weight differs from model\.embeddings\.tok_embeddings"):
        read_model_folder(tmp_path)


@pytest.mark.parametrize("name", ["classify", "tag", "answer"])
def test_the_layer_before_the_decoder_goes_before_a_new_task_as_in_transformers(tmp_path, name):
    source = tiny_modern()
    write_model_folder(source, tmp_path)
    head, theirs = HEADS[name]
    bert, drawn = read_for_task(tmp_path, head, generator=generator(1))
    assert drawn == ["classifier"]
    assert bert.masked_lm is None
    twin = theirs.from_pretrained(tmp_path, num_labels=head.outputs)
    assert torch.equal(bert.pooler.dense.weight, twin.head.dense.weight)
    assert torch.equal(bert.pooler.norm.weight, source.masked_lm.norm.weight)
    assert bert.classifier.dense.weight.std().item() == pytest.approx(24**-0.5 * 0.88, rel=0.3)  # cut at two deviations
    again, _ = read_for_task(tmp_path, head, generator=generator(1))
    assert torch.equal(bert.classifier.dense.weight, again.classifier.dense.weight)


def test_feature_mode_reads_the_last_layers_side_by_side(tmp_path):
    head = HeadConfig(task="tag", labels=("A", "B"), feature_layers=2)
    bert, batch = tiny_modern(head=head), rows(LENGTHS, 16)
    assert bert.parts == ("classifier",)
    states = bert.encoder.hidden_states(**batch)
    torch.testing.assert_close(bert.head_input(**batch), torch.cat(states[-2:], dim=-1))
    write_model_folder(bert, tmp_path)
    torch.testing.assert_close(logits_of(read_model_folder(tmp_path)[0], batch), logits_of(bert, batch), atol=0, rtol=0)


def test_the_hidden_states_of_some_places_are_those_of_all():
    bert, batch = tiny_modern(), packed_rows()
    places = torch.tensor([0, 5, 17, 40])
    torch.testing.assert_close(bert(**batch, places=places), bert(**batch).flatten(0, 1)[places], atol=0, rtol=0)
