"""The runner's own HTTP: what the workers forward, behind their checks."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final, TypeAlias

import falcon
import falcon.asgi
from returns.result import Failure

from sonda.envelope import envelope
from sonda.pipeline.events import to_json
from sonda.pipeline.samples import one_by_one
from sonda.pipeline.scenarios.changes import read_change
from sonda.pipeline.scenarios.plan import Entry, public
from sonda.pipeline.scenarios.reading import read_json, read_yaml
from sonda.pipeline.text.compact_json import compact
from sonda.pipeline.turns import Turns
from sonda.server.live_config import LiveConfig
from sonda.server.scenarios.masking import masked
from sonda.server.scenarios.problem_texts import TextsOfTicks
from sonda.server.scenarios.query import MOST_LIMIT, drain_s, outcomes, parameters
from sonda.server.scenarios.refusals import Refusal
from sonda.server.scenarios.registry import Registry
from sonda.server.scenarios.stored_run import StoredRun
from sonda.server.scenarios.submission import FORGOTTEN, Submission, viewer_of

App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_PAGE: Final = 100
_RECEIVE: Final = "sonda.receive"
YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml")
_LOG: Final = logging.getLogger("sonda")


def _write(resp: falcon.asgi.Response, status: int, document: dict[str, Any]) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = compact(document) + b"\n"


class Collection:
    """`/scenarios`; *config* is what the worker says that is in force."""

    def __init__(self, registry: Registry, config: LiveConfig) -> None:
        self._registry = registry
        self._config = config

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Start a run, or show its plan."""
        given = await _submission(req)
        if given.source != self._config.current.source:
            self._config.apply(given.source)
        compiler, directory = self._registry.compiler, self._config.destinations()
        scenario = await compiler.compile(
            given.raw, given.caller, directory, is_yaml=given.media_type in YAML_TYPES
        )
        if req.get_param("dry_run") == "true":
            _write(resp, 200, await compiler.plan(scenario, req.get_param_as_int("points") or 0))
            return
        # A worker that has not waited has told its client to try again: that is to start one run.
        answer = await self._registry.start(
            scenario, given.caller, run_id=given.run_id, is_given_up=partial(_has_hung_up, req)
        )
        resp.set_header("Location", f"/scenarios/{answer['id']}")
        _write(resp, 201, answer)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """List runs."""
        asked = parameters(req.query_string, "state", "limit", "after")
        viewer, limit = viewer_of(req.headers), int(asked.get("limit", _PAGE))
        listed = self._registry.listed(viewer, asked.get("state"), limit, asked.get("after"))
        _write(resp, 200, listed)


async def _has_hung_up(req: falcon.asgi.Request) -> bool:
    """Return whether the worker has closed the connection; its request has been read."""
    next_message: asyncio.Future[Any] = asyncio.ensure_future(req.scope[_RECEIVE]())
    await asyncio.sleep(0)
    next_message.cancel()
    return next_message.done()


async def _submission(req: falcon.asgi.Request) -> Submission:
    given: Submission = pickle.loads(await req.stream.read())  # noqa: S301  # from this server's worker
    return given


class Item:
    """`/scenarios/{id}`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, wanted: str
    ) -> None:
        """Show a run, or one of its entries."""
        forgotten = req.get_param(FORGOTTEN) == "true"
        kept, _ = self._registry.find(wanted, viewer_of(req.headers), forgotten=forgotten)
        _write(resp, 200, _shown(kept, wanted))

    async def on_patch(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, wanted: str
    ) -> None:
        """Let a run, or one of its entries, go on otherwise from now."""
        given = await _submission(req)
        read = read_yaml if given.media_type in YAML_TYPES else read_json
        change = read(given.raw).bind(read_change)
        if isinstance(change, Failure):
            raise Refusal.of(change.failure())
        kept = await self._registry.change(wanted, viewer_of(req.headers), change.unwrap())
        _write(resp, 200, _shown(kept, wanted))

    async def on_delete(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, wanted: str
    ) -> None:
        """Stop and drain."""
        asked = parameters(req.query_string, "drain", "forget")
        forget = asked.get("forget") == "true"
        viewer = viewer_of(req.headers)
        _write(resp, 200, await self._registry.stop(wanted, viewer, drain_s(asked), forget=forget))


def _shown(kept: StoredRun, wanted: str) -> dict[str, Any]:
    """Return what there is of a run, or of its entry of the id *wanted*."""
    detail = kept.detail()
    return next((one for one in detail["scenarios"] if one["id"] == wanted), detail)


class Events:
    """`/scenarios/{id}/events`."""

    def __init__(self, registry: Registry, config: LiveConfig) -> None:
        self._registry = registry
        self._config = config

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, wanted: str
    ) -> None:
        """Make the events again that were not delivered."""
        kept, _ = self._registry.find(wanted, viewer_of(req.headers))
        asked = parameters(req.query_string, "outcome", "limit")
        limit = int(asked.get("limit", MOST_LIMIT))
        scenario = await self._registry.scenario_of(kept, self._config.destinations())
        shown = {one["id"].partition(".")[2]: one for one in kept.detail()["scenarios"]}
        lines: list[bytes] = []
        turns = Turns()  # the runs go on meanwhile
        for entry in scenario.entries:
            if wanted not in (kept.id, f"{kept.id}.{entry.id}"):
                continue
            for line in _lines(entry, shown[entry.id], outcomes(asked)):
                if len(lines) == limit:
                    break
                lines.append(line)
                await turns.pause()
        resp.content_type = "application/x-ndjson"
        resp.data = b"".join(lines)


def _lines(entry: Entry, shown: dict[str, Any], columns: list[str]) -> Iterator[bytes]:
    """Yield the lines of each event of these outcomes, as far as its tick was kept."""
    texts = TextsOfTicks(shown["problems"])
    for outcome in columns:
        for first, last in shown.get("ticks", {}).get(outcome, ()):
            for tick in range(first, last + 1):
                head = {"tick": tick, "outcome": outcome, "detail": texts.at(tick)}
                for body in _bodies(entry, tick):
                    yield compact({**head, "event": body}) + b"\n"


def _bodies(entry: Entry, tick: int) -> Iterator[dict[str, Any]]:
    """Yield an event as bodies of `POST /events`, without credentials: a histogram's samples."""
    for event in one_by_one(public(entry.event(tick), entry)):
        body: dict[str, Any] = json.loads(to_json(event).unwrap())
        named = entry.route.named
        if named is None:
            yield dict(masked(body))
        else:
            del body["encoder"], body["sink"]
            yield {**body, "destination": named.name}


class Metrics:
    """`/scenarios/metrics` and `/scenarios/{id}/metrics`, in text or in OpenMetrics without its end."""

    def __init__(self, registry: Registry, config: LiveConfig) -> None:
        self._registry = registry
        self._config = config

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, wanted: str | None = None
    ) -> None:
        """Show the latest values."""
        text = await self._registry.scrape(
            wanted,
            viewer_of(req.headers),
            self._config.destinations(),
            openmetrics=req.get_param("format") == "openmetrics",
        )
        resp.data = text.encode()


class Status:
    """`/status`: for the server's metrics and readiness."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Show all runs together."""
        _write(resp, 200, self._registry.status())


def make_app(registry: Registry, config: LiveConfig) -> App:
    """Return the runner's app."""
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    app.add_route("/scenarios", Collection(registry, config))
    app.add_route("/scenarios/{wanted}", Item(registry))
    app.add_route("/scenarios/{wanted}/events", Events(registry, config))
    metrics = Metrics(registry, config)
    app.add_route("/scenarios/metrics", metrics)
    app.add_route("/scenarios/{wanted}/metrics", metrics)
    app.add_route("/status", Status(registry))
    app.add_error_handler(Exception, _answer_bug)
    app.add_error_handler(OSError, _answer_unstorable)
    app.add_error_handler(sqlite3.Error, _answer_unstorable)
    app.add_error_handler(Refusal, _answer_refusal)

    async def keep_receive(scope: Any, receive: Any, send: Any) -> None:
        scope[_RECEIVE] = receive
        await app(scope, receive, send)

    return keep_receive


def _answer(resp: falcon.asgi.Response, status: int, detail: str) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = envelope(status, detail)


async def _answer_refusal(
    _req: Any, resp: falcon.asgi.Response, error: Refusal, _params: object
) -> None:
    _answer(resp, error.status, str(error))


async def _answer_unstorable(
    _req: Any, resp: falcon.asgi.Response, error: Exception, _params: object
) -> None:
    _answer(resp, 503, f"the records of scenarios cannot be written: {error} (--state-dir)")


async def _answer_bug(
    _req: Any, resp: falcon.asgi.Response, error: Exception, _params: object
) -> None:
    _LOG.error("a bug: a call of /scenarios is answered with 500", exc_info=error)
    _answer(resp, 500, f"runtime error: {type(error).__name__}")
