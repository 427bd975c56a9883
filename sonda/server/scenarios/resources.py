"""The runner's own HTTP: what the workers forward, behind their checks."""

from __future__ import annotations

import json
from typing import Any, Final

import falcon
import falcon.asgi

from sonda.envelope import compact, envelope
from sonda.pipeline.events import to_json
from sonda.pipeline.scenarios.numbers import seconds
from sonda.pipeline.scenarios.plan import public
from sonda.pipeline.scenarios.reading import read_json, read_yaml
from sonda.server.scenarios.masking import masked
from sonda.server.scenarios.refusals import Refusal
from sonda.server.scenarios.registry import Registry

MOST_DRAIN_S: Final = 300
MOST_LIMIT: Final = 10_000
_STATES: Final = ("pending", "running", "stopping", "finished")
_OUTCOMES: Final = ("rejected", "unknown", "skipped")
YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml")


def _limit(req: falcon.asgi.Request, default: int) -> int:
    given = req.get_param("limit")
    if given is None:
        return default
    if not given.isascii() or not given.isdigit() or not int(given[:9]):
        raise Refusal(400, "query parameter 'limit': expected a number above 0")
    if len(given) > 9 or int(given) > MOST_LIMIT:  # noqa: PLR2004  # digits
        raise Refusal(422, f"query parameter 'limit': at most {MOST_LIMIT:,}")
    return int(given)


def _write(resp: falcon.asgi.Response, status: int, document: dict[str, Any]) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = compact(document) + b"\n"


class Collection:
    """`/scenarios`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Start a run, or show its plan."""
        raw = await req.stream.read()
        media_type = (req.content_type or "").partition(";")[0].strip().lower()
        scenario = self._registry.compile(
            read_yaml(raw) if media_type in YAML_TYPES else read_json(raw)
        )
        if req.get_param("dry_run") == "true":
            _write(resp, 200, self._registry.plan(scenario))
            return
        answer = await self._registry.start(scenario)
        resp.set_header("Location", f"/scenarios/{answer['id']}")
        _write(resp, 201, answer)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """List runs."""
        state = req.get_param("state")
        if state is not None and state not in _STATES:
            raise Refusal(400, f"query parameter 'state': expected one of {', '.join(_STATES)}")
        _write(resp, 200, self._registry.listed(state, _limit(req, 100), req.get_param("after")))


class Item:
    """`/scenarios/{id}`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def on_get(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, wanted: str
    ) -> None:
        """Show a run, or one of its entries."""
        kept, entry = self._registry.find(wanted)
        detail = self._registry.detail(kept)
        if entry is not None:
            detail = next(one for one in detail["scenarios"] if one["id"] == wanted)
        _write(resp, 200, detail)

    async def on_delete(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, wanted: str
    ) -> None:
        """Stop and drain."""
        given = req.get_param("drain") or "10s"
        try:
            drain_s = float(seconds(given))
        except ValueError as exc:
            raise Refusal(422, f"query parameter 'drain': {exc}") from None
        if drain_s > MOST_DRAIN_S:
            raise Refusal(422, "query parameter 'drain': at most 5m")
        forget = req.get_param("forget") == "true"
        _write(resp, 200, await self._registry.stop(wanted, drain_s, forget=forget))


class Events:
    """`/scenarios/{id}/events`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, wanted: str
    ) -> None:
        """Make the events again that were not delivered."""
        kept, entry_id = self._registry.find(wanted)
        outcomes = (req.get_param("outcome") or ",".join(_OUTCOMES)).split(",")
        if unknown := [name for name in outcomes if name not in _OUTCOMES]:
            raise Refusal(
                400, f"query parameter 'outcome': unknown {unknown[0]!r}, expected {_OUTCOMES}"
            )
        limit = _limit(req, MOST_LIMIT)
        lines: list[bytes] = []
        scenario = kept.scenario
        for entry, found in zip(scenario.entries, kept.progress().entries, strict=True):
            if entry_id not in (None, entry.id):
                continue
            for outcome in outcomes:
                for ticks in found.ticks[outcome]:
                    for tick in ticks[: limit - len(lines)]:
                        event = json.loads(to_json(public(entry.event(tick), entry)).unwrap())
                        said = [
                            one.text
                            for one in found.problems
                            if one.first_tick <= tick <= one.last_tick
                        ]
                        line = {
                            "tick": tick,
                            "outcome": outcome,
                            "detail": said[0] if said else "",
                            "event": masked(event),
                        }
                        lines.append(compact(line) + b"\n")
        resp.content_type = "application/x-ndjson"
        resp.data = b"".join(lines)


def make_app(registry: Registry) -> falcon.asgi.App[Any, Any]:
    """Return the runner's app."""
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    app.add_route("/scenarios", Collection(registry))
    app.add_route("/scenarios/{wanted}", Item(registry))
    app.add_route("/scenarios/{wanted}/events", Events(registry))
    app.add_error_handler(Refusal, _answer_refusal)
    return app


async def _answer_refusal(
    _req: Any, resp: falcon.asgi.Response, error: Refusal, _params: object
) -> None:
    resp.status = error.status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = envelope(error.status, str(error))
