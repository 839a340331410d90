"""What a request is refused for: raised anywhere, answered in one shape.

Refusal
├── BadRequestError   400, 415, 422: the body is not what the operation takes
├── NotFoundError     404: no such path, no such model
├── TooLargeError     413: more bytes than are read
├── OverloadedError   503: too much waits already; Retry-After says when to come back
├── DeadlineError     504: not answered in time
└── ClientGoneError   nobody is there to be answered; for the log alone
"""

from __future__ import annotations

import json
import math
from typing import ClassVar


class Refusal(Exception):
    """A request that is not answered.

    Args:
        message: for the client: what was found, and what would do.
        field: of the body that it is about.
        status: of HTTP, where it is not the kind's own.
    """

    status: int = 500
    kind: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, field: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.message, self.field = message, field
        self.status = status or self.status
        self.headers: dict[str, str] = {}

    @property
    def body(self) -> bytes:
        """JSON, as the schema `Problem` says."""
        return json.dumps({"error": {"type": self.kind, "message": self.message, "field": self.field}}).encode()


class BadRequestError(Refusal):
    """The body is not what the operation takes."""

    status, kind = 422, "invalid_request"


class UnauthorizedError(Refusal):
    """No key, or a wrong one."""

    status, kind = 401, "unauthorized"

    def __init__(self) -> None:
        super().__init__("a key is needed: send it as Authorization: Bearer KEY")
        self.headers["WWW-Authenticate"] = "Bearer"


class NotFoundError(Refusal):
    """No such path, or no such model."""

    status, kind = 404, "not_found"


class TooLargeError(Refusal):
    """The body has more bytes than are read."""

    status, kind = 413, "too_large"


class OverloadedError(Refusal):
    """Too much waits already, or the server is about to end."""

    status, kind = 503, "overloaded"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))


class DeadlineError(Refusal):
    """The request was not answered in time."""

    status, kind = 504, "timeout"


class ClientGoneError(Refusal):
    """The client did not wait for its answer."""

    status, kind = 499, "client_gone"
