"""A start for BERT in which the first heads look at the words beside them.

BERT has to find out from its table of positions alone which words are neighbours, and until it has, it knows little
more than how common words are: the plateau on which short runs end. Here the table begins with sines and cosines, and
the first heads of the lowest layers with queries that are the position looked at, so that they attend one or two places
to the left or the right. They may begin by handing on what they see, too. Nothing else is different: the same
parameters, all of them trained.

Letters: D hidden width, H head width, P positions.

Reference:
    The table is that of Vaswani et al. 2017, section 3.5, with other frequencies.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from bertsmith.model.attention import SelfAttention
from bertsmith.model.bert import Bert
from bertsmith.model.encoder import BertEncoder, Layer

OFFSETS = (-1, 1, -2, 2)  # where the first, second, … head of a layer looks
_LAYERS = 2  # at most, and at most half of a model's
_SHARPNESS = 1.4  # of queries and keys: a neighbour has about half the weight of a head, the other words the rest


@torch.no_grad()
def look_at_neighbours(bert: Bert, generator: torch.Generator) -> None:
    """Overwrite the positions of a newly drawn BERT, and add to the queries and keys of its first heads.

    Args:
        bert: with random weights, of the architecture "bert".
        generator: draws the frequencies.
    """
    config = bert.config
    assert isinstance(bert.encoder, BertEncoder)
    heads = config.num_attention_heads
    width = config.hidden_size // heads
    angles = [_frequencies(width // 2, generator) for _ in range(heads)]
    table = bert.encoder.embeddings.position.weight
    waves = torch.cat([_waves(torch.arange(len(table)), angle, width) for angle in angles], dim=1)  # (P, D)
    table.copy_(config.initializer_range * math.sqrt(2) * waves)  # as long as the vectors of the words
    for attention, rows, head in _looking(bert):
        query, key, _ = attention.qkv.weight.chunk(3)  # 3 x (D, D)
        query[rows, rows] += _SHARPNESS * _turn(OFFSETS[head] * angles[head], width)
        key[rows, rows] += _SHARPNESS * torch.eye(width)


@torch.no_grad()
def hand_on_neighbours(bert: Bert) -> None:
    """Add to the values and outputs of these heads: each hands on a part of what it sees, the first the first part.

    Where word embeddings tell which words go together, that tells of a hidden word.
    """
    for attention, rows, _ in _looking(bert):
        _, _, value = attention.qkv.weight.chunk(3)
        for matrix in (value, attention.output.weight):
            matrix[rows, rows].diagonal().add_(1.0)


def _looking(bert: Bert) -> Iterator[tuple[SelfAttention, slice, int]]:
    """The heads that look beside: their layer's attention, their rows of its matrices, their number."""
    width = bert.config.hidden_size // bert.config.num_attention_heads
    layers = list(bert.encoder.layers)
    for layer in layers[: min(_LAYERS, len(layers) // 2)]:
        assert isinstance(layer, Layer)
        for head in range(min(len(OFFSETS), bert.config.num_attention_heads)):
            yield layer.attention, slice(head * width, (head + 1) * width), head


def _frequencies(count: int, generator: torch.Generator) -> Tensor:
    """(count,) angles a place, one at random in each of equal parts of 0 … π.

    Then the waves of two places agree if they are the same place, and hardly otherwise, however far they are apart.
    """
    return (torch.arange(count) + torch.rand(count, generator=generator)) * math.pi / count


def _waves(places: Tensor, angles: Tensor, width: int) -> Tensor:
    """(P,), (H // 2,) -> (P, H): sine and cosine of each angle at each place, in turn; zero where H is odd."""
    waves = torch.zeros(len(places), width)
    turned = places[:, None] * angles
    waves[:, 0 : 2 * len(angles) : 2], waves[:, 1 : 2 * len(angles) : 2] = turned.sin(), turned.cos()
    return waves


def _turn(angles: Tensor, width: int) -> Tensor:
    """(H // 2,) -> (H, H), what turns the waves of a place into those of the place that is these angles further."""
    turn = torch.zeros(width, width)
    sines = torch.arange(len(angles)) * 2
    cosines = sines + 1
    turn[sines, sines] = turn[cosines, cosines] = angles.cos()
    turn[sines, cosines], turn[cosines, sines] = angles.sin(), -angles.sin()
    return turn
