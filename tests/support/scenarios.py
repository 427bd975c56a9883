"""Scenarios as the tests of a server start them, and the calls that do it."""

from __future__ import annotations

import time
from typing import Any

import httpx

from tests.support.serving import Serving


def call(
    server: Serving, method: str, path: str, body: object = None, **more: Any
) -> httpx.Response:
    """Return the answer to a call."""
    return server.request(method, path, json=body, **more)


def answered(server: Serving, method: str, path: str, body: object = None) -> Any:
    """Return the first answer to a call that is no 503; each 503 says why, and when to come again."""
    while (answer := call(server, method, path, body)).status_code == 503:
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["detail"]
        time.sleep(0.1)
    return answer


def steps(name: str, **changes: Any) -> dict[str, Any]:
    """Return an entry whose values count its ticks, into a file of its name."""
    entry = {
        "signal_type": "metrics",
        "name": name,
        "generator": {"type": "step", "step_size": 1},
        "sink": {"type": "file", "path": f"{name}.txt"},
    }
    return {**entry, **changes}
