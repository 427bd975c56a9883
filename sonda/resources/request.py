"""What a request says beside its event: who sends it, headers, query parameters, the body's bytes.

What is read out of a text alone is memoized: the requests of one client say the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import parse_qsl

import falcon
import falcon.asgi
from msgspec import Struct

from sonda.http_answers import Form
from sonda.pipeline.policy.callers import ANYBODY, ApiKey, Caller, caller_of
from sonda.pipeline.schemas.issues import unknown_variant
from sonda.rejections import (
    CutShort,
    InvalidKey,
    InvalidParameter,
    PayloadTooLarge,
    RequestTimeout,
    Unauthorized,
    UnknownParameters,
    UnsupportedMediaType,
)
from sonda.resources.errors import RequestRejected
from sonda.resources.idempotency import parse_key
from sonda.resources.ndjson import NDJSON

Message: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
BODY: Final = "sonda.body"
"""Where a request's scope keeps its `Body`."""
BODY_IS_WHOLE: Final = "sonda.body_is_whole"
"""What a server puts into a request's scope once no more of its body is to come."""
HEAD_FACTS: Final = "sonda.head_facts"
"""Where a request's scope keeps its `HeadFacts`, if its server tells equal heads."""
DRY_RUN: Final = "dry_run"
RECEIPT: Final = "receipt"
_BOOLEANS: Final = {"true": True, "1": True, "": True, "false": False, "0": False}
_MEMOIZED: Final = 32  # texts, each of which may be as long as a head: 2 MiB at most


class EventHead(Struct, frozen=True):
    """What the head of a request that holds events says, once it has passed all checks.

    One that is *plain* holds one event, to be delivered, and has no `Idempotency-Key`.
    """

    media_type: str
    key: str | None
    wanted: Mapping[str, bool]
    form: Form
    is_plain: bool


class HeadFacts(Struct, eq=False):
    """What has been read out of a head, for all requests of a connection whose heads are equal.

    Only the value of their `Content-Length` may differ, in digits of the same number. *given_id* is
    the caller's own id; *host_passes* is true once `Host` has passed its check; *request* is how the
    log shows client, method, target and version.
    """

    given_id: str = ""
    host_passes: bool = False
    request: tuple[str, str, str, str] | None = None
    event: EventHead | None = None


# Who sends it (RFC 6750)


class _WithKeys(Protocol):
    @property
    def keys(self) -> Sequence[ApiKey]: ...


class Configured(Protocol):
    """What has the configuration that is in force."""

    @property
    def current(self) -> _WithKeys: ...


class BearerAuth:
    """Lets requests pass that carry a key of the configuration; where it has none, lets all pass."""

    def __init__(self, config: Configured) -> None:
        self._config = config

    def check(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls; raise `RequestRejected` with `Unauthorized` unless the request has a key."""
        keys = self._config.current.keys
        if not keys:
            return ANYBODY
        scheme, _, given = (req.get_header("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip(" "):
            raise RequestRejected(Unauthorized("missing or malformed Authorization header"))
        caller = caller_of(keys, given.strip(" ").encode("latin-1"))
        if caller is None:
            raise RequestRejected(Unauthorized("invalid API key"))
        return caller


# Headers


def event_headers(req: falcon.asgi.Request) -> tuple[str, str | None]:
    """Return the body's media type, JSON or lines of it, and the request's `Idempotency-Key`.

    Raise `RequestRejected` for every other media type, since no other origin's page can announce these
    without a preflight, for a body with a coding, and for a key that is none, or several.
    """
    media_type = _media_type(req.content_type or "")
    if media_type not in (falcon.MEDIA_JSON, NDJSON):
        raise RequestRejected(
            UnsupportedMediaType(
                f"send the event as Content-Type: {falcon.MEDIA_JSON}, or many as {NDJSON}"
            )
        )
    if req.get_header("Content-Encoding") is not None:
        raise RequestRejected(
            UnsupportedMediaType("send the body as it is, without Content-Encoding")
        )
    header = req.get_header("Idempotency-Key")
    if header is None:
        return media_type, None
    key = parse_key(header)
    names = [name for name, _ in req.scope["headers"]]
    if key is None or names.count(b"idempotency-key") > 1:  # Falcon keeps the last one alone
        raise RequestRejected(InvalidKey())
    return media_type, key


@lru_cache(_MEMOIZED)
def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


# Query parameters


def query_values(
    query: str, *allowed: str
) -> Mapping[str, str] | UnknownParameters | InvalidParameter:
    """Return the query's parameters as they stand in it, or that one is unknown or there twice."""
    pairs = parse_qsl(query, keep_blank_values=True) if query else []
    if unknown := tuple(name for name, _ in pairs if name not in allowed):
        return UnknownParameters(unknown)
    values: dict[str, str] = {}
    for name, text in pairs:
        if name in values:
            return InvalidParameter(name, "is given more than once")
        values[name] = text
    return values


def truth_of(name: str, text: str) -> bool | InvalidParameter:
    """Return what a parameter that is true or false says."""
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    return InvalidParameter(name, unknown_variant(text, ("true", "false")))


@lru_cache(_MEMOIZED)
def parameters(
    query: str, *allowed: str
) -> Mapping[str, bool] | UnknownParameters | InvalidParameter:
    """Return the values of the *allowed* parameters, or what is wrong with any of the query's."""
    given = query_values(query, *allowed)
    if isinstance(given, UnknownParameters | InvalidParameter):
        return given
    values: dict[str, bool] = dict.fromkeys(allowed, False)
    for name, text in given.items():
        value = truth_of(name, text)
        if isinstance(value, InvalidParameter):
            return value
        values[name] = value
    return values


# The body


class Body(Struct, eq=False):
    """The body of a request that has not been read; *started_s* is the event loop's time.

    One that *is_whole* has arrived, and needs no timer.
    """

    receive: Receive
    started_s: float
    is_whole: bool = False
    chunks: list[bytes] = []
    size_bytes: int = 0

    async def read(
        self,
        announced: str | None,
        limit_bytes: int,
        timeout_s: float,
        flag: str = "--max-body-bytes",
    ) -> bytes:
        """Return the whole body, *timeout_s* after the start of its request at the latest.

        *announced* is its `Content-Length`: a server lets only digits through, 64 bits' worth. Any
        number of zeros may stand in front, but `int` takes no more than 4,300 digits. Raise
        `RequestRejected` for a body that is over *limit_bytes*, has not its announced length, ends with a
        disconnect, or does not arrive in time.
        """
        length = int(announced.lstrip("0") or "0") if announced else None
        if length is not None and length > limit_bytes:
            raise RequestRejected(PayloadTooLarge(limit_bytes, flag))
        if self.is_whole:
            message = await self.receive()  # nearly always all of it
            if message["type"] == "http.disconnect":
                raise RequestRejected(CutShort())
            raw: bytes = message.get("body", b"")
            if len(raw) > limit_bytes:
                raise RequestRejected(PayloadTooLarge(limit_bytes, flag))
            if message.get("more_body", False):
                self.chunks, self.size_bytes = [raw], len(raw)
                await self._collect(limit_bytes, flag)
                raw = b"".join(self.chunks)
                self.chunks.clear()
        else:
            raw = await self._arrive(limit_bytes, timeout_s, flag)
        if length is not None and len(raw) != length:
            raise RequestRejected(CutShort())
        return raw

    async def _arrive(self, limit_bytes: int, timeout_s: float, flag: str) -> bytes:
        """Return a body that may still be arriving."""
        try:
            async with asyncio.timeout_at(self.started_s + timeout_s):
                await self._collect(limit_bytes, flag)
        except TimeoutError:
            await self._collect_what_is_there(limit_bytes, timeout_s, flag)
        raw = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        return raw

    async def _collect_what_is_there(self, limit_bytes: int, timeout_s: float, flag: str) -> None:
        """Take what arrived in the very turn of the loop in which the time was up."""
        try:
            async with asyncio.timeout(0):
                await self._collect(limit_bytes, flag)
        except TimeoutError:
            raise RequestRejected(RequestTimeout(timeout_s)) from None

    async def _collect(self, limit_bytes: int, flag: str) -> None:
        """Receive until the end; Falcon's stream would take a disconnect for it."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise RequestRejected(CutShort())
            if chunk := message.get("body", b""):
                self.chunks.append(chunk)
                self.size_bytes += len(chunk)
            if self.size_bytes > limit_bytes:
                raise RequestRejected(PayloadTooLarge(limit_bytes, flag))
            more = message.get("more_body", False)
