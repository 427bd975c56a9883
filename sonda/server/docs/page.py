"""`GET /openapi.json` and `GET /docs`: a page on which a person fills in an event and sends it.

Both are public. All that the page needs is in `assets/`, and its content security policy lets the
browser fetch nothing from anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import falcon
import falcon.asgi

from sonda.pipeline.text.compact_json import compact
from sonda.resources.probes import GetResource

if TYPE_CHECKING:
    from sonda.server.docs.examples import StatusOf

_HEADERS: Final = {
    "Cache-Control": "no-cache",  # a server of another version may be behind the same URL
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ASSETS: Final = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
    "/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/docs/answer.js": ("answer.js", "text/javascript; charset=utf-8"),
    "/docs/dom.js": ("dom.js", "text/javascript; charset=utf-8"),
    "/docs/history.js": ("history.js", "text/javascript; charset=utf-8"),
    "/docs/scenarios.js": ("scenarios.js", "text/javascript; charset=utf-8"),
    "/docs/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Asset(GetResource):
    """One file of the page."""

    def __init__(self, name: str, content_type: str) -> None:
        self._name = name
        self._content_type = content_type

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:  # noqa: ARG002
        """Answer with the file."""
        resp.content_type = self._content_type
        resp.data = _read(self._name)
        resp.set_headers(_HEADERS)


class OpenApi(GetResource):
    """The OpenAPI document, made when it is first asked for."""

    def __init__(self, status_of: StatusOf) -> None:
        self._status_of = status_of
        self._written = b""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:  # noqa: ARG002
        """Answer with the document."""
        if not self._written:
            from sonda.server.docs.openapi import document

            self._written = compact(document(self._status_of))
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._written
        resp.set_headers({"Cache-Control": "no-cache"})


def documentation(status_of: StatusOf) -> Mapping[str, GetResource]:
    """Return the resources by path; *status_of* maps a problem to its HTTP status."""
    assets = {path: Asset(name, kind) for path, (name, kind) in _ASSETS.items()}
    return {"/openapi.json": OpenApi(status_of), **assets}


@cache
def _read(name: str) -> bytes:
    return (files("sonda.server.docs") / "assets" / name).read_bytes()
