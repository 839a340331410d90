"""A thread that computes. Requests wait in a bounded queue and are computed together.

The event loop and the thread share no lock: tickets go one way through a queue, answers the other way through the
loop. Everything that is counted is counted on the loop.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeAlias

from bertsmith.data.windows import BATCH_TOKENS
from bertsmith.errors import BertsmithError
from bertsmith.explain.passes import looking_up
from bertsmith.server.refusals import ClientGoneError, DeadlineError, OverloadedError, Refusal

# A round is what is computed before the queue is looked at again: as many tokens as take about so long, by the speed
# that was seen, and within these bounds. Longer rounds batch better; shorter ones keep others waiting less.
ROUND_S = 0.5
ROUND_TOKENS = (BATCH_TOKENS, 8 * BATCH_TOKENS)


class Group(NamedTuple):
    """What may be computed together: the same operation of the same model, under the same options."""

    model: str
    operation: str
    options: Hashable = None

    @property
    def lane(self) -> tuple[str, str]:
        """What is equally fast."""
        return self.model, self.operation


Run: TypeAlias = Callable[[Group, Sequence[Any]], Sequence[Any]]


@dataclass(eq=False)
class Ticket:
    """What one request waits for.

    Attributes:
        group: what they may be computed together with.
        items: what is asked, each of which gets an answer; empty once nobody waits for them any more.
        costs: of each item, in tokens, about.
        deadline: on the monotonic clock.
        future: of all answers, in order.
    """

    group: Group
    items: Sequence[Any]
    costs: Sequence[int]
    deadline: float
    future: asyncio.Future[list[Any]]
    began: float | None = None
    next: int = 0
    answers: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """What was computed together, for the figures."""

    group: Group
    requests: int
    items: int
    cost: int
    seconds: float


@dataclass(frozen=True)
class Speed:
    """How fast the last rounds of a lane were; longer ones say more."""

    tokens: float = 0.0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    def after(self, tokens: int, seconds: float) -> Speed:
        """With one more round."""
        return Speed(0.8 * self.tokens + tokens, 0.8 * self.seconds + max(seconds, 1e-6))


class Worker:
    """Computes what is asked, many requests together, in a thread of its own.

    Groups take turns, and so do the requests of a group, item by item: a request of many texts does not hold up one
    of a single text.

    Args:
        run: (group, items) -> an answer each; called in the thread.
        queue: requests that may wait or be computed.
        timeout_s: until a request is given up.
        wait_s: how long a round waits for requests that are on their way.
        together: else items are computed one by one, so that what is long is dropped when its client has gone.
        seen: told of each round, on the event loop.
        failed: told of exceptions that are no client's fault, on the event loop.
    """

    def __init__(
        self,
        run: Run,
        *,
        queue: int,
        timeout_s: float,
        wait_s: float,
        together: bool = True,
        seen: Callable[[Round], None] = lambda made: None,
        failed: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._run, self._queue, self._timeout_s, self._wait_s = run, queue, timeout_s, wait_s
        self._together, self._seen, self._failed = together, seen, failed
        self._incoming: SimpleQueue[Ticket | None] = SimpleQueue()
        self._groups: OrderedDict[Group, deque[Ticket]] = OrderedDict()  # the thread's own
        self._ending = False  # likewise
        self._thread = Thread(target=self._work, name="bertsmith-worker", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_requests = 0  # of the last round
        self._speeds: dict[tuple[str, str], Speed] = {}  # of each lane; written by the thread
        self._pending: Counter[tuple[str, str]] = Counter()  # tokens
        self.waiting, self.draining = 0, False

    # On the event loop.

    def start(self) -> None:
        """Begin to compute, for the event loop that is running."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Compute what still waits, and end the thread."""
        self.draining = True
        self._incoming.put(None)
        while self._thread.is_alive():
            await asyncio.sleep(0.01)

    @property
    def alive(self) -> bool:
        """Whether the thread computes."""
        return self._thread.is_alive()

    def refuse_if_full(self) -> None:
        """Raises OverloadedError where one more request would wait too long, or in vain."""
        if self.draining:
            raise OverloadedError("the server is about to end", retry_after_s=1)
        wait_s = sum(cost / self._speeds[lane].rate for lane, cost in self._pending.items() if lane in self._speeds)
        if self.waiting >= self._queue or (self.waiting and wait_s > self._timeout_s / 2):
            raise OverloadedError(f"{self.waiting} requests wait already; come back later", retry_after_s=wait_s)

    async def ask(
        self, group: Group, items: Sequence[Any], costs: Sequence[int], gone: Callable[[], Coroutine[Any, Any, None]]
    ) -> list[Any]:
        """An answer to each item, or exceptions where it raised them, of which the first may be the last.

        Args:
            group: what they may be computed together with.
            items: one or more.
            costs: tokens of each, about.
            gone: returns when the client has gone.

        Raises:
            OverloadedError: too much waits already.
            DeadlineError: there was no answer in time.
            ClientGoneError: the client did not wait.
        """
        self.refuse_if_full()
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        ticket = Ticket(group, items, costs, time.monotonic() + self._timeout_s, future)
        cost = sum(costs)
        self.waiting += 1
        self._pending[group.lane] += cost
        leaving = asyncio.create_task(gone())
        self._incoming.put(ticket)
        try:
            watched: set[asyncio.Future[Any]] = {future, leaving}
            await asyncio.wait(watched, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if future.done():
                return future.result()
            if leaving.done():
                raise ClientGoneError("the client has gone")
            raise DeadlineError(f"not answered within {self._timeout_s:g} seconds; ask for less at once")
        finally:
            leaving.cancel()
            future.cancel()
            ticket.items = ()  # what was not computed yet never will be
            self.waiting -= 1
            self._pending[group.lane] -= cost

    def _deliver(self, made: Round, finished: list[Ticket], errors: list[BaseException]) -> None:
        for ticket in finished:
            if ticket.future.done():
                continue
            ticket.future.set_result([ticket.answers[index] for index in range(len(ticket.answers))])
        for error in errors:
            self._failed(error)
        self._seen(made)

    # In the thread.

    def _work(self) -> None:
        while True:
            self._take_in()
            if not self._groups:
                return
            group, picked = self._next_round()
            if picked:
                self._compute(group, picked)

    def _take_in(self) -> None:
        """Sort what has come into groups; where nothing waits, until something comes or the end does."""
        while not self._groups and not self._ending:
            self._sort(self._incoming.get())
        until = time.monotonic() + self._wait_s
        while True:
            # After a round of many, their clients are about to ask again: a round of the first of them wastes time.
            here = sum(map(len, self._groups.values()))
            wait = until - time.monotonic() if here < self._last_requests else 0
            try:
                self._sort(self._incoming.get(timeout=wait) if wait > 0 else self._incoming.get_nowait())
            except Empty:
                return

    def _sort(self, ticket: Ticket | None) -> None:
        if ticket is None:
            self._ending = True
        else:
            self._groups.setdefault(ticket.group, deque()).append(ticket)

    def _next_round(self) -> tuple[Group, list[tuple[Ticket, int, Any]]]:
        """The group whose turn it is, and (ticket, index, item) of it, within the budget or one."""
        group, tickets = self._groups.popitem(last=False)
        budget = self._budget(group)
        picked: list[tuple[Ticket, int, Any]] = []
        cost, now = 0, time.monotonic()
        while tickets and (cost < budget or not picked):
            ticket = tickets.popleft()
            items, index = ticket.items, ticket.next
            if not items or ticket.deadline < now:
                continue
            picked.append((ticket, index, items[index]))
            ticket.began, ticket.next = ticket.began or now, index + 1
            cost += ticket.costs[index]
            if ticket.next < len(items):
                tickets.append(ticket)
        if tickets:
            self._groups[group] = tickets
        return group, picked

    def _budget(self, group: Group) -> int:
        """Tokens of a round."""
        low, high = ROUND_TOKENS if self._together else (1, 1)
        speed = self._speeds.get(group.lane)
        return min(high, max(low, int(speed.rate * ROUND_S))) if speed else low

    def _compute(self, group: Group, picked: list[tuple[Ticket, int, Any]]) -> None:
        began = time.monotonic()
        errors: list[BaseException] = []
        with looking_up(partial(_drop_if_gone, [ticket for ticket, _, _ in picked])):
            answers = self._answers(group, [item for _, _, item in picked], errors)
        if all(isinstance(each, ClientGoneError) for each in answers):
            return
        cost, seconds = sum(ticket.costs[index] for ticket, index, _ in picked), time.monotonic() - began
        finished = []
        for (ticket, index, _), each in zip(picked, answers, strict=True):
            ticket.answers[index] = each
            if len(ticket.answers) == len(ticket.costs) or isinstance(each, BaseException):
                finished.append(ticket)
        self._speeds[group.lane] = self._speeds.get(group.lane, Speed()).after(cost, seconds)
        self._last_requests = len({id(ticket) for ticket, _, _ in picked})
        made = Round(group, self._last_requests, len(picked), cost, seconds)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._deliver, made, finished, errors)

    def _answers(self, group: Group, items: list[Any], errors: list[BaseException]) -> list[Any]:
        """An answer to each item, or the exception that it raises: one that cannot be read spoils no other's."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of long texts, whose answers count their windows
                return list(self._run(group, items))
        except Exception as error:
            if len(items) > 1:
                half = len(items) // 2
                return [*self._answers(group, items[:half], errors), *self._answers(group, items[half:], errors)]
            if not isinstance(error, BertsmithError | Refusal):
                errors.append(error)
            return [error]


def _drop_if_gone(tickets: Sequence[Ticket]) -> None:
    """Raises ClientGoneError where nobody waits any more for what is computed."""
    if not any(ticket.items for ticket in tickets):
        raise ClientGoneError("nobody waits for it any more")
