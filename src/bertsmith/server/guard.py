"""The door: keys, security headers, refusals, the log line of each request. Plain ASGI, because under overload most
requests go no further, and what computes must not wait for it."""

from __future__ import annotations

import hmac
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bertsmith.serve_config import ServeConfig
from bertsmith.server.logs import Log
from bertsmith.server.metrics import Metrics
from bertsmith.server.refusals import BadRequestError, OverloadedError, Refusal, UnauthorizedError
from bertsmith.server.worker import Worker

HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
OPEN_PATHS = ("/health", "/health/live", "/health/ready")
FAULT = "something went wrong here; it is in the log"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass
class Seen:
    """What is known of a request when it ends."""

    status: int = 0
    started: bool = False


class Way(NamedTuple):
    """The straight way to an operation: that through the framework takes as long as all else on the event loop.

    Attributes:
        operation: its name.
        worker: says whether there is room.
        app: answers.
    """

    operation: str
    worker: Worker
    app: ASGIApp


class Guard:
    """Stands before the application.

    Args:
        app: what answers where there is no straight way.
        config: keys, and where the server listens.
        ways: to what is posted, by path.
        page: paths that are no secret; what the page then asks for is.
        metrics, log: are told of every request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        config: ServeConfig,
        ways: Mapping[str, Way],
        page: Collection[str],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._app, self._ways, self._page, self._metrics, self._log = app, ways, page, metrics, log
        self._keys = [b"Bearer " + key.encode() for key in config.key]
        # Without a key, a page of another site that a browser here shows could ask under a name that leads here.
        own = config.is_loopback and not config.key and not config.no_key_needed
        self._hosts = (config.address, *LOCAL_HOSTS) if own else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, seen = time.perf_counter(), Seen()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status, seen.started = message["status"], True
                given = message.get("headers", [])
                own = {name.lower() for name, _ in given}  # the page has a policy of its own
                message["headers"] = [*given, *(each for each in HEADERS if each[0] not in own)]
            await send(message)

        try:
            self._check(scope)
            way = self._way(scope)
            await (way.app if way else self._app)(scope, receive, told)
        except Refusal as refusal:
            await _refuse(refusal, told)
        except Exception as error:
            self._log.error(error)
            seen.status = 500
            if not seen.started:
                await _refuse(Refusal(FAULT), told)
        finally:
            self._note(scope, seen.status, time.perf_counter() - began)

    def _check(self, scope: Scope) -> None:
        """Raises a Refusal where a request goes no further."""
        path = scope["path"]
        if path in OPEN_PATHS:
            return
        headers = dict(scope["headers"])
        if self._hosts and _host_name(headers.get(b"host", b"")) not in self._hosts:
            raise BadRequestError(f"this server answers under the names of loopback only: {self._hosts[0]}", status=421)
        if path in self._page:
            return
        given = headers.get(b"authorization", b"")
        # All are compared, each in a time that does not tell how much of it was right.
        if self._keys and not sum(hmac.compare_digest(given, key) for key in self._keys):
            raise UnauthorizedError
        if way := self._way(scope):
            way.worker.refuse_if_full()

    def _way(self, scope: Scope) -> Way | None:
        return self._ways.get(scope["path"]) if scope["method"] == "POST" else None

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"]
        operation = self._ways[path].operation if path in self._ways else "other"
        self._metrics.answered(operation, status, seconds)
        if status == OverloadedError.status:
            self._log.refused()
        elif operation != "other" or status >= 400:
            # Other paths are the client's words.
            shown = path if operation != "other" else None
            self._log.event("request", path=shown, status=status, ms=round(seconds * 1000, 1))


def _host_name(host: bytes) -> str:
    name = host.decode("latin-1").lower()
    return name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = refusal.body
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refusal.headers}
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
