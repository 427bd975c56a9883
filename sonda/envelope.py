"""The body of an error: one shape for everything that is not a success."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sonda.pipeline.text.compact_json import compact

CODES: Final[Mapping[int, str]] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "unprocessable_entity",
    429: "too_many_requests",
    431: "request_header_fields_too_large",
    500: "internal_server_error",
    502: "bad_gateway",
    503: "service_unavailable",
    504: "gateway_timeout",
}


def envelope(status: int, detail: str) -> bytes:
    """Return `{"error":"<short_code>","detail":"<text>"}` and a line feed for a status."""
    return compact({"error": CODES[status], "detail": detail}) + b"\n"
