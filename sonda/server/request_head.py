"""Request lines and heads that the parser takes and we do not, or the other way round."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import unquote

import httptools
from msgspec import Struct

from sonda.http_answers import Answer, refused
from sonda.resources.errors import requested_form
from sonda.resources.request import HEAD_FACTS, HeadFacts

Header: TypeAlias = tuple[bytes, bytes]
HEAD_LIMIT_BYTES: Final = 65536
KEPT_HEAD_BYTES: Final = 4096
"""The longest head that is kept with its connection."""
CONTENT_LENGTH: Final = b"content-length"
HEADER: Final = b"x-request-id"
BETWEEN_BYTES: Final = len(b": \r\n")  # of a header, beside its name and its value
_EXPECTATION: Final = (b"expect", b"100-continue")
_GIVEN: Final = re.compile(rb"[!-~]{1,128}")  # printable ASCII without blanks
STAND_IN_METHOD: Final = b"PROPFIND"
_UNKNOWN_METHOD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) [^\s]+ HTTP/1\.[01]\r\n")


class Refusal(Exception):  # noqa: N818  # raised through the parser to end a request
    """A head that the parser takes and we do not."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@lru_cache(32)  # of targets that may be as long as a head: 2 MiB at most
def split_target(target: bytes) -> tuple[str, bytes, bytes] | None:
    """Split a request's target into its path, once more as it is written, and the query."""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return None
    if url.path is None:
        return None
    return unquote(url.path.decode("ascii")), url.path, url.query or b""


class TakenHead(Struct, eq=False):
    """A head that was taken: the next one of its connection is nearly always equal.

    *scope* is what it puts into its request's scope, *length_at* where among the headers its
    `Content-Length` is. Anything that depends on more than these bytes is no part of it.
    """

    url: bytes
    method: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    scope: Mapping[str, str | bytes | HeadFacts]
    size_bytes: int
    length_at: int
    expects_100: bool
    keeps_alive: bool


def take_head(
    url: bytes, method: bytes, version: str, headers: list[Header], *, keeps_alive: bool
) -> TakenHead:
    """Judge a head; raise `Refusal`.

    One `Host` is required in HTTP/1.1 (RFC 9112, 3.2). *keeps_alive* is what the parser says.
    """
    names, values = zip(*headers, strict=True) if headers else ((), ())
    size_bytes = len(url) + sum(map(len, names)) + sum(map(len, values))
    size_bytes += len(names) * BETWEEN_BYTES
    if size_bytes > HEAD_LIMIT_BYTES:  # uvicorn takes any number
        raise head_too_large()
    if version not in ("1.0", "1.1"):
        raise Refusal(400, f"HTTP/{version} is not supported: use HTTP/1.1")
    is_1_1, hosts = version == "1.1", names.count(b"host")
    if hosts > 1:
        raise Refusal(400, "the request has more than one Host header")
    if hosts == 0 and is_1_1:
        raise Refusal(400, "the request has no Host header, which HTTP/1.1 requires")
    target = split_target(url)
    if target is None:
        raise Refusal(400, "the request target has no path")
    path, raw_path, query = target
    scope: dict[str, str | bytes | HeadFacts] = {
        "http_version": version,
        "method": method.decode("ascii"),
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        HEAD_FACTS: head_facts(headers),
    }
    # RFC 9110, section 10.1.1: not in 1.0
    expects_100 = is_1_1 and _EXPECTATION in [(name, value.lower()) for name, value in headers]
    length_at = names.index(CONTENT_LENGTH) if CONTENT_LENGTH in names else -1
    return TakenHead(
        url,
        method,
        version,
        list(headers),
        scope,
        size_bytes,
        length_at,
        expects_100,
        is_1_1 and keeps_alive,
    )


def head_facts(headers: Iterable[Header]) -> HeadFacts:
    """Return what is kept of a head: at first the caller's own id, if it is one that may be repeated."""
    given = (value for name, value in headers if name == HEADER and _GIVEN.fullmatch(value))
    return HeadFacts(next(given, b"").decode("ascii"))


def answer_to(refusal: Refusal, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Answer:
    """Return the answer to a head, in the form that it asks for as far as it has been read."""
    _, _, query = split_target(target) or ("", b"", b"")
    form = requested_form({"headers": headers, "query_string": query})
    return refused(refusal.status, str(refusal), form)


def head_too_large() -> Refusal:
    """Return the refusal of a head over the limit."""
    return Refusal(431, f"the request's line and headers are over {HEAD_LIMIT_BYTES} bytes")


def with_known_method(data: bytes) -> tuple[bytes, bytes] | None:
    """Reword a request whose method httptools does not know: it deserves a 405, not a 400."""
    line = _UNKNOWN_METHOD.match(data)
    return (line[1], STAND_IN_METHOD + data[line.end(1) :]) if line else None
