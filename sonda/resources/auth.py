"""Authentication by a bearer token (RFC 6750)."""

from __future__ import annotations

import falcon.asgi

from sonda.pipeline.policy.callers import ANYBODY, Caller, Keys, caller_of
from sonda.rejections import Unauthorized
from sonda.resources.errors import Rejected


class BearerAuth:
    """Lets requests pass that carry one of the *keys*; where there are none, lets all pass."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def check(self, req: falcon.asgi.Request) -> Caller:
        """Return who calls; raise `Rejected` with `Unauthorized` unless the request has a key."""
        keys = self._keys()
        if not keys:
            return ANYBODY
        scheme, _, given = (req.get_header("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip(" "):
            raise Rejected(Unauthorized("missing or malformed Authorization header"))
        caller = caller_of(keys, given.strip(" ").encode("latin-1"))
        if caller is None:
            raise Rejected(Unauthorized("invalid API key"))
        return caller
