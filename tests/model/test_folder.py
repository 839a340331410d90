"""Model folders: what is refused and how it is said; old names; nothing half-written."""

import json
import os

import pytest
import torch
from bert_twins import TINY, tiny_bert
from safetensors.torch import load_file, save_file

from bertsmith.errors import ModelFolderError
from bertsmith.model import folder as folder_module
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_model_folder, write_model_folder
from bertsmith.model.formats import to_hf_tensors

WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def bert() -> Bert:
    return tiny_bert()


@pytest.fixture
def folder(tmp_path, bert):
    write_model_folder(bert, tmp_path / "my-bert")
    return tmp_path / "my-bert"


def change_config(folder, **changes):
    path = folder / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, **changes}))


def change_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)


def same(bert, other) -> bool:
    ours, theirs = to_hf_tensors(bert), to_hf_tensors(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_folder_is_read_as_it_was_written(folder, bert):
    found, report = read_model_folder(folder)
    assert same(found, bert)
    assert found.config == bert.config
    assert not found.training
    assert report == folder_module.FolderReport((), (), (), ())
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_every_tensor_missing_left_over_or_misshapen_is_named(folder):
    def spoil(tensors):
        del tensors["bert.encoder.layer.1.attention.self.key.bias"], tensors["cls.seq_relationship.weight"]
        tensors["bert.encoder.layer.7.output.dense.bias"] = torch.zeros(24)
        tensors["extra.weight"] = torch.zeros(2, 3)
        tensors["bert.pooler.dense.weight"] = torch.zeros(5, 24)
        tensors["bert.pooler.dense.bias"] = torch.zeros(24, dtype=torch.int8)

    change_tensors(folder, spoil)
    with pytest.raises(ModelFolderError) as caught:
        read_model_folder(folder)
    assert str(caught.value).splitlines() == [
        f"{folder}: the weights do not fit the config:",
        "  left over: bert.encoder.layer.7.output.dense.bias (24)",
        "  left over: extra.weight (2, 3)",
        "  missing: bert.encoder.layer.1.attention.self.key.bias (24)",
        "  missing: cls.seq_relationship.weight (2, 24)",
        "  shape: bert.pooler.dense.weight is (5, 24), the config says (24, 24)",
        "  type: bert.pooler.dense.bias is torch.int8, no floating point",
    ]


def test_old_names_prefixless_names_buffers_and_repeated_decoders_are_understood(folder, bert):
    def age(tensors):
        old = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
            for name, tensor in tensors.items()
        }
        tensors.clear()
        tensors.update({name.removeprefix("bert."): tensor for name, tensor in old.items()})
        tensors["embeddings.position_ids"] = torch.arange(20)[None]
        tensors["cls.predictions.decoder.weight"] = tensors["embeddings.word_embeddings.weight"].clone()
        tensors["cls.predictions.decoder.bias"] = tensors.pop("cls.predictions.bias")

    change_tensors(folder, age)
    found, report = read_model_folder(folder)
    assert same(found, bert)
    assert report.ignored == ("bert.embeddings.position_ids",)


def test_a_decoder_of_its_own_is_refused(folder):
    change_tensors(folder, lambda t: t.update({"cls.predictions.decoder.weight": t[WORDS] + 1}))
    with pytest.raises(
        ModelFolderError, match=r"cls\.predictions\.decoder\.weight differs from bert\.embeddings\.word"
    ):
        read_model_folder(folder)


def test_two_tensors_for_one_place_are_refused(folder):
    change_tensors(folder, lambda t: t.update({"embeddings.word_embeddings.weight": t[WORDS].clone()}))
    with pytest.raises(ModelFolderError, match=r"two tensors for bert\.embeddings\.word_embeddings\.weight"):
        read_model_folder(folder)


def test_heads_of_tasks_are_reported_and_parts_not_asked_for_are_left(folder, bert):
    change_tensors(folder, lambda t: t.update({"classifier.weight": torch.zeros(3, 24)}))
    found, report = read_model_folder(folder, parts=("masked_lm",))
    assert found.parts == ("masked_lm",)
    assert report.task_heads == ("classifier.weight",)
    assert sorted(report.left) == [
        "bert.pooler.dense.bias",
        "bert.pooler.dense.weight",
        "cls.seq_relationship.bias",
        "cls.seq_relationship.weight",
    ]
    assert same(found, tiny_bert(parts=("masked_lm",))) is False  # other weights are drawn with other parts ...
    assert torch.equal(found.encoder.embeddings.word.weight, bert.encoder.embeddings.word.weight)  # ... not here


def test_a_demanded_part_that_is_not_there_is_named(tmp_path):
    write_model_folder(tiny_bert(parts=("masked_lm",)), tmp_path)
    assert read_model_folder(tmp_path)[1].absent == ("pooler", "next_sentence")
    with pytest.raises(ModelFolderError, match=r"missing: bert\.pooler\.dense\.bias \(24\)"):
        read_model_folder(tmp_path, parts=("pooler",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta', only 'bert' and 'modernbert' can be read"),
        ({"is_decoder": True}, "is_decoder is True, only False"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type is 'relative_key', only 'absolute'",
        ),
        ({"hidden_act": "swish"}, r'option "hidden_act": .*\'gelu\', \'gelu_new\' or \'relu\'.*\'swish\''),
        ({"hidden_size": "wide"}, "option \"hidden_size\".*'wide'"),
        ({"num_attention_heads": 5}, "24 is not a multiple of num_attention_heads 5"),
        ({"pad_token_id": 61}, "pad_token_id 61 is not under vocab_size 61"),
    ],
)
def test_a_config_of_something_else_is_refused_by_key_and_value(folder, changes, message):
    change_config(folder, **changes)
    with pytest.raises(ModelFolderError, match=message) as caught:
        read_model_folder(folder)
    assert str(folder) in str(caught.value)


def test_keys_of_other_versions_are_passed_over_and_absent_ones_have_bert_s_values(folder):
    change_config(
        folder, pad_token_id=None, torch_dtype="float32", use_cache=True, pruned_heads={}, id2label={"0": "a"}
    )
    values = json.loads((folder / "config.json").read_text())
    for key in ("model_type", "position_embedding_type", "layer_norm_eps", "hidden_act", "dtype"):
        del values[key]
    (folder / "config.json").write_text(json.dumps(values))
    config = read_model_folder(folder)[0].config
    assert (config.pad_token_id, config.layer_norm_eps, config.hidden_act) == (None, 1e-12, "gelu")


@pytest.mark.parametrize("keep", [0, 4, 500, -10])
def test_a_truncated_weights_file_is_named(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is damaged or cut short"):
        read_model_folder(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no config.json"), ("{", "config.json is not JSON"), ("[1]", "config.json holds a list")],
)
def test_a_missing_or_broken_config_is_named(folder, content, message):
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(ModelFolderError, match=message):
        read_model_folder(folder)


def test_a_missing_folder_and_missing_weights_are_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFolderError, match=r"no weights: neither model\.safetensors nor .* nor pytorch_model\.bin"):
        read_model_folder(folder)
    with pytest.raises(ModelFolderError, match="elsewhere: no such folder"):
        read_model_folder(folder.parent / "elsewhere")


def to_pickle(folder, *, zipped: bool, **more):
    tensors = load_file(folder / "model.safetensors")
    path = folder / "pytorch_model.bin"
    torch.save({**tensors, **more}, path, _use_new_zipfile_serialization=zipped)
    (folder / "model.safetensors").unlink()
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_read_on_request_only(folder, bert, zipped):
    to_pickle(folder, zipped=zipped)
    with pytest.raises(ModelFolderError, match=f"explicit import only. Run `bertsmith import {folder} --out my-bert`"):
        read_model_folder(folder)
    assert same(read_model_folder(folder, allow_pickle=True)[0], bert)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(folder, monkeypatch, tmp_path, zipped):
    monkeypatch.chdir(tmp_path)
    to_pickle(folder, zipped=zipped, trap=Trap())
    with pytest.raises(ModelFolderError, match=r"pytorch_model\.bin is damaged, or holds more than weights"):
        read_model_folder(folder, allow_pickle=True)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("keep", [0, 100, -1000])
def test_a_truncated_pickle_is_named(folder, keep):
    path = to_pickle(folder, zipped=True)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelFolderError, match=r"pytorch_model\.bin is damaged"):
        read_model_folder(folder, allow_pickle=True)


def shard(folder, names_file=None):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in names if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {**places, **(names_file or {})}}))


def test_shards_are_joined(folder, bert):
    shard(folder)
    assert same(read_model_folder(folder)[0], bert)


def test_a_lost_shard_and_a_lost_tensor_are_named(folder):
    shard(folder, {"x.weight": "model-00001-of-00002.safetensors"})
    with pytest.raises(ModelFolderError, match=r"tensors that its files do not hold: x\.weight"):
        read_model_folder(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelFolderError, match=r"names model-00002-of-00002\.safetensors, which is not in the folder"):
        read_model_folder(folder)


def test_an_index_cannot_point_out_of_the_folder(folder):
    save_file({"x": torch.zeros(1)}, folder.parent / "outside.safetensors")
    shard(folder, {"x": "../outside.safetensors"})
    with pytest.raises(ModelFolderError, match=r"names \.\./outside\.safetensors, which is not in the folder"):
        read_model_folder(folder)


def test_a_write_that_fails_leaves_the_folder_as_it_was(folder, bert, monkeypatch):
    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("the cable was pulled")

    monkeypatch.setattr(folder_module, "save_file", fail)
    with pytest.raises(OSError, match="cable"):
        write_model_folder(tiny_bert(seed=9), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert same(read_model_folder(folder)[0], bert)


def test_half_precision_weights_are_read_as_float32(folder, bert):
    change_tensors(folder, lambda t: t.update({name: tensor.half() for name, tensor in t.items()}))
    found, _ = read_model_folder(folder)
    assert {weight.dtype for weight in found.parameters()} == {torch.float32}
    assert all(torch.equal(a, b.half().float()) for a, b in zip(found.parameters(), bert.parameters(), strict=True))


def test_the_config_says_what_the_model_is(folder):
    values = json.loads((folder / "config.json").read_text())
    assert values["architectures"] == ["BertForPreTraining"]
    assert (values["model_type"], values["dtype"]) == ("bert", "float32")
    assert TINY.items() <= values.items()
