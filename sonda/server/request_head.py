"""Request lines and heads that the parser takes and we do not, or the other way round."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import httptools

from sonda.http_answers import Answer, refused
from sonda.resources.errors import requested_form

HEAD_LIMIT_BYTES: Final = 65536
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
