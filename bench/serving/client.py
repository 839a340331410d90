"""Clients over plain sockets: as many as are told ask one thing after the other, or all at a given rate.

Every answer is compared with that of its own request.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Question:
    """A request, and the first numbers of its answer."""

    path: str
    body: bytes
    expected: tuple[float, ...]

    def is_answered_by(self, answer: dict[str, Any]) -> bool:
        """Whether these are its own numbers."""
        if "embeddings" in answer:
            numbers = answer["embeddings"][0]
        else:
            probabilities = answer["predictions"][0]["probabilities"]
            numbers = [probabilities[label] for label in sorted(probabilities)]
        pairs = zip(self.expected, numbers, strict=False)
        return len(numbers) > 0 and all(abs(one - other) < TOLERANCE for one, other in pairs)


@dataclass
class Tally:
    """What clients got."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0

    @property
    def lost(self) -> int:
        """Requests without any answer."""
        return sum(self.losses.values())

    @property
    def goodput(self) -> float:
        """Right answers a second."""
        return (self.statuses[200] - self.wrong) / self.wall_s

    def percentile(self, share: float) -> float:
        """Seconds within which such a share of the answers came."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Connection:
    """One that is kept open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: Question, tally: Tally) -> None:
        """Ask, and note what comes."""
        began = time.perf_counter()
        try:
            status, answer = await self._exchange(question)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            tally.losses[type(error).__name__] += 1
            self._streams = None
            return
        tally.statuses[status] += 1
        if status == 200:
            tally.seconds.append(time.perf_counter() - began)
            tally.wrong += not question.is_answered_by(json.loads(answer))

    async def _exchange(self, question: Question) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = (
            f"POST {question.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(question.body)}\r\n\r\n"
        )
        writer.write(head.encode() + question.body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        answer = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            writer.close()
            self._streams = None
        return int(lines[0].split()[1]), answer


async def closed_load(port: int, questions: Sequence[Question], *, clients: int, seconds: float) -> Tally:
    """So many clients, each of which asks again as soon as it is answered."""
    tally, began, coming = Tally(), time.perf_counter(), iter(range(1 << 40))

    async def client() -> None:
        connection = Connection(port)
        while time.perf_counter() - began < seconds:
            await connection.ask(questions[next(coming) % len(questions)], tally)

    await asyncio.gather(*(client() for _ in range(clients)))
    tally.wall_s = time.perf_counter() - began
    return tally


async def open_load(port: int, questions: Sequence[Question], *, rate: float, seconds: float) -> Tally:
    """So many requests a second, whether or not those before are answered; connections are used again."""
    tally, began, idle = Tally(), time.perf_counter(), [Connection(port)]

    async def one(question: Question) -> None:
        connection = idle.pop() if idle else Connection(port)
        await connection.ask(question, tally)
        idle.append(connection)

    tasks = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(one(questions[number % len(questions)])))
    await asyncio.gather(*tasks)
    tally.wall_s = time.perf_counter() - began
    return tally
