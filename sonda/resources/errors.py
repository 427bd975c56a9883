"""Falcon's errors in the contract's shape: one error class of ours, and the one serializer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import falcon
import falcon.asgi

from sonda.http_answers import Form, failed, form_of, http_headers, write
from sonda.pipeline.problems import Problem
from sonda.pipeline.text.redact import secrets_of_body, secrets_of_headers
from sonda.rejections import Bug, MethodNotAllowed, NotFound, Rejection
from sonda.statuses import http_status

Request: TypeAlias = falcon.asgi.Request
Response: TypeAlias = falcon.asgi.Response
DELIVERY: Final = "sonda.delivery"
"""Where a request's scope keeps how far its event has come."""

_LOG: Final = logging.getLogger("sonda")


class RequestRejected(falcon.HTTPError):
    """Raised to end a request with a rejection, whose status and headers it has."""

    def __init__(self, rejection: Rejection | Problem) -> None:
        super().__init__(http_status(rejection), headers=dict(http_headers(rejection)))
        self.rejection = rejection

    def __str__(self) -> str:
        return str(self.rejection)


def requested_form(scope: Mapping[str, Any]) -> Form:
    """Return how the request of an ASGI scope wants its answer, problems included."""
    accept = b""
    for name, value in scope["headers"]:
        if name == b"accept":
            accept += b"," + value
    return form_of(scope["query_string"], accept)


def serialize_error(req: Request, resp: Response, error: falcon.HTTPError) -> None:
    """Write an error of Falcon's or of ours in the form that the request asks for."""
    rejection = error.rejection if isinstance(error, RequestRejected) else _translated(req, error)
    write(resp, failed(rejection, requested_form(req.scope), req.scope.get(DELIVERY)))


def _translated(req: Request, error: falcon.HTTPError) -> Rejection:
    """Return what an error means that Falcon itself has raised; only its router raises any."""
    if isinstance(error, falcon.HTTPMethodNotAllowed):
        return MethodNotAllowed(req.method, req.path, dict(error.headers or {}).get("Allow", ""))
    return NotFound(req.path)


async def handle_bug(req: Request, resp: Response, error: Exception, _params: object) -> None:
    """Log the traceback of a wrong assumption of ours, without secrets, and answer 500."""
    secrets = secrets_of_body(getattr(req.context, "raw", b""))  # the exception may quote them
    key = tuple(secrets_of_headers({"Authorization": req.get_header("Authorization") or ""}))
    extra = {"secrets": secrets + key}
    _LOG.error("a bug: this request is answered with 500", exc_info=error, extra=extra)
    write(
        resp, failed(Bug(type(error).__name__), requested_form(req.scope), req.scope.get(DELIVERY))
    )
