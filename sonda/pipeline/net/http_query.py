"""One GET request over the kept connections: the status, and the content with its coding undone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import httpx
from returns.result import Failure, Result, Success

from sonda.about import version
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.delivery import Attempt
from sonda.pipeline.net import Network
from sonda.pipeline.net.connection import TlsParameters
from sonda.pipeline.net.http1 import HttpRequest
from sonda.pipeline.net.http_content import decode
from sonda.pipeline.net.resolve import DestinationNotAllowed
from sonda.pipeline.net.sockets import reason
from sonda.pipeline.net.tls import Tls
from sonda.pipeline.values.addresses import address_of, basic_auth

ANSWER_BYTES: Final = 1 << 20


class Answered(NamedTuple):
    """An answer that came whole."""

    status: int
    content: bytes


async def get(
    url: httpx.URL,
    headers: Mapping[str, str],
    *,
    sink: str,
    tls: Tls | None,
    network: Network,
    deadline: Deadline,
) -> Result[Answered, str]:
    """Send a GET request for a kind of *sink*; fail with the reason why there is no answer."""
    permitted = network.resolver.permit(sink, address_of(url))
    if not isinstance(permitted, Success):
        return Failure(str(permitted.failure()))
    secure: TlsParameters | None = None
    if url.scheme == "https":
        context = await network.tls.load(tls)
        if not isinstance(context, Success):
            return Failure(str(context.failure()))
        name = (tls and tls.server_name) or url.raw_host.decode("ascii")
        secure = TlsParameters(context.unwrap(), name.rstrip("."))
    resource = network.http.resource(sink, "GET", url, _headers(url, headers), secure)
    request = HttpRequest(resource, bytes, Attempt(), deadline, bool, ANSWER_BYTES)
    try:
        answer = await network.http.exchange(request)
    except DestinationNotAllowed as exc:
        return Failure(str(exc.problem))
    except OSError as exc:
        return Failure(reason(exc, deadline))
    content = decode(bytes(answer.body), httpx.Headers(answer.headers), ANSWER_BYTES)
    if content is None or not content.whole or not answer.whole:
        return Failure(f"an answer that is torn or longer than {ANSWER_BYTES} bytes")
    return Success(Answered(answer.status, content.body))


def _headers(url: httpx.URL, headers: Mapping[str, str]) -> httpx.Headers:
    host = url.netloc.decode("ascii")
    ours = {"Host": host, "Accept-Encoding": "identity", "User-Agent": f"sonda/{version()}"}
    if (login := basic_auth(url)) is not None:
        ours["Authorization"] = login
    given = {name.lower() for name in headers}
    missing = {name: value for name, value in ours.items() if name.lower() not in given}
    pairs = {**missing, **headers}.items()
    return httpx.Headers([(name.encode(), value.encode()) for name, value in pairs])
