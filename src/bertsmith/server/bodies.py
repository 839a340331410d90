"""Bytes from a client -> a checked body; an answer -> bytes. What is large is done off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from bertsmith.server.refusals import BadRequestError, ClientGoneError, OverloadedError, Refusal, TooLargeError
from bertsmith.server.schemas import Limits

Made = TypeVar("Made")
SomeBody = TypeVar("SomeBody", bound=BaseModel)

READ_S = 30.0  # until a body has come whole
SMALL_BYTES = 32 << 10  # that are parsed or written on the loop, in less time than another thread takes to wake up
MOST_READING_BYTES = 256 << 20  # of all bodies that are on their way


class BodyReader:
    """Reads bodies, of which no more than is allowed is ever held.

    Args:
        limits: what a body may hold.
        most_bytes: of one body.
    """

    def __init__(self, limits: Limits, most_bytes: int) -> None:
        self._limits, self._most_bytes, self._reading = limits, most_bytes, 0

    async def read(self, request: Request, schema: type[SomeBody]) -> SomeBody:
        """The body of a request, checked.

        Raises:
            TooLargeError: more bytes than are read.
            BadRequestError: no JSON, or it is not what the schema says; the field is named.
            ClientGoneError: the client left.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise BadRequestError("the body is JSON: send Content-Type: application/json", status=415)
        data = await self._bytes(request)
        return await off_loop(lambda: parse(data, schema, self._limits), size=len(data))

    async def _bytes(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > self._most_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        held = 0
        try:
            async with asyncio.timeout(READ_S):
                async for part in request.stream():
                    parts.append(part)
                    held, self._reading = held + len(part), self._reading + len(part)
                    if held > self._most_bytes:
                        raise self._too_large()
                    if self._reading > MOST_READING_BYTES:
                        raise OverloadedError("too many large bodies are on their way", retry_after_s=1)
        except TimeoutError:
            raise BadRequestError(f"the body did not come within {READ_S:g} seconds", status=408) from None
        except ClientDisconnect:
            raise ClientGoneError("the client left before its body was whole") from None
        finally:
            self._reading -= held
        return b"".join(parts)

    def _too_large(self) -> Refusal:
        return TooLargeError(f"the body has more than {self._most_bytes:,} bytes, which is all that is read")


def parse(data: bytes, schema: type[SomeBody], limits: Limits) -> SomeBody:
    """Check a body; raises BadRequestError, which names the first field that is wrong."""
    try:
        return schema.model_validate_json(data, context=limits)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    fault = faults[0]
    field = _place(fault["loc"])
    if fault["type"] == "json_invalid":
        raise BadRequestError(fault["msg"], status=400)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    raise BadRequestError(f"{field or 'body'}: {fault['msg']}{more}", field=field or None)


def _place(parts: tuple[int | str, ...]) -> str:
    """texts[3], of ("texts", 3); names that pydantic gives to the branches of a union are left out."""
    kept = [str(part)[:50] for part in parts if not (isinstance(part, str) and any(mark in part for mark in "[(-"))]
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in kept).lstrip(".")


async def off_loop(work: Callable[[], Made], *, size: int) -> Made:
    """What `work` returns; by another thread where it is about many bytes."""
    if size <= SMALL_BYTES:
        return work()
    return await asyncio.to_thread(work)


def to_json(answer: BaseModel) -> bytes:
    """An answer as bytes."""
    return answer.__pydantic_serializer__.to_json(answer)
