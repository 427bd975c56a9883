"""Which methods a resource answers; every other one is 405."""

from __future__ import annotations

import falcon.asgi
import pytest

from sonda.resources.router import Router


class Resource:
    """A resource with one method."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer."""


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PATCH", "PROPFIND", "NO-SUCH", "get"])
def test_every_other_method_is_refused(method: str) -> None:
    """OPTIONS, which Falcon would serve, and those that nobody knows, included."""
    found = Router().map_http_methods(Resource())
    assert found["GET"] != found["OPTIONS"]
    assert found[method] is found["OPTIONS"]
