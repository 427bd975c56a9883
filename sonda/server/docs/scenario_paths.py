"""The paths of `/scenarios` in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sonda.pipeline.scenarios.states import State
from sonda.pipeline.text.compact_json import compact
from sonda.server.docs.event_paths import flag, refused
from sonda.server.docs.probe_paths import json_content
from sonda.server.docs.published import ref
from sonda.server.docs.scenario_examples import (
    DOCUMENT,
    EVENT_AGAIN,
    EXPOSITION,
    LEDGER,
    RUN_ID,
    YAML,
)

Json: TypeAlias = dict[str, Any]

_SECURITY: Final[list[Json]] = [{}, {"key": []}]
_YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml")


def scenario_paths() -> Json:
    """Return the paths, each with its operations."""
    of_one = {"parameters": [_identifier()]}
    return {
        "/scenarios": {"get": _list_runs(), "post": _start()},
        "/scenarios/metrics": {"get": _scrape("scrapeScenarios", "all that run")},
        "/scenarios/{id}": {**of_one, "get": _show(), "patch": _change(), "delete": _stop()},
        "/scenarios/{id}/events": {**of_one, "get": _events()},
        "/scenarios/{id}/metrics": {
            **of_one,
            "get": _scrape("scrapeScenario", "a run or an entry"),
        },
        "/scenarios/{id}/progress": {**of_one, "get": _progress()},
    }


def _operation(name: str, summary: str, description: str, **rest: Any) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "description": description,
        "security": _SECURITY,
        **rest,
    }


def _start() -> Json:
    plan = {"description": "What a dry run shows.", "content": _json("ScenarioPlan")}
    begun = {
        "id": RUN_ID,
        "name": "demo",
        "state": "running",
        "scenarios": [{"id": f"{RUN_ID}.access", "name": "access", "state": "running"}],
    }
    started = {
        "description": "The run has begun.",
        "headers": {
            "Location": {
                "description": "Where the run is shown.",
                "required": True,
                "schema": {"type": "string", "examples": [f"/scenarios/{RUN_ID}"]},
            }
        },
        "content": _json("ScenarioStarted", begun),
    }
    document = {
        "schema": {"anyOf": [ref("Scenario"), ref("SingleScenario")]},
        "examples": {"demo": {"summary": "Two streams", "value": DOCUMENT}},
    }
    yaml = {
        "schema": {
            "description": "A value of the schema `Scenario` or `SingleScenario`, in YAML 1.2.",
            "type": "string",
        },
        "examples": {"wave": {"summary": "A sine wave", "value": YAML}},
    }
    return _operation(
        "startScenario",
        "Start a scenario",
        "All of it or nothing. One `scenario_name` is active once (409); limits of the server are 429.",
        parameters=[
            flag("dry_run", "Answer with the plan; nothing is opened."),
            _query(
                "points",
                {"type": "integer", "minimum": 1, "maximum": 1_000},
                "With `dry_run`: each entry's `curve` has so many rates and values, to draw them.",
            ),
        ],
        requestBody={
            "required": True,
            "content": {"application/json": document, **dict.fromkeys(_YAML_TYPES, yaml)},
        },
        responses={
            "200": plan,
            "201": started,
            **refused(400, 401, 403, 408, 409, 413, 415, 422, 429, 431, 500, 503),
        },
    )


def _list_runs() -> Json:
    run = {
        "id": RUN_ID,
        "name": "demo",
        "state": "running",
        "outcome": None,
        "started": "2026-11-23T08:00:00Z",
        "ended": None,
        "ledger": LEDGER,
        "degraded": False,
    }
    return _operation(
        "listScenarios",
        "List runs",
        "Newest first; with a restricted key those that it started.",
        parameters=[
            _query("state", {"type": "string", "enum": [str(state) for state in State]}),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100}),
            _query("after", {"type": "string"}, "The `next` of the page before."),
        ],
        responses={
            "200": {
                "description": "A page.",
                "content": _json("ScenarioList", {"scenarios": [run]}),
            },
            **refused(400, 401, 403, 404, 422, 431, 500, 503),
        },
    )


def _show() -> Json:
    return _operation(
        "showScenario",
        "Show a run, or an entry of it",
        "The document as accepted, the ledger, and each entry's. With `wait` once it has finished, "
        "or when the time is over.",
        parameters=[
            _query(
                "wait",
                ref("Duration"),
                "A duration, at most 60s.",
            )
        ],
        responses={
            "200": _detail(),
            **refused(400, 401, 403, 404, 422, 431, 500, 503),
        },
    )


def _detail() -> Json:
    """Return the answer that shows a run, or an entry of it."""
    schema = {"anyOf": [ref("ScenarioDetail"), ref("EntryDetail")]}
    return {
        "description": "What is known of it now.",
        "content": {"application/json": {"schema": schema}},
    }


def _change() -> Json:
    asked = {
        "schema": ref("ScenarioChange"),
        "examples": {
            "rate": {"summary": "Another rate", "value": {"rate": 50}},
            "pause": {"summary": "A pause", "value": {"paused": True}},
        },
    }
    yaml = {
        "schema": {
            "description": "A value of the schema `ScenarioChange`, in YAML 1.2.",
            "type": "string",
        },
        "examples": {"pause": {"summary": "A pause", "value": "paused: true\n"}},
    }
    return _operation(
        "changeScenario",
        "Change a run, or an entry of it",
        "The plan goes on from now, with another rate or after a pause; what was due stays. All of the "
        "run's entries that are not over, or none. A run that is over is 409, a rate beyond the "
        "server's limit 429.",
        requestBody={
            "required": True,
            "content": {"application/json": asked, **dict.fromkeys(_YAML_TYPES, yaml)},
        },
        responses={
            "200": _detail(),
            **refused(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 431, 500, 503),
        },
    )


def _stop() -> Json:
    stopped = {"id": RUN_ID, "status": "stopped", "total_events": 118, "ledger": LEDGER}
    return _operation(
        "stopScenario",
        "Stop a run, or an entry of it",
        "Answers once what was in flight has its verdict. Again it is the same answer, while the "
        "record is kept.",
        parameters=[
            _query(
                "drain",
                ref("Duration"),
                "How long to wait for what is in flight, at most 5m; by default 10s.",
            ),
            flag("forget", "Remove the record, too."),
        ],
        responses={
            "200": {"description": "It has stopped.", "content": _json("ScenarioStopped", stopped)},
            **refused(400, 401, 403, 404, 422, 431, 500, 503),
        },
    )


def _events() -> Json:
    lines = {
        "schema": {
            "description": "One line for each event: `tick`, `outcome`, `detail`, and in `event` a "
            "body of `POST /events`, with credentials as `***`.",
            "type": "string",
        },
        "examples": {"rejected": {"value": compact(EVENT_AGAIN).decode() + "\n"}},
    }
    return _operation(
        "scenarioEvents",
        "Make again the events that were not delivered",
        "They are computed from the document and their ticks; nothing is stored.",
        parameters=[
            {
                **_query(
                    "outcome",
                    {
                        "type": "array",
                        "items": {"type": "string", "enum": ["rejected", "unknown", "skipped"]},
                        "minItems": 1,
                    },
                    "Some of them, separated by commas; by default all.",
                ),
                "style": "form",
                "explode": False,
            },
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 10_000}),
        ],
        responses={
            "200": {"description": "The events.", "content": {"application/x-ndjson": lines}},
            **refused(400, 401, 403, 404, 422, 431, 500, 503),
        },
    )


def _scrape(name: str, whose: str) -> Json:
    text = {"schema": {"type": "string"}, "examples": {"gauge": {"value": EXPOSITION}}}
    openmetrics = {**text, "examples": {"gauge": {"value": f"{EXPOSITION}# EOF\n"}}}
    return _operation(
        name,
        f"Scrape {whose}",
        f"The latest value of every series of {whose}, as Prometheus scrapes it; at most 100,000 "
        "series.",
        responses={
            "200": {
                "description": "The values, in the format that `Accept` prefers.",
                "content": {"text/plain": text, "application/openmetrics-text": openmetrics},
            },
            **refused(400, 401, 403, 404, 422, 431, 500, 503),
        },
    )


def _progress() -> Json:
    shown = compact(LEDGER).decode()
    stream = {
        "schema": {
            "description": "Server-sent events; the data of each is a value of the schema `Ledger`.",
            "type": "string",
        },
        "examples": {"end": {"value": f"data: {shown}\n\nevent: end\ndata: {shown}\n\n"}},
    }
    return _operation(
        "scenarioProgress",
        "Watch a run",
        "The ledger once a second; the last one with `event: end`.",
        responses={
            "200": {"description": "A stream.", "content": {"text/event-stream": stream}},
            **refused(400, 401, 403, 404, 431, 500, 503),
        },
    )


def _identifier() -> Json:
    return {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "A run's id, or an entry's: `<run>.<entry>`.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$", "examples": [RUN_ID]},
    }


def _query(name: str, schema: Json, description: str = "") -> Json:
    words = {"description": description} if description else {}
    return {"name": name, "in": "query", **words, "schema": schema}


def _json(component: str, example: Json | None = None) -> Json:
    examples = {} if example is None else {"one": {"value": example}}
    return json_content(ref(component), examples)
