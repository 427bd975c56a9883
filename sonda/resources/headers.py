"""The headers of a request for `/events`: what its body is, and its key."""

from __future__ import annotations

import falcon
import falcon.asgi

from sonda.rejections import InvalidKey, UnsupportedMediaType
from sonda.resources.errors import Rejected
from sonda.resources.idempotency import parse_key
from sonda.resources.ndjson import NDJSON


def require_event_type(req: falcon.asgi.Request) -> str:
    """Return the body's media type, JSON or lines of it; raise `Rejected` for every other one.

    No other origin's page can announce either without a preflight.
    """
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type not in (falcon.MEDIA_JSON, NDJSON):
        raise Rejected(
            UnsupportedMediaType(
                f"send the event as Content-Type: {falcon.MEDIA_JSON}, or many as {NDJSON}"
            )
        )
    if req.get_header("Content-Encoding") is not None:
        raise Rejected(UnsupportedMediaType("send the body as it is, without Content-Encoding"))
    return media_type


def key_of(req: falcon.asgi.Request) -> str | None:
    """Return the request's `Idempotency-Key`; raise `Rejected` for one that is none, or several."""
    header = req.get_header("Idempotency-Key")
    if header is None:
        return None
    key = parse_key(header)
    if key is None or _count(req, b"idempotency-key") > 1:  # Falcon keeps the last one alone
        raise Rejected(InvalidKey())
    return key


def _count(req: falcon.asgi.Request, name: bytes) -> int:
    return sum(1 for other, _ in req.scope["headers"] if other == name)
