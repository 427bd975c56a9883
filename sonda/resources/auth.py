"""Authentication by a bearer token (RFC 6750)."""

from __future__ import annotations

import hmac

import falcon.asgi

from sonda.rejections import Unauthorized
from sonda.resources.errors import Rejected


class BearerAuth:
    """Lets requests pass that carry the key; an empty key lets all pass."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key.encode()

    def check(self, req: falcon.asgi.Request) -> None:
        """Raise `Rejected` with `Unauthorized` unless the request carries the key."""
        if not self._api_key:
            return
        scheme, _, given = (req.get_header("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip(" "):
            raise Rejected(Unauthorized("missing or malformed Authorization header"))
        if not hmac.compare_digest(given.strip(" ").encode("latin-1"), self._api_key):
            raise Rejected(Unauthorized("invalid API key"))
