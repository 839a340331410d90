"""Attention on a GPU is what it is on the processor; its kernel is replaced, as there is none here."""

import pytest
import torch
from bert_twins import rows, tiny_bert
from modern_twins import REACH, packed_rows, tiny_modern
from torch.nn.attention.varlen import varlen_attn

import flash_by_hand as by_hand
from bertsmith.model.attention import attention_bias, plain_attention
from bertsmith.model.flash import can_use_flash, flash_attention, ragged

IDS = torch.tensor([[1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1], [1, 2, 3, 0, 0, 0]])
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def test_each_sequence_of_each_row_begins_anew_and_padding_too():
    begins, longest, reach = ragged(IDS)
    assert begins.tolist() == [0, 2, 5, 6, 12, 13, 14, 15, 18]
    assert (begins.dtype, longest, reach) == (torch.int32, 6, -1)
    assert ragged(torch.ones(2, 3, dtype=torch.int64)).begins.tolist() == [0, 3, 6]


@pytest.mark.parametrize("reach", [None, 1, 2])
def test_it_sees_what_the_bias_lets_be_seen(reach):
    query, key, value = torch.randn(3, 3, 2, 6, 4, generator=torch.Generator().manual_seed(0))
    attention_mask = ragged(IDS)._replace(reach=-1 if reach is None else reach)
    with by_hand.flash_by_hand():
        mixed = flash_attention(query, key, value, attention_mask)
    bias = attention_bias(IDS, torch.float32, reach=reach)
    torch.testing.assert_close(mixed, plain_attention(query, key, value, bias, 0.0), **CLOSE)


def test_torch_takes_these_arguments():
    """The kernel's own check of them, on tensors without values: there is no GPU to ask."""
    rows = [torch.empty(18, 2, 64, dtype=torch.bfloat16, device="meta") for _ in range(3)]
    begins = torch.empty(9, dtype=torch.int32, device="meta")
    made = varlen_attn(*rows, begins, begins, 6, 6, window_size=(REACH, REACH))
    assert made.shape == (18, 2, 64)


@pytest.mark.parametrize("model", [tiny_bert, tiny_modern])
def test_encoders_go_that_way(model):
    bert = model()
    batches = [packed_rows(), rows([20, 3, 7], 20)] if model is tiny_modern else [rows([6, 3, 1], 6)]
    for batch in batches:
        real = batch["sequence_ids"].bool()
        usual, usual_states = bert(**batch), bert.encoder.hidden_states(**batch)
        with by_hand.flash_by_hand() as made:
            there, states = bert(**batch), bert.encoder.hidden_states(**batch)
            places = real.flatten().nonzero().flatten()[::2]
            some = bert(**batch, places=places)
        assert len(made) == 3 * len(bert.encoder.layers)
        torch.testing.assert_close(there[real], usual[real], **CLOSE)
        torch.testing.assert_close(some, usual.flatten(0, 1)[places], **CLOSE)
        for one, other in zip(states, usual_states, strict=True):
            torch.testing.assert_close(one[real], other[real], **CLOSE)


def test_gradients_are_the_same():
    bert, batch = tiny_bert(), rows([6, 3, 1], 6)
    real = batch["sequence_ids"].bool()

    def gradients() -> list[torch.Tensor]:
        return list(torch.autograd.grad(bert(**batch)[real].square().sum(), list(bert.encoder.parameters())))

    usual = gradients()
    with by_hand.flash_by_hand():
        for one, other in zip(gradients(), usual, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_when_it_serves(monkeypatch):
    cuda, half, head = torch.device("cuda", 0), torch.bfloat16, {"width": 64, "dropped": 0.0}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert can_use_flash(half, cuda, **head)
    assert not can_use_flash(half, cuda, width=64, dropped=0.1), "it knows no dropout"
    assert not can_use_flash(torch.float32, cuda, **head)
    assert not can_use_flash(half, torch.device("cpu"), **head)
    served = [width for width in (4, 8, 20, 256, 264) if can_use_flash(half, cuda, width=width, dropped=0.0)]
    assert served == [8, 256], "its kernels are for heads of some widths"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not can_use_flash(half, cuda, **head), "older than Ampere"
