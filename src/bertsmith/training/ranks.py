"""The processes of one run as `torchrun` starts them: which one this is, and the few things that they tell each other.

Gradients are added up by torch's DistributedDataParallel; what decides the course of the run (the clock, figures,
whether to stop) is the first rank's, or a sum, so that all ranks take the same turns.

Letters: N ranks.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from bertsmith.config import Device
from bertsmith.errors import BertsmithError, ConfigError, InputError, RankLostError
from bertsmith.model.device import choose_device
from bertsmith.training.sharding import divide, hold_gradients, write_divided

# How long a rank looks for its launcher, which is there before it is; after that it was left behind.
BEGINNING = timedelta(minutes=1)
# How long it waits in a step for another that no longer answers, though its connection stands.
SILENCE = timedelta(minutes=10)
# How long it waits for what the first rank alone does, such as preparing a corpus: torchrun ends it if the first fails.
PATIENCE = timedelta(days=30)
DESERTED_S = 60.0
# How long a rank that has found a mistake waits for the first to find it too, and to say it for all.
HEARSAY = timedelta(seconds=10)

Value = TypeVar("Value")


class Store(Protocol):
    """torch's key-value store of a run, as far as it is used here."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def wait(self, keys: list[str], timeout: timedelta) -> None: ...


class Ranks:
    """This process among those of the run; alone it talks to nobody.

    Args:
        number: of this rank, from 0.
        count: N.
        store: what the first rank says to all; None where there is one rank.
    """

    def __init__(self, number: int = 0, count: int = 1, store: Store | None = None) -> None:
        self.number, self.count, self._store = number, count, store
        self._launcher = os.getppid()
        self._writers: dist.ProcessGroup | None = None

    @property
    def divided(self) -> bool:
        """Whether the module of `together` is divided among the ranks."""
        return self._writers is not None

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.number == 0

    @property
    def patience_s(self) -> float:
        """How long to wait for the folder: ranks whose launcher was killed finish their step, and save."""
        return 0.0 if self.count == 1 else DESERTED_S

    @property
    def deserted(self) -> bool:
        """Whether the launcher of these ranks is gone: nobody would begin them again, or end them."""
        return self.count > 1 and os.getppid() != self._launcher

    def once(self, make: Callable[[], Value]) -> Value:
        """What the first rank makes while the others wait, however long; a plain JSON value, on all ranks."""
        if self._store is None:
            return make()
        key = f"bertsmith/{next(_SAID)}"
        made = json.dumps(make()) if self.first else ""
        if self.first:
            self._store.set(key, made)
        else:
            self._store.wait([key], PATIENCE)
        value: Value = json.loads(self._store.get(key))
        return value

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value added up over all ranks, in double precision."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        added: list[float] = total.tolist()
        return added

    def most(self, value: int) -> int:
        """The largest value of any rank."""
        if self.count == 1:
            return value
        found = torch.tensor(value)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def together(self, module: nn.Module, *, divided: bool) -> nn.Module:
        """The module, whose gradients become their mean over the ranks: with a loss N times as large, their sum.

        Args:
            module: whose forward pass is called.
            divided: whether weights, gradients and moments are divided among the ranks, or every rank has all.
        """
        if self.count == 1:
            return module
        if divided:
            self._writers = dist.new_group(backend="gloo", timeout=SILENCE)
            return divide(module)
        return DistributedDataParallel(module, gradient_as_bucket_view=True)

    def write_divided(self, tensors: Mapping[str, Tensor], folder: Path) -> list[Path]:
        """As `sharding.write_divided`, beside the steps: those who write have connections of their own."""
        assert self._writers
        return write_divided(tensors, folder, self._writers)

    def apart(self, module: nn.Module, when: bool) -> AbstractContextManager[None]:
        """In this block the gradients of a module from `together` stay this rank's, to be added up with later ones."""
        hold_gradients(module, when)
        return module.no_sync() if when and isinstance(module, DistributedDataParallel) else nullcontext()


ALONE = Ranks()
# Of this process: a store outlives the ranks of one run, and there may be several runs.
_SAID, _RUNS = itertools.count(), itertools.count()


@contextmanager
def _lost_named(number: int, count: int) -> Iterator[None]:
    """
    Raises:
        RankLostError: in the block torch could not reach another rank, wherever it tried to.
    """
    try:
        yield
    except RuntimeError as error:
        if _is_of_connection(error):
            words = str(error).splitlines()[0][:200]
            raise RankLostError(
                f"rank {number} of {count} has lost another, or the launcher ({words}). "
                "torchrun --max-restarts begins the ranks again, and the same command goes on from what was saved."
            ) from error
        raise


def _is_of_connection(error: RuntimeError) -> bool:
    words = str(error).lower()
    return isinstance(error, dist.DistError) or any(
        word in words for word in ("connection", "timed out", "broken pipe", "gloo", "nccl", "socket")
    )


@contextmanager
def _own_mistake_named(number: int, count: int, store: Store) -> Iterator[None]:
    """
    Raises:
        BertsmithError: in the block this rank found what the first did not; it is told with the machine.
    """
    try:
        yield
    except InputError as error:
        if _said_by_first(number, store):
            raise
        raise BertsmithError(f"rank {number} of {count}, on {socket.gethostname()}: {error}") from error


def _said_by_first(number: int, store: Store) -> bool:
    """Whether the first rank has found the mistake too, and says it: once for all."""
    if number == 0:
        store.set("bertsmith/mistake", "")
        return True
    try:
        store.wait(["bertsmith/mistake"], HEARSAY)
    except RuntimeError:  # nothing came, or the launcher is gone
        return False
    return True


@contextmanager
def _left_on_purpose() -> Iterator[None]:
    """Leave the group after the block and after errors of ours, so that there may be another run; not after others:
    ranks may be gone."""
    try:
        yield
    except BertsmithError:
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def is_first_process() -> bool:
    """Whether this process speaks for its run; before its ranks are joined, and after."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined_ranks(device: Device, batch_size: int, *, shard: bool = False) -> Iterator[Ranks]:
    """The ranks of this run, if `torchrun` has started it; else this process alone.

    Args:
        device: as asked for; CUDA devices talk by NCCL, processors by gloo.
        batch_size: rows of a step, which are dealt to the ranks.
        shard: whether a model is to be divided among them; `torchrun` may have left one to go on alone.

    Raises:
        ConfigError: fewer rows than ranks, no ranks to divide a model among, or torch's processes were joined by
            somebody else, or are told of by half.
        RankLostError: the launcher or another rank is gone, or never came; in the block too.
        BertsmithError: in the block this rank alone found its data to be wrong: a damaged copy on its machine.
    """
    if shard and "WORLD_SIZE" not in os.environ:
        raise ConfigError(
            "--shard divides a model among the ranks of torchrun, and this is a process of its own. Leave it out "
            "(--no-shard), or start with: torchrun --nproc-per-node N -m bertsmith …"
        )
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    if dist.is_initialized():
        raise ConfigError("torch.distributed is initialised already: leave that to bertsmith, which does it by itself.")
    if batch_size < count:
        raise ConfigError(f"--batch-size {batch_size} cannot be dealt to {count} ranks: give {count} or more.")
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise ConfigError(
            f"WORLD_SIZE is {count} and there is no {' and no '.join(missing)} in the environment. Start with: "
            "torchrun --nproc-per-node N -m bertsmith …; or unset WORLD_SIZE, for one process alone."
        )
    chosen = choose_device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    with _lost_named(int(os.environ["RANK"]), count):
        store, number, count = next(iter(rendezvous("env://", timeout=BEGINNING)))
        # A store may outlive ranks that were lost, and runs: where those could be found is not to be read by others.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"attempt-{attempt}/run-{next(_RUNS)}", store)
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=SILENCE)
        with _left_on_purpose(), _own_mistake_named(number, count, store):
            yield Ranks(number, count, store)
