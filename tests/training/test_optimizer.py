"""AdamW on the rows that were touched: the same numbers as on all of them, and the others stay."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.training.optimizer import (
    AdamW,
    begin_step,
    build_optimizer,
    clip_gradients,
    load_optimizer_tensors,
    optimizer_tensors,
)

ROWS, WIDTH = 40, 24


class Table(nn.Module):
    """Word vectors, and a layer that turns their mean into one number."""

    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.sparse = sparse
        self.words = nn.Parameter(torch.randn(ROWS, WIDTH, generator=generator))
        self.out = nn.Parameter(torch.randn(1, WIDTH, generator=generator))

    def forward(self, ids: Tensor) -> Tensor:
        return F.linear(F.embedding(ids, self.words, sparse=self.sparse).tanh().mean(0), self.out).square().sum()


def batches(first: int, last: int) -> list[Tensor]:
    """Ids with repetitions; every batch leaves some rows out, and the rows from 30 on never come."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(0, 30, (8,), generator=generator) for _ in range(20)][first:last]


def train(table: Table, optimizer: AdamW, some: list[Tensor]) -> list[float]:
    norms = []
    for ids in some:
        begin_step(optimizer, 0, rate=0.01)
        for part in ids.split(3):  # micro-batches: the sparse gradients add up
            table(part).backward()
        norms.append(clip_gradients(table, 0.5))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return norms


def test_touched_rows_move_as_with_a_dense_gradient_and_the_others_stay() -> None:
    dense, sparse = Table(sparse=False), Table(sparse=True)
    start = dense.words.detach().clone()
    norms = [train(table, build_optimizer(table, weight_decay=0.0), batches(0, 20)) for table in (dense, sparse)]
    torch.testing.assert_close(torch.tensor(norms[0]), torch.tensor(norms[1]), rtol=1e-6, atol=0)
    torch.testing.assert_close(sparse.words, dense.words, rtol=1e-5, atol=1e-6)
    assert not torch.equal(sparse.words[:30], start[:30])

    decaying = Table(sparse=True)
    train(decaying, build_optimizer(decaying, weight_decay=0.5), batches(0, 20))
    assert torch.equal(decaying.words[30:], start[30:])
    assert not torch.allclose(decaying.words[:30], sparse.words[:30])


def test_the_state_of_touched_rows_is_kept_and_put_back() -> None:
    straight = Table(sparse=True)
    train(straight, build_optimizer(straight, weight_decay=0.1), batches(0, 20))

    begun = Table(sparse=True)
    before = build_optimizer(begun, weight_decay=0.1)
    train(begun, before, batches(0, 9))
    tensors = {name: tensor.clone() for name, tensor in optimizer_tensors(before, begun).items()}
    assert tensors["touched.words"].sum() < 30
    after = build_optimizer(begun, weight_decay=0.1)
    load_optimizer_tensors(after, begun, tensors)
    train(begun, after, batches(9, 20))
    assert torch.equal(begun.words, straight.words)
    assert torch.equal(begun.out, straight.out)
