"""The count of useful arithmetic against counts by hand."""

import pytest

from bertsmith.benchmarks.flops import Counts, step_flops
from bertsmith.config import ModelConfig
from bertsmith.model.bert import Bert


def model(size: str, **options) -> Bert:
    return Bert(ModelConfig.preset(size, **options), generator=None)


def test_tiny_by_hand():
    # 2 layers of 128: 4 x 128² for query, key, value and output, 2 x 128 x 512 in the feed-forward.
    matrices = 2 * (4 * 128 * 128 + 2 * 128 * 512)
    assert matrices == 393_216
    last = 2 * 128 * 128 + 2 * 128 * 512  # of the last layer all but keys and values, where only what is read counts
    tokens, length, masked, sequences, vocabulary = 1000, 64, 150, 20, 500
    by_hand = (
        6 * (matrices - last) * tokens
        + 6 * last * (masked + sequences)
        + 12 * length * 128 * (tokens + masked + sequences)
        + 6 * (vocabulary * 128 + 128 * 128) * masked
        + 6 * (128 * 128 + 2 * 128) * sequences
    )
    counts = Counts(tokens, length, masked, sequences)
    assert step_flops(model("tiny", vocab_size=vocabulary), counts) == by_hand == 1_732_730_880


def test_attention_is_what_its_products_cost():
    # Over one row of T = 16 a head of H = 64 multiplies (T, H) by (H, T), then (T, T) by (T, H): 2 T T H FLOPs each.
    forward = 2 * (2 * 16 * 16 * 64) * 2 * 2  # two products, two heads, two layers
    whole, without = (
        step_flops(model("tiny", vocab_size=10), Counts(16, length, masked=0, sequences=0)) for length in (16, 0)
    )
    assert whole - without == 3 * forward


@pytest.mark.parametrize(("size", "millions"), [("base", 514.29), ("mini", 23.857)])
def test_a_token_of_the_sizes_that_are_measured(size, millions):
    counts = Counts(tokens=4096, row_length=128, masked=614, sequences=0)
    found = step_flops(model(size, vocab_size=30_522), counts) / 4096
    assert found == pytest.approx(1e6 * millions, rel=2e-3)
