"""How a request wants its errors, and what becomes of Falcon's own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import falcon
import falcon.asgi
import pytest

from sonda.http_answers import Form
from sonda.pipeline.delivery import Delivery
from sonda.rejections import MethodNotAllowed, NotFound, Unauthorized
from sonda.resources.errors import (
    DELIVERY,
    RequestRejected,
    handle_bug,
    requested_form,
    serialize_error,
)


def scope(*headers: tuple[bytes, bytes], query: bytes = b"") -> dict[str, Any]:
    return {
        "type": "http",
        "method": "PUT",
        "path": "/events",
        "query_string": query,
        "headers": list(headers),
    }


def exchange(given: dict[str, Any]) -> tuple[falcon.asgi.Request, falcon.asgi.Response]:
    async def receive() -> Any:
        raise AssertionError("nothing reads the body")

    return falcon.asgi.Request(given, receive), falcon.asgi.Response()


def serialized(error: falcon.HTTPError, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the status and the document that an error comes to."""
    req, resp = exchange(given)
    serialize_error(req, resp, error)
    return str(resp.status), json.loads(resp.data or b"null")


@pytest.mark.parametrize(
    ("accepts", "problem_json"),
    [
        ([], False),
        ([b"application/json"], False),
        ([b"application/problem+json"], True),
        ([b"text/html", b"application/problem+json"], True),
    ],
)
def test_a_form_is_read_from_every_accept(accepts: Sequence[bytes], problem_json: bool) -> None:
    """A header that stands there several times is one list (RFC 9110, 5.3)."""
    given = scope(*((b"accept", one) for one in accepts), query=b"receipt=1")
    assert requested_form(given) == Form(receipt=True, problem_json=problem_json)


def test_a_rejection_has_its_status_and_headers() -> None:
    """Falcon sends what the error carries."""
    error = RequestRejected(MethodNotAllowed("PUT", "/x", "GET"))
    assert str(error.status).startswith("405")
    assert dict(error.headers or {}) == {"Allow": "GET"}
    assert str(error) == str(error.rejection)


@pytest.mark.parametrize(
    ("error", "rejection"),
    [
        (RequestRejected(Unauthorized("x")), Unauthorized("x")),
        (
            falcon.HTTPMethodNotAllowed(["GET", "HEAD"]),
            MethodNotAllowed("PUT", "/events", "GET, HEAD"),
        ),
        (falcon.HTTPRouteNotFound(), NotFound("/events")),
    ],
)
def test_errors_have_one_shape(error: falcon.HTTPError, rejection: Any) -> None:
    """Those of Falcon's router, too."""
    status, document = serialized(error, scope())
    assert document["detail"] == str(rejection)
    assert set(document) == {"error", "detail"}
    assert status.startswith(("401", "404", "405"))


def test_a_bug_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """The traceback, and what is to be masked in it; the answer names the class alone."""
    given = scope((b"authorization", b"Bearer sesame"), query=b"receipt=true")
    given[DELIVERY] = Delivery()
    req, resp = exchange(given)
    with caplog.at_level(logging.ERROR, "sonda"):
        asyncio.run(handle_bug(req, resp, KeyError("sesame"), {}))
    document = json.loads(resp.data or b"null")
    assert (document["error"], document["outcome"]) == ("internal_server_error", "unknown")
    assert document["detail"].startswith("runtime error: ")
    assert "sesame" not in document["detail"]
    [line] = caplog.records
    assert line.exc_info is not None
    assert "sesame" in " ".join(line.__dict__["secrets"])
