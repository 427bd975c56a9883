"""`GET /docs`, its assets, and `GET /ready`: public, and nothing of the page comes from elsewhere."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
from importlib.resources import files
from typing import Any

import pytest
import uvicorn

from sonda.server.app import assemble
from sonda.server.serving import Server
from sonda.server.settings import Settings
from tests.server.test_http import Pipe, Reply, ask, asked, assert_refused, lifespan, never

ASSETS = {
    path.name: path.read_bytes() for path in (files("sonda.server.docs") / "assets").iterdir()
}


def got(path: str) -> Reply:
    """Ask for it without the key that the server has."""
    return asked(Pipe(), Settings(api_key="key"), "GET", path, headers=[])


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/docs.css", "text/css; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
        ("/docs/answer.js", "text/javascript; charset=utf-8"),
        ("/docs/dom.js", "text/javascript; charset=utf-8"),
        ("/docs/history.js", "text/javascript; charset=utf-8"),
        ("/docs/scenarios.js", "text/javascript; charset=utf-8"),
        ("/docs/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_is_public(path: str, content_type: str) -> None:
    """Page and assets need no key, and the browser is told to fetch nothing from elsewhere."""
    reply = got(path)
    assert (reply.status, reply.headers["content-type"]) == (200, content_type)
    assert reply.body == ASSETS["docs.html" if path == "/docs" else path.rpartition("/")[2]]
    policy = dict(
        part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert {*policy.values()} == {"'none'", "'self'", "'script'"}
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_the_page_is_whole() -> None:
    """Whatever the page refers to is served, and every asset is served by some path."""
    referred = re.findall(r'(?:href|src)="([^"]+)"', ASSETS["docs.html"].decode())
    assert {*referred} == {"openapi.json", "docs/icon.svg", "docs/docs.css", "docs/docs.js"}
    assert all(got(f"/{path}").status == 200 for path in referred)
    imported = re.findall(r'from "[.]/([^"]+)"', ASSETS["docs.js"].decode())
    assert {*imported} == {"answer.js", "dom.js", "history.js", "scenarios.js"}
    assert ASSETS.keys() == {"docs.html", "docs.css", "docs.js", "icon.svg", *imported}


@pytest.mark.parametrize("name", sorted(ASSETS.keys() - {"icon.svg"}))
def test_assets_know_no_other_host(name: str) -> None:
    """No asset holds a URL of its own."""
    assert b"//" not in re.sub(rb"(?m)^\s*// .*$|/\*\*.*?\*/", b"", ASSETS[name])


@pytest.mark.parametrize("path", ["/docs/", "/docs/docs.py", "/docs/../http.py", "/docs/.."])
def test_other_assets_are_404(path: str) -> None:
    """What is no asset is not there, in the envelope."""
    assert_refused(got(path), 404, "not_found")


# --- GET /ready ----------------------------------------------------------------------------------

NOT_READY = "the server is shutting down, or has not started yet: send to another"


def test_ready_follows_the_pipeline() -> None:
    """It is 200 while the pipeline is open, and before and afterwards 503; nobody needs the key."""
    app = assemble(Settings(api_key="key"), Pipe())

    async def look() -> list[Reply]:
        seen = [await ask(app, "GET", "/ready", headers=[])]
        async with lifespan(app):
            seen.append(await ask(app, "GET", "/ready", headers=[]))
        return [*seen, await ask(app, "GET", "/ready", headers=[])]

    before, during, after = asyncio.run(look())
    assert (during.status, during.document) == (200, {"status": "ready"})
    for reply in (before, after):
        assert_refused(reply, 503, "service_unavailable", NOT_READY)
        assert reply.headers["retry-after"] == "1"


def test_ready_is_answered_under_any_load() -> None:
    """A probe is not counted among the requests in flight."""
    app = assemble(Settings(max_inflight_requests=1), Pipe(does=never))

    async def look() -> tuple[int, int]:
        async with lifespan(app):
            waiting = asyncio.create_task(ask(app))
            await asyncio.sleep(0)
            statuses = (await ask(app, "GET", "/ready")).status, (await ask(app)).status
            waiting.cancel()
            return statuses

    assert asyncio.run(look()) == (200, 503)


def test_a_signal_ends_readiness(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the signal on the server is not ready, while it still answers what is in flight."""

    class NeverDue(threading.Thread):
        def __init__(self, *_: Any) -> None:
            super().__init__()

    monkeypatch.setattr(threading, "Timer", NeverDue)
    app = assemble(Settings(), Pipe())
    server = Server(uvicorn.Config(app), app, lambda: None)

    async def look() -> tuple[int, int]:
        async with lifespan(app):
            before = await ask(app, "GET", "/ready")
            server.handle_exit(signal.SIGTERM, None)
            return before.status, (await ask(app, "GET", "/ready")).status

    assert asyncio.run(look()) == (200, 503)
