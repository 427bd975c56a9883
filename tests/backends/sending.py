"""Ways to send events: through the library, many at once, or to a server."""

from __future__ import annotations

import asyncio
import json
import urllib.error
from collections.abc import Iterable, Mapping
from typing import Any

import sonda
from tests.support.bodies import METRIC, changed, raw

from .web import fetch


def metric_to(url: str, name: str, encoder: str, /, **changes: Any) -> dict[str, Any]:
    """Write the body of a metric that is posted to *url*."""
    sink = {"type": "http_push", "url": url}
    body = changed(METRIC, metric__name=name, encoder={"type": encoder}, sink=sink)
    return changed(body, **changes)


def emit_all(bodies: Iterable[Mapping[str, Any]]) -> list[sonda.Receipt]:
    """Send events all at once through one pipeline; each of them must be acknowledged."""

    async def send() -> list[sonda.Receipt]:
        async with sonda.Pipeline() as pipeline:
            results = await asyncio.gather(*map(pipeline.emit, bodies))
            return [result.unwrap() for result in results]

    return asyncio.run(send())


def post(url: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Post an event to the server at *url*, and return status and answer."""
    headers = {"Content-Type": "application/json"}
    try:
        status, answer = fetch(f"{url}/events", body=raw(body), headers=headers)
    except urllib.error.HTTPError as exc:
        with exc:
            status, answer = exc.code, exc.read()
    document: dict[str, Any] = json.loads(answer)
    return status, document
