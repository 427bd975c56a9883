"""Falcon's router, with the methods of our resources alone."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.constants
from falcon.responders import create_method_not_allowed
from falcon.routing import CompiledRouter


class Router(CompiledRouter):
    """A router that answers 405 to every method that a resource lacks; Falcon would serve OPTIONS."""

    def map_http_methods(self, resource: object, **kwargs: Any) -> dict[str, Any]:
        """Return the resource's responder for each method, also for one that nobody knows."""
        own = super().map_http_methods(resource, **kwargs)
        refuse = create_method_not_allowed([m for m in falcon.HTTP_METHODS if m in own], asgi=True)
        return _Responders({**dict.fromkeys(falcon.constants.COMBINED_METHODS, refuse), **own})


class _Responders(dict[str, Any]):
    def __missing__(self, _method: str) -> object:
        return self["OPTIONS"]
