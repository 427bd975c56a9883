"""Reading a request's body: whole, in time, and within its limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import falcon.asgi

from sonda.rejections import CutShort, PayloadTooLarge, RequestTimeout
from sonda.resources.errors import Rejected

Message: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
BODY: Final = "sonda.body"


class Body:
    """The body of a request that has not been read; *started_s* is the event loop's time."""

    def __init__(self, receive: Receive, started_s: float) -> None:
        self._receive = receive
        self._chunks: list[bytes] = []
        self._size_bytes = 0
        self.started_s = started_s

    @staticmethod
    def of(req: falcon.asgi.Request) -> Body:
        """Return the body that came with Falcon's request."""
        body: Body = req.scope[BODY]
        return body

    async def read(
        self,
        length: int | None,
        limit_bytes: int,
        timeout_s: float,
        flag: str = "--max-body-bytes",
    ) -> bytes:
        """Return the whole body, *timeout_s* after the start of its request at the latest.

        Raise `Rejected` for one that is over *limit_bytes*, has not its announced *length*, ends
        with a disconnect, or does not arrive in time.
        """
        if length is not None and length > limit_bytes:
            raise Rejected(PayloadTooLarge(limit_bytes, flag))
        try:
            async with asyncio.timeout_at(self.started_s + timeout_s):
                await self._collect(limit_bytes, flag)
        except TimeoutError:
            await self._collect_what_is_there(limit_bytes, timeout_s, flag)
        raw = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if length is not None and len(raw) != length:
            raise Rejected(CutShort())
        return raw

    async def _collect_what_is_there(self, limit_bytes: int, timeout_s: float, flag: str) -> None:
        """Take what arrived in the very turn of the loop in which the time was up."""
        try:
            async with asyncio.timeout(0):
                await self._collect(limit_bytes, flag)
        except TimeoutError:
            raise Rejected(RequestTimeout(timeout_s)) from None

    async def _collect(self, limit_bytes: int, flag: str) -> None:
        """Receive until the end; Falcon's stream would take a disconnect for it."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Rejected(CutShort())
            if chunk := message.get("body", b""):
                self._chunks.append(chunk)
                self._size_bytes += len(chunk)
            if self._size_bytes > limit_bytes:
                raise Rejected(PayloadTooLarge(limit_bytes, flag))
            more = message.get("more_body", False)


def content_length(req: falcon.asgi.Request) -> int | None:
    """Return the announced length; a server lets only digits through, 64 bits' worth.

    Any number of zeros may stand in front, but `int` takes no more than 4,300 digits.
    """
    announced = req.get_header("Content-Length")
    return int(announced.lstrip("0") or "0") if announced else None
