"""What pretraining needs on this machine, measured: steps of our own loop, and if asked for the peer's beside them.

Every side is a process of its own; they take turns, a round at a time, each round of about a second of the same rows.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from types import TracebackType
from typing import Any

from bertsmith.benchmarks.machine import available_bytes
from bertsmith.benchmarks.needs import SAFE_SHARE, Needs, needs_of
from bertsmith.benchmarks.step_side import AS_IT_COMES, AT_ITS_BEST, OURS, Settings
from bertsmith.benchmarks.train_figures import SideFigures, SizeFigures, TrainFigures
from bertsmith.config import PRESETS, PretrainConfig, Size
from bertsmith.data.workers import Workers
from bertsmith.errors import BertsmithError, ConfigError
from bertsmith.model.compiling import check_compiler
from bertsmith.model.device import choose_device
from bertsmith.progress import Reporter, Track

ROUND_S = 1.0
LEAST_ROUNDS = 3
SLOW_STEP_S = 3.0  # a step so long is warm after the first
STARTING_S = 5.0  # a process, its imports, and the limit
ALL_SIZES: tuple[Size, ...] = tuple(PRESETS)
PEER_SIZES: tuple[Size, ...] = ("mini", "base")


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        config: the run whose steps are taken, in each of the sizes; its budget and evaluations do not matter.
        size: the one size to measure, however long it takes; None for all of them, or with a peer for mini and base.
        vocab_size: V.
        seconds: about how long all of it may take; a size that would not fit in is estimated. With a peer it is the
            time of the rounds, and first steps, which compile, come on top; no size has less than three rounds.
        peer: whether the peer's steps are taken too.
    """

    config: PretrainConfig
    size: Size | None = None
    vocab_size: int = 30_522
    seconds: float = 60.0
    peer: bool = False

    def sizes(self) -> tuple[Size, ...]:
        """In rising order."""
        return (self.size,) if self.size else PEER_SIZES if self.peer else ALL_SIZES


def bench_train(plan: Plan, reporter: Reporter) -> TrainFigures:
    """Take steps of each size.

    Raises:
        ConfigError: a peer is asked for, and transformers is not installed; a device that is not there, or cannot
            compile; or the vocabulary is too small to mask in.
        BertsmithError: not even the smallest size fits into the memory, or the system ended a process.
    """
    if plan.peer and importlib.util.find_spec("transformers") is None:
        raise ConfigError("--peer measures transformers, which is not installed: pip install transformers")
    if plan.vocab_size < 100:
        raise ConfigError(f"vocab_size is {plan.vocab_size}; a vocabulary to measure with has at least 100 WordPieces")
    if plan.config.compile:
        check_compiler(choose_device(plan.config.device))
    return _Measurement(plan, reporter).run()


class _Measurement:
    def __init__(self, plan: Plan, reporter: Reporter) -> None:
        self.plan, self.reporter = plan, reporter
        self.names = (OURS, AS_IT_COMES, AT_ITS_BEST) if plan.peer else (OURS,)
        self.deadline = time.monotonic() + plan.seconds
        self.limits: dict[str, float] = {}
        self.counts = Settings(plan.config, plan.vocab_size).counts()

    def run(self) -> TrainFigures:
        plan, found = self.plan, list[SizeFigures]()
        sizes = list(plan.sizes())
        while sizes:
            size, left_s = sizes[0], max(0.0, self.deadline - time.monotonic())
            settings = Settings(plan.config.but(size=size), plan.vocab_size)
            needs = needs_of(settings, self.counts)
            reason = self._reason_not_to(needs, left_s, found)
            if reason and not found:
                sizes.insert(0, self._smaller(size, reason))
                continue
            if reason:
                found.append(self._estimate(size, needs, reason, found))
            else:
                share_s = plan.seconds / len(plan.sizes()) if plan.peer else left_s / len(sizes)
                found.append(self._measure(needs, settings, share_s))
            sizes.pop(0)
        return TrainFigures(plan.config, plan.vocab_size, self.counts, self.limits, tuple(found))

    def _reason_not_to(self, needs: Needs, left_s: float, found: list[SizeFigures]) -> str:
        """Why a size is estimated; empty where it is measured."""
        wanted = needs.memory_bytes + (needs.peer_memory_bytes if self.plan.peer else 0)
        free = available_bytes(choose_device(self.plan.config.device))
        if free is not None and wanted > SAFE_SHARE * free:
            return f"it needs about {wanted / 1e9:.0f} GB, and {free / 1e9:.0f} GB are free"
        if self.plan.size or self.plan.peer or not found:
            return ""
        step_s = self.counts.tokens * needs.flops_per_token / found[-1].flops_per_s
        at_least_s = STARTING_S + (1 + LEAST_ROUNDS) * step_s
        if at_least_s > left_s:
            return f"measuring it takes about {at_least_s:.0f} s, longer than --seconds leaves"
        return ""

    def _smaller(self, size: Size, reason: str) -> Size:
        """The size to measure first where the first one asked for cannot be."""
        place = ALL_SIZES.index(size)
        if place == 0:
            raise BertsmithError(f"{size} cannot be measured: {reason}. Free some memory, or lower --batch-size.")
        return ALL_SIZES[place - 1]

    def _estimate(self, size: Size, needs: Needs, reason: str, found: list[SizeFigures]) -> SizeFigures:
        """From the largest size that was measured: its useful FLOP/s, and its ratio of measured to computed memory."""
        basis = [each for each in found if not each.estimated][-1]
        speed = basis.flops_per_s / needs.flops_per_token
        memory = needs.memory_bytes * basis.ours.memory_bytes / basis.needs.memory_bytes
        self.reporter.say(f"{size}: estimated, since {reason}")
        return SizeFigures(size, needs, SideFigures(OURS, speed, self.counts.tokens / speed, memory), estimated=reason)

    def _measure(self, needs: Needs, settings: Settings, seconds: float) -> SizeFigures:
        """Rounds in turn until the time is up."""
        size, started = settings.config.size, time.monotonic()
        with ExitStack() as stack, self.reporter.track(f"measuring {size}", total=None, unit="rounds") as track:
            sides = [stack.enter_context(_Process(name, settings)) for name in self.names]
            self._note_limits(sides[0].ask({"do": "limits"}))
            for side in sides:
                track.update(0, f"{side.name}: first steps")
                side.warm_up()
            self._rounds(sides, track, ends=(time.monotonic() if self.plan.peer else started) + seconds)
            self._note_limits(sides[0].ask({"do": "limits"}))
            ours, *peers = (side.figures() for side in sides)
        found = SizeFigures(size, needs, ours, tuple(peers))
        ratios = "".join(f", {found.ratio(peer):.2f} x the peer {peer.name}" for peer in peers)
        self.reporter.say(f"{size}: {ours.tokens_per_s:,.0f} tokens/s, {ours.memory_bytes / 1e9:.1f} GB{ratios}")
        return found

    def _rounds(self, sides: list[_Process], track: Track, *, ends: float) -> None:
        count = 0
        while count < LEAST_ROUNDS or time.monotonic() < ends:
            turn = count % len(sides)  # who comes first changes, lest a machine that slows down favours a side
            for side in sides[turn:] + sides[:turn]:
                speed = side.round()
                track.update(count, f"{side.name}: {speed:,.0f} tokens/s")
            count += 1

    def _note_limits(self, limits: Mapping[str, float]) -> None:
        self.limits = {name: max(speed, self.limits.get(name, 0.0)) for name, speed in limits.items()}


@dataclass
class _Process:
    """A side's process, and what its rounds took."""

    name: str
    settings: Settings
    speeds: list[float] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)
    steps: int = 1

    def __enter__(self) -> _Process:
        arguments = [self.name, self.settings.to_json()]
        self._workers = Workers("bertsmith.benchmarks.step_side", arguments, 1).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.__exit__(kind, error, trace)

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """One job's answer."""
        answer: dict[str, Any] = next(iter(self._workers.run([job])))
        return answer

    def warm_up(self) -> None:
        """Take one or two steps, and know how many make a round."""
        seconds = self.ask({"do": "steps", "count": 1})["seconds"]
        # The first step of what is compiled is mostly the compiler's.
        if seconds < SLOW_STEP_S or self.name == AT_ITS_BEST or self.settings.config.compile:
            seconds = self.ask({"do": "steps", "count": 1})["seconds"]
        self.steps = max(1, round(ROUND_S / seconds))

    def round(self) -> float:
        """Take a round's steps; the tokens a second."""
        took = self.ask({"do": "steps", "count": self.steps})
        self.speeds.append(took["tokens"] / took["seconds"])
        self.step_s.append(took["seconds"] / self.steps)
        return self.speeds[-1]

    def figures(self) -> SideFigures:
        """The medians."""
        state = self.ask({"do": "state"})
        return SideFigures(self.name, median(self.speeds), median(self.step_s), rounds=len(self.speeds), **state)
