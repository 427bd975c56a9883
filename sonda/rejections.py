"""Why the HTTP shell turns a request away, as data; the pipeline's own failures are `problems`.

`str(rejection)` is the contract's `detail`. None of these requests reached the pipeline, but for
`CutOff` and `Bug`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from sonda.pipeline.text.escape import cut, escape, quote

_QUOTED_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True)
class Busy:
    """As many requests are in flight as the operator allows; this one was not looked at."""

    limit: int

    def __str__(self) -> str:
        return f"{self.limit} requests are in flight (--max-inflight-requests): try again"


@dataclass(frozen=True, slots=True)
class BusyBytes:
    """The bodies of the requests in flight have as many bytes as the operator allows."""

    limit_bytes: int

    def __str__(self) -> str:
        return (
            f"requests of {self.limit_bytes} bytes are in flight (--max-inflight-bytes): try again"
        )


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """The server stopped before the body had arrived; nothing was sent."""

    def __str__(self) -> str:
        return "the server is shutting down, and the body had not arrived: try again"


@dataclass(frozen=True, slots=True)
class NotReady:
    """Somebody asks whether the server takes events, and it does not."""

    def __str__(self) -> str:
        return "the server is shutting down, or has not started yet: send to another"


@dataclass(frozen=True, slots=True)
class CutOff:
    """The server stopped while the event was on its way; the destination may have kept it."""

    def __str__(self) -> str:
        return (
            "sink error: no acknowledgement before the server shut down; "
            "the event may or may not have been delivered"
        )


@dataclass(frozen=True, slots=True)
class NotFound:
    """There is nothing at this path."""

    path: str

    def __str__(self) -> str:
        return (
            f"there is no {_shown(self.path)}: this server has POST /events, "
            "GET and POST /scenarios, GET /destinations, GET /health, GET /ready, GET /metrics, "
            "GET /openapi.json and GET /docs"
        )


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """There is something at this path, but not for this method."""

    method: str
    path: str
    allowed: str

    def __str__(self) -> str:
        return f"{_shown(self.method)} is not allowed on {_shown(self.path)}: use {self.allowed}"


@dataclass(frozen=True, slots=True)
class ForbiddenHost:
    """The `Host` is neither loopback nor allowed: a web page may be behind the request."""

    host: str

    def __str__(self) -> str:
        return (
            f"Host {quote(self.host, _QUOTED_CHARACTERS)} is no loopback name, and this server asks "
            "for no key; sonda-server --allow-host NAME would allow it"
        )


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """A key is configured, and the request does not carry it."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class UnsupportedMediaType:
    """The body is not announced as plain JSON."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class PayloadTooLarge:
    """The body, or a line of it, is longer than the operator allows with *flag*."""

    limit_bytes: int
    flag: str = "--max-body-bytes"

    def __str__(self) -> str:
        return f"the body is over {self.limit_bytes} bytes ({self.flag})"


@dataclass(frozen=True, slots=True)
class TooManyEvents:
    """The body has more lines than the operator allows; nothing was sent."""

    limit: int

    def __str__(self) -> str:
        return f"the body has more than {self.limit} events (--max-batch-events)"


@dataclass(frozen=True, slots=True)
class InvalidKey:
    """The header `Idempotency-Key` is none."""

    def __str__(self) -> str:
        return (
            "Idempotency-Key must be 1 to 255 characters of printable ASCII, bare or as a quoted "
            "string"
        )


@dataclass(frozen=True, slots=True)
class KeyMismatch:
    """The `Idempotency-Key` belongs to another request; nothing was sent."""

    def __str__(self) -> str:
        return (
            "this Idempotency-Key was used with another body, media type or query: a key stands for "
            "one request"
        )


@dataclass(frozen=True, slots=True)
class KeyUnstorable:
    """The `Idempotency-Key` cannot be kept; nothing was sent."""

    reason: str

    def __str__(self) -> str:
        return f"the Idempotency-Key cannot be kept: {self.reason} (--state-dir names the folder)"


@dataclass(frozen=True, slots=True)
class RequestTimeout:
    """The body did not arrive in time."""

    after_s: float

    def __str__(self) -> str:
        return f"the body did not arrive within {self.after_s:g}s (--request-timeout)"


@dataclass(frozen=True, slots=True)
class CutShort:
    """The body ended before its length or its last chunk; what had arrived was not parsed."""

    def __str__(self) -> str:
        return "the body is cut short, or is not framed as its headers say"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another request stands in the way; nothing was sent for this one.

    *passes* is whether the same request may succeed a little later.
    """

    reason: str
    passes: bool = False

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class TooManyRequests:
    """A limit on scenarios is reached; nothing was started."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class UnknownParameters:
    """The query has parameters that mean nothing here."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(f"unknown query parameter '{_shown(name)}'" for name in self.names)


@dataclass(frozen=True, slots=True)
class InvalidParameter:
    """A query parameter has a value that means nothing, or is there twice."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"query parameter '{self.name}': {self.reason}"


@dataclass(frozen=True, slots=True)
class Bug:
    """A wrong assumption of ours; its message stays in the log, where secrets may be."""

    kind: str

    def __str__(self) -> str:
        return f"runtime error: {self.kind}"


Rejection: TypeAlias = (
    Busy
    | BusyBytes
    | ShuttingDown
    | NotReady
    | CutOff
    | NotFound
    | MethodNotAllowed
    | ForbiddenHost
    | Unauthorized
    | UnsupportedMediaType
    | PayloadTooLarge
    | TooManyEvents
    | InvalidKey
    | KeyMismatch
    | KeyUnstorable
    | RequestTimeout
    | CutShort
    | Conflict
    | TooManyRequests
    | UnknownParameters
    | InvalidParameter
    | Bug
)


def _shown(text: str) -> str:
    return escape(cut(text, _QUOTED_CHARACTERS))
