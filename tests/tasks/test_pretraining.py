"""The losses are BERT's: equal to Hugging Face's on the same sequences, packed or not, whole or in parts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForPreTraining

from bertsmith.data.batch import Masking, PretrainingBatch, build_batch
from bertsmith.data.packing import pack
from bertsmith.data.pairs import draw_pairs
from bertsmith.data.random_bits import generator, stream_key
from bertsmith.model.bert import Bert
from bertsmith.model.folder import read_model_folder, write_model_folder
from bertsmith.tasks import pretraining
from bertsmith.tasks.pretraining import Pretraining, frequency_loss
from data.corpora import VOCAB_SIZE, random_shard, vocabulary
from model.bert_twins import tiny_bert


def packed_batch(row_length: int = 48) -> PretrainingBatch:
    shard = random_shard(0, documents=12, longest=9)
    pairs = draw_pairs(shard, row_length=row_length, next_sentence=True, short_share=0.3, rng=generator("pairs"))
    packed = pack(pairs.lengths, row_length)
    return build_batch(
        shard,
        pairs,
        packed,
        rows=(0, len(packed)),
        row_length=row_length,
        masking=Masking(vocabulary(), 0.15, False),
        key=stream_key("masks"),
    )


def test_places_that_fill_up_change_neither_losses_nor_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    def losses_and_gradients() -> list[torch.Tensor]:
        bert, batch = tiny_bert(vocab_size=VOCAB_SIZE, max_position_embeddings=48), packed_batch(44)
        assert len(batch.masked_labels) % 8
        assert len(batch.next_sentence_labels) % 8
        sums = list(Pretraining("mlm+nsp").loss_sums(bert, batch).values())
        torch.stack(sums).sum().backward()
        return [*sums, *(weight.grad for weight in bert.parameters())]

    filled = losses_and_gradients()
    monkeypatch.setattr(pretraining, "_filled", lambda values, fillers: values)
    for mine, bare in zip(filled, losses_and_gradients(), strict=True):
        torch.testing.assert_close(mine, bare, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("count", "filled"), [(0, 0), (3, 8), (8, 8), (250, 256), (256, 256), (257, 288)])
def test_few_places_are_filled_up_by_few(count: int, filled: int) -> None:
    values = pretraining._filled(np.arange(count), np.full(32, -1))
    assert values.tolist() == [*range(count), *[-1] * (filled - count)]


@pytest.fixture(scope="module")
def bert() -> Bert:
    return tiny_bert(vocab_size=VOCAB_SIZE, max_position_embeddings=48)


def test_both_losses_equal_hugging_faces_sequence_by_sequence(bert: Bert, tmp_path: Path) -> None:
    batch = packed_batch()
    sums = Pretraining("mlm+nsp").loss_sums(bert, batch)
    write_model_folder(bert, tmp_path)
    theirs = BertForPreTraining.from_pretrained(tmp_path).eval()
    labels = np.full(batch.input_ids.size, -100)
    labels[batch.masked_places] = batch.masked_labels
    labels = labels.reshape(batch.input_ids.shape)
    mlm = nsp = 0.0
    sequence = 0
    for row in range(batch.rows):
        for number in range(1, batch.sequence_ids[row].max() + 1):
            places = batch.sequence_ids[row] == number
            with torch.no_grad():
                out = theirs(
                    torch.from_numpy(batch.input_ids[row, places])[None],
                    token_type_ids=torch.from_numpy(batch.token_type_ids[row, places])[None],
                )
            wanted = torch.from_numpy(labels[row, places])
            mlm += torch.nn.functional.cross_entropy(out.prediction_logits[0], wanted, reduction="sum").item()
            label = torch.from_numpy(batch.next_sentence_labels[sequence : sequence + 1])
            nsp += torch.nn.functional.cross_entropy(out.seq_relationship_logits, label).item()
            sequence += 1
    assert sequence == len(batch.cls_places)
    assert batch.sequence_ids.max() >= 2  # rows did hold several sequences
    assert sums["mlm"].item() == pytest.approx(mlm, rel=1e-5)
    assert sums["nsp"].item() == pytest.approx(nsp, rel=1e-5)


def test_parts_of_a_batch_add_up_to_the_whole(bert: Bert) -> None:
    task, batch = Pretraining("mlm+nsp"), packed_batch()
    whole = task.loss_sums(bert, batch)
    parts = [batch.slice(0, 2), batch.slice(2, batch.rows)]
    for name in ("mlm", "nsp"):
        summed = sum(task.loss_sums(bert, part)[name].item() for part in parts)
        assert summed == pytest.approx(whole[name].item(), rel=1e-5)
        assert sum(task.loss_counts(part)[name] for part in parts) == task.loss_counts(batch)[name]


def test_evaluation_is_the_mean_loss_and_the_share_right(bert: Bert) -> None:
    task, batch = Pretraining("mlm+nsp"), packed_batch()
    metrics = task.evaluate(bert, [batch.slice(0, 1), batch.slice(1, batch.rows)])
    sums, counts = task.loss_sums(bert, batch), task.loss_counts(batch)
    assert metrics["mlm_loss"] == pytest.approx(sums["mlm"].item() / counts["mlm"], rel=1e-5)
    assert metrics["mlm_perplexity"] == pytest.approx(np.exp(metrics["mlm_loss"]), rel=1e-6)
    with torch.no_grad():
        right = task.guess(bert, batch).next_sentence.argmax(-1).numpy() == batch.next_sentence_labels
    assert metrics["nsp_accuracy"] == pytest.approx(right.mean())


def test_without_next_sentence_there_is_no_pooler(bert: Bert) -> None:
    task = Pretraining("mlm")
    assert task.parts == ("masked_lm",)
    model = Bert(bert.config, task.parts, generator=torch.Generator().manual_seed(0))
    assert set(task.loss_sums(model, packed_batch())) == {"mlm"}


def test_one_batch_is_learned_by_heart(bert: Bert) -> None:
    model = Bert(bert.config, generator=torch.Generator().manual_seed(0))
    task, batch = Pretraining("mlm+nsp"), packed_batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        sums, counts = task.loss_sums(model, batch), task.loss_counts(batch)
        sum(loss / counts[name] for name, loss in sums.items()).backward()
        optimizer.step()
        optimizer.zero_grad()
    metrics = task.evaluate(model.eval(), [batch])
    assert metrics["mlm_accuracy"] > 0.95
    assert metrics["nsp_accuracy"] > 0.95


def test_frequency_loss_is_the_entropy_of_guessing_by_frequency() -> None:
    counts = np.array([0, 0, 6, 2])
    labels = np.array([2, 2, 2, 3])
    assert frequency_loss(counts, labels) == pytest.approx(-(3 * np.log(7 / 12) + np.log(3 / 12)) / 4)


def test_a_folder_that_was_read_again_gives_the_same_losses(bert: Bert, tmp_path: Path) -> None:
    write_model_folder(bert, tmp_path)
    again, _ = read_model_folder(tmp_path)
    batch, task = packed_batch(), Pretraining("mlm+nsp")
    first, second = task.loss_sums(bert, batch), task.loss_sums(again, batch)
    assert all(first[name].item() == second[name].item() for name in first)
