"""The heads of the fine-tuned tasks: the numbers, losses' gradients and folders of `transformers`."""

import json
from pathlib import Path

import pytest
import torch
from bert_twins import TINY, generator, rows, tiny_bert, twin_inputs
from transformers import (
    AutoConfig,
    BertConfig,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from bertsmith.config import HeadConfig, ModelConfig
from bertsmith.errors import ConfigError, ModelFolderError
from bertsmith.model.bert import Bert
from bertsmith.model.config_json import config_to_hf
from bertsmith.model.folder import read_for_task, read_model_folder, write_model_folder
from bertsmith.model.formats import to_hf_tensors

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
LENGTHS = [16, 3, 9, 13]
LABELS = ("bad", "good", "so so")
HEADS = {
    "classify": (HeadConfig(task="classify", labels=LABELS), BertForSequenceClassification),
    "multi": (HeadConfig(task="classify", labels=LABELS, multi_label=True), BertForSequenceClassification),
    "regress": (HeadConfig(task="regress"), BertForSequenceClassification),
    "tag": (HeadConfig(task="tag", labels=("O", "B-X", "I-X")), BertForTokenClassification),
    "answer": (HeadConfig(task="answer", no_answer_threshold=-1.5), BertForQuestionAnswering),
    "choose": (HeadConfig(task="choose", max_length_tokens=16), BertForMultipleChoice),
}


def bert_with(head: HeadConfig, seed: int = 0) -> Bert:
    bert = Bert(ModelConfig(**TINY), (), head=head, generator=generator(seed))
    drawn = generator(seed + 1)
    with torch.no_grad():
        for weight in bert.parameters():
            weight.add_(torch.randn(weight.shape, generator=drawn), alpha=0.2)
    return bert.eval()


@pytest.fixture(params=HEADS)
def pair(request):
    """A model of ours and the class of theirs."""
    head, theirs = HEADS[request.param]
    return bert_with(head), theirs


def logits_of(bert: Bert, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    hidden = bert.head_input(**batch)
    return bert.task_logits(hidden if bert.head.task in ("tag", "answer") else hidden[:, 0])


def logits_of_twin(twin, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    inputs = twin_inputs(batch)
    if isinstance(twin, BertForMultipleChoice):  # (1, choices, T) -> (1, choices)
        return twin(**{name: value[None] for name, value in inputs.items()}).logits[0][:, None]
    said = twin(**inputs)
    if isinstance(twin, BertForQuestionAnswering):
        return torch.stack([said.start_logits, said.end_logits], dim=-1)
    return said.logits


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_logits_and_gradients_are_those_of_transformers(pair, mode):
    bert, theirs = pair
    twin = theirs(BertConfig(**config_to_hf(bert), attn_implementation="eager"))
    twin.load_state_dict(to_hf_tensors(bert))  # strict: every tensor has its place
    bert.train(mode == "train")
    twin.train(mode == "train")
    batch = rows(LENGTHS, 16)
    ours, reference = logits_of(bert, batch), logits_of_twin(twin, batch)
    seen = batch["sequence_ids"].bool() if ours.dim() == 3 else slice(None)
    torch.testing.assert_close(ours[seen], reference[seen], **CLOSE)

    weights = torch.randn(ours[seen].shape, generator=generator(5))
    (ours[seen] * weights).sum().backward()
    (reference[seen] * weights).sum().backward()
    theirs_by_name = {name: parameter.grad for name, parameter in twin.named_parameters()}
    for name, parameter in bert.named_parameters():
        expected = [theirs_by_name[hf] for hf in _names(name)]
        torch.testing.assert_close(parameter.grad, torch.cat(expected), **CLOSE, msg=name)


def _names(parameter: str) -> tuple[str, ...]:
    from bertsmith.model.formats import hf_names

    return hf_names(parameter)


def test_transformers_opens_the_folder_and_we_read_back_what_was_written(pair, tmp_path):
    bert, theirs = pair
    write_model_folder(bert, tmp_path)
    twin, loading = theirs.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    batch = rows(LENGTHS, 16)
    again, report = read_model_folder(tmp_path)
    assert again.head == bert.head
    assert (report.left, report.task_heads) == ((), ())
    seen = batch["sequence_ids"].bool() if bert.head.task in ("tag", "answer") else slice(None)
    torch.testing.assert_close(logits_of(again, batch), logits_of(bert, batch), atol=0, rtol=0)
    torch.testing.assert_close(logits_of_twin(twin.eval(), batch)[seen], logits_of(bert, batch)[seen], **CLOSE)
    config = AutoConfig.from_pretrained(tmp_path)
    if bert.head.labels:
        assert tuple(config.id2label[index] for index in range(3)) == bert.head.labels


@pytest.mark.parametrize(
    ("values", "head"),
    [
        (
            {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}},
            HeadConfig(task="classify", labels=("a", "b", "c")),
        ),
        (
            {"architectures": ["BertForSequenceClassification"], "num_labels": 3},
            HeadConfig(task="classify", labels=("LABEL_0", "LABEL_1", "LABEL_2")),
        ),
        (
            {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}},
            HeadConfig(task="regress"),
        ),
        (
            {
                "architectures": ["BertForSequenceClassification"],
                "id2label": {"0": "a", "1": "b"},
                "problem_type": "multi_label_classification",
            },
            HeadConfig(task="classify", labels=("a", "b"), multi_label=True),
        ),
        ({"architectures": ["BertForQuestionAnswering"]}, HeadConfig(task="answer")),
    ],
)
def test_heads_of_other_peoples_folders_are_understood(tmp_path, values, head):
    bert = bert_with(head)
    write_model_folder(bert, tmp_path)
    shape = bert.config.model_dump()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **shape, **values}))
    assert read_model_folder(tmp_path)[0].head == head


def test_labels_with_a_gap_are_refused(tmp_path):
    write_model_folder(bert_with(HEADS["classify"][0]), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {"0": "a", "2": "b", "3": "c"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFolderError, match=r"id2label of config\.json must name 0 … 2, .* and names 0, 2, 3"):
        read_model_folder(tmp_path)


def test_a_new_head_stands_on_the_folders_encoder_and_pooler(tmp_path):
    source = tiny_bert()
    write_model_folder(source, tmp_path)
    bert, drawn = read_for_task(tmp_path, HEADS["classify"][0], generator=generator(1))
    assert drawn == ["classifier"]
    assert torch.equal(bert.encoder.layers[2].attention.qkv.weight, source.encoder.layers[2].attention.qkv.weight)
    assert torch.equal(bert.pooler.dense.weight, source.pooler.dense.weight)
    assert bert.masked_lm is None
    same, _ = read_for_task(tmp_path, HEADS["classify"][0], generator=generator(1))
    assert torch.equal(bert.classifier.dense.weight, same.classifier.dense.weight)


def test_a_head_with_the_same_labels_is_kept_and_one_with_others_is_not(tmp_path):
    head = HEADS["classify"][0]
    first = bert_with(head)
    write_model_folder(first, tmp_path)
    again, drawn = read_for_task(tmp_path, head, generator=generator(1))
    assert drawn == []
    assert torch.equal(again.classifier.dense.weight, first.classifier.dense.weight)
    other, drawn = read_for_task(tmp_path, head.but(labels=("x", "y")), generator=generator(1))
    assert drawn == ["classifier"]
    assert other.classifier.dense.weight.shape == (2, 24)


def test_feature_mode_reads_the_last_layers_side_by_side(tmp_path):
    head = HeadConfig(task="tag", labels=("A", "B"), feature_layers=2)
    bert = bert_with(head)
    batch = rows(LENGTHS, 16)
    states = bert.encoder.hidden_states(**batch)
    torch.testing.assert_close(bert.head_input(**batch), torch.cat(states[-2:], dim=-1))
    write_model_folder(bert, tmp_path)
    again, _ = read_model_folder(tmp_path)
    torch.testing.assert_close(logits_of(again, batch), logits_of(bert, batch), atol=0, rtol=0)
    assert BertModel.from_pretrained(tmp_path).config.hidden_size == 24  # theirs opens the encoder


def test_a_frozen_encoder_gets_no_gradient_and_no_dropout():
    bert = bert_with(HeadConfig(task="classify", labels=LABELS, feature_layers=2))
    bert.set_dropout(0.5)
    bert.freeze_encoder()
    bert.train()
    batch = rows(LENGTHS, 16)
    torch.testing.assert_close(bert.head_input(**batch), bert.head_input(**batch), atol=0, rtol=0)
    logits_of(bert, batch).sum().backward()
    assert all(parameter.grad is None for parameter in bert.encoder.parameters())
    assert bert.classifier.dense.weight.grad is not None
    assert not torch.equal(logits_of(bert, batch), logits_of(bert, batch))  # the head's own dropout


def test_a_head_part_without_its_config_is_refused():
    with pytest.raises(ConfigError, match="belong to a fine-tuned head"):
        Bert(ModelConfig(**TINY), ("pooler", "classifier"), generator=generator(0))


def test_a_real_classifier_gives_the_numbers_of_transformers():
    from importlib.util import find_spec

    spec = find_spec("rxnfp")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel rxnfp is not installed")
    folder = Path(spec.origin).parent / "models/transformers/bert_ft_10k_25s"
    bert, _ = read_model_folder(folder, allow_pickle=True)
    assert (bert.head.task, len(bert.head.labels)) == ("classify", 50)
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True, map_location="cpu")
    config = BertConfig.from_pretrained(folder, attn_implementation="eager", num_labels=50)  # the folder does not say
    twin = BertForSequenceClassification(config)
    twin.load_state_dict(tensors, strict=False)
    batch = rows([40, 7], 40)
    torch.testing.assert_close(logits_of(bert, batch), logits_of_twin(twin.eval(), batch), **CLOSE)
