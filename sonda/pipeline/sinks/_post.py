"""What the sinks that post over HTTP share: the request, the tries, and the verdict on an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Final

import httpx
from returns.result import Failure, Result, Success

from sonda.about import version
from sonda.pipeline.addresses import basic_auth
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Acknowledged, Confirmed, Pending
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.quoting import QUOTED_CHARACTERS, excerpt, hide_userinfo
from sonda.pipeline.transport import Transport
from sonda.pipeline.transport.streams import Secure
from sonda.pipeline.transport.tls import Tls
from sonda.pipeline.transport.tries import Retry, Setback, deliver_in_tries

_TOO_MANY_REQUESTS: Final = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One event's request; *target* is how the client wrote the destination.

    *headers* are the user's, *defaults* stand where the user has none of that name.
    """

    target: str
    url: httpx.URL
    defaults: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    time_ns: int
    is_yes: Callable[[int], bool]


async def start(
    post: Post, tls: Tls | None, retry: Retry | None, transport: Transport, deadline: Deadline
) -> Result[Pending, Problem]:
    """Get ready to post; what comes back posts until the deadline and gives the verdict.

    Fails with `Forbidden` or `Unreachable` for the TLS files.
    """
    secure: Result[Secure | None, Problem] = Success(None)
    if post.url.scheme == "https":
        name = (tls and tls.server_name) or post.url.raw_host.decode("ascii")
        context = await transport.tls.load(tls)
        secure = context.map(lambda loaded: Secure(loaded, name.rstrip(".")))

    def pending(ready: Secure | None) -> Pending:
        extensions = {"deadline": deadline, "secure": ready}
        attempt = partial(_attempt, post, transport.http, extensions)
        return partial(deliver_in_tries, attempt, retry, deadline)

    return secure.map(pending)


async def _attempt(
    post: Post, http: httpx.AsyncBaseTransport, extensions: Mapping[str, object]
) -> Result[Acknowledged, Setback]:
    request = httpx.Request(
        "POST", post.url, headers=_headers(post), content=post.body, extensions=dict(extensions)
    )
    target = hide_userinfo(post.target)
    try:
        reply = await http.handle_async_request(request)
        answer = await reply.aread()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
        where = f"HTTP connect to {post.url.netloc.decode('ascii')}"
        return Failure(Setback(Unreachable(where, str(exc)), may_pass=True))
    except httpx.TimeoutException:
        reason = f"within {extensions['deadline']}"
        return Failure(Setback(OutcomeUnknown(target, reason, post.time_ns)))
    except httpx.TransportError as exc:
        cause = excerpt(str(exc), QUOTED_CHARACTERS)  # may quote what the destination sent
        unknown = OutcomeUnknown(target, f"({cause})", post.time_ns)
        return Failure(Setback(unknown, may_pass=True))
    return _judge(post, target, reply, answer)


def _headers(post: Post) -> list[tuple[bytes, bytes]]:
    """Put the headers together; values go out as UTF-8."""
    given = {name.lower() for name in post.headers}
    defaults = {
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": f"sonda/{version()}",
        **post.defaults,
    }
    if (login := basic_auth(post.url)) is not None:
        defaults["Authorization"] = login
    pairs = [(name, value) for name, value in defaults.items() if name.lower() not in given]
    return [(name.encode(), value.encode()) for name, value in (*pairs, *post.headers.items())]


def _judge(
    post: Post, target: str, reply: httpx.Response, answer: bytes
) -> Result[Acknowledged, Setback]:
    status = reply.status_code
    if post.is_yes(status):
        return Success(Acknowledged(Confirmed.ACCEPTED, status=status))
    refused = Refused(target, f"{status} {_phrase(reply)}".rstrip(), excerpt(answer))
    may_pass = status == _TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Failure(Setback(refused, may_pass, _retry_after_s(reply)))


def _phrase(reply: httpx.Response) -> str:
    """The destination's own reason phrase, else the standard one."""
    own: bytes = reply.extensions.get("reason_phrase", b"")
    return excerpt(own, QUOTED_CHARACTERS) or httpx.codes.get_reason_phrase(reply.status_code)


def _retry_after_s(reply: httpx.Response) -> float | None:
    """Read `Retry-After`, seconds or a date; spec: RFC 9110, section 10.2.3."""
    text = reply.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        due = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter: a year of more digits than C can count
        return None
    now = datetime.now(UTC)
    return max(0.0, (due.replace(tzinfo=due.tzinfo or UTC) - now).total_seconds())
