"""Requests to a running server, over connections of which it is known what has left."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx
from msgspec import Struct

from sonda.about import version
from sonda.cli.server_access import bearer
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Attempt
from sonda.pipeline.net import Network
from sonda.pipeline.net.connection import TlsParameters
from sonda.pipeline.net.http1 import HttpRequest, Resource
from sonda.pipeline.net.http_content import decode, media_type
from sonda.pipeline.net.pool import CONNECTIONS_PER_DESTINATION
from sonda.pipeline.net.sockets import words
from sonda.pipeline.values.addresses import parse_http_url

if TYPE_CHECKING:
    from ssl import SSLContext

    from sonda.pipeline.net.proxies import Proxies

CONNECT_S: Final = 10.0
ANSWER_S: Final = 120.0  # longer than a server's --request-timeout mostly is
_ANSWER_BYTES: Final = 1 << 28  # previews of a thousand large events
_NEVER: Final = Deadline(inf, inf)


class Connection(Struct, frozen=True):
    """A server, and how to reach it; *trusted* is needed for `https://` alone."""

    url: str
    api_key: str = ""
    trusted: SSLContext | None = None
    proxies: Proxies | None = None

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"


class Answered(NamedTuple):
    """A server's answer."""

    status: int
    body: bytes
    media_type: str

    def document(self) -> Any:
        """Return the JSON of the body, `None` where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class NoAnswer(Exception):  # noqa: N818  # the outcome of a request that may have been worked
    """There is no answer; its text is the reason. *was_sent* is whether any byte has left."""

    def __init__(self, reason: str, *, was_sent: bool, is_late: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent
        self.is_late = is_late


class ServerClient:
    """Posts to one path of a server; used within a running event loop, and closed there."""

    def __init__(self, connection: Connection, target: str) -> None:
        self._network = Network(proxies=connection.proxies)
        self._places = asyncio.Semaphore(CONNECTIONS_PER_DESTINATION)
        self._resource = _resource(connection, target, self._network)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._network.aclose()

    async def post(self, body: bytes, headers: dict[str, str]) -> Answered:
        """Post *body* with *headers* beside the usual ones, and return the answer, read whole.

        Raise `NoAnswer` where none comes within `ANSWER_S` of a connection, which is to be made
        within `CONNECT_S`.
        """
        attempt = Attempt()
        loop = asyncio.get_running_loop()
        fields = "".join(f"{name}: {text}\r\n" for name, text in headers.items()).encode()
        resource = Resource(self._resource.key, self._resource.head + fields)
        try:
            async with self._places, asyncio.timeout(CONNECT_S) as limit:

                def connected() -> bytes:
                    limit.reschedule(loop.time() + ANSWER_S)
                    return body

                answer = await self._network.http.exchange(
                    HttpRequest(resource, connected, attempt, _NEVER, _is_yes, _ANSWER_BYTES)
                )
        except TimeoutError as exc:
            span_s = ANSWER_S if attempt.connected else CONNECT_S
            reason = words(exc) if exc.errno else f"not within {span_s:g} s"
            raise NoAnswer(reason, was_sent=attempt.has_left, is_late=True) from None
        except OSError as exc:
            raise NoAnswer(words(exc), was_sent=attempt.has_left, is_late=False) from None
        fields_of_answer = httpx.Headers(answer.headers)
        received = bytes(answer.body)
        content = decode(received, fields_of_answer, _ANSWER_BYTES)
        return Answered(
            answer.status,
            received if content is None else content.body,
            media_type(fields_of_answer),
        )


def _resource(connection: Connection, target: str, network: Network) -> Resource:
    url = parse_http_url(f"{connection.url.rstrip('/')}{target}")
    headers = {
        "Host": url.netloc.decode("ascii"),
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": f"sonda/{version()}",
        **bearer(connection.api_key),
    }
    secure = None
    if connection.trusted is not None and url.scheme == "https":
        secure = TlsParameters(connection.trusted, url.raw_host.decode("ascii").rstrip("."))
    raw = httpx.Headers([(name.encode(), text.encode()) for name, text in headers.items()])
    return network.http.resource("server", "POST", url, raw, secure)


def _is_yes(status: int) -> bool:
    return status < HTTPStatus.BAD_REQUEST
