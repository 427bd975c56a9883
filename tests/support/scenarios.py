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


def told_of_runs(server: Serving) -> str:
    """Return `/metrics` with what the runner tells, which a busy one may not do in time for each."""
    while "sonda_scenarios{" not in (text := call(server, "GET", "/metrics").text):
        time.sleep(0.1)
    return text


def wait_for_values(server: Serving, run: str, **more: Any) -> None:
    """Wait until a run can be scraped, which is from its first tick on."""
    while not call(server, "GET", f"/scenarios/{run}/metrics", **more).text:
        time.sleep(0.05)


def steps(name: str, **changes: Any) -> dict[str, Any]:
    """Return an entry whose values count its ticks, into a file of its name."""
    entry = {
        "signal_type": "metrics",
        "name": name,
        "generator": {"type": "step", "step_size": 1},
        "sink": {"type": "file", "path": f"{name}.txt"},
    }
    return {**entry, **changes}
