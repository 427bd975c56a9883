"""HTTP without sockets: a handler of `httpx.MockTransport` in the place of a network's transport."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeAlias

import httpx

from sonda.pipeline.net.http1 import HttpRequest, HttpTransport
from sonda.pipeline.net.http1_response import Answer
from sonda.pipeline.net.pool import ConnectionPool
from sonda.pipeline.net.resolve import Resolver

Handler: TypeAlias = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class MockHttp(HttpTransport):
    """Hands each request to a handler, and reads what it returns as if it had come by a socket."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(ConnectionPool(Resolver(None)))
        self._handler = handler

    async def exchange(self, request: HttpRequest) -> Answer:
        """Return the handler's answer."""
        body = request.body()
        line, *fields = request.resource.head.decode().removesuffix("\r\n").split("\r\n")
        method, target, _ = line.split(" ")
        split = (field.partition(": ") for field in fields)
        headers = httpx.Headers([(name, value) for name, _, value in split])
        asked = httpx.Request(
            method, f"http://{headers['host']}{target}", headers=headers, content=body
        )
        reply = self._handler(asked)
        if isawaitable(reply):
            reply = await reply
        head = [f"HTTP/1.1 {reply.status_code} {reply.reason_phrase}"]
        head += [f"{name}: {value}" for name, value in reply.headers.items()]
        head += (
            [] if "content-length" in reply.headers else [f"Content-Length: {len(reply.content)}"]
        )
        answer = Answer(request.answer_bytes)
        answer.feed("\r\n".join([*head, "\r\n"]).encode() + reply.content)
        return answer
