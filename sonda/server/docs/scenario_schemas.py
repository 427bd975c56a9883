"""The components of the OpenAPI document that answers of `/scenarios` are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, TypeAlias

from sonda.pipeline.scenarios.ledger import Ledger
from sonda.pipeline.scenarios.states import Outcome, State

Json: TypeAlias = dict[str, Any]

_TEXT: Final[Json] = {"type": "string"}
_NUMBER: Final[Json] = {"type": "number"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: Final[Json] = {"type": ["integer", "null"], "minimum": 0}
_MAYBE_NUMBER: Final[Json] = {"type": ["number", "null"]}
_STATE: Final[Json] = {"type": "string", "enum": [str(state) for state in State]}
_OUTCOME: Final[Json] = {
    "description": "How it ended; null until then.",
    "type": ["string", "null"],
    "enum": [*(str(outcome) for outcome in Outcome), None],
}
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
_MAYBE_TIME: Final[Json] = {"type": ["string", "null"], "format": "date-time"}
_WARNINGS: Final[Json] = {"type": "array", "items": _TEXT, "minItems": 1}


def _object(title: str, properties: Json, *optional: str) -> Json:
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str) -> Json:
    return {"type": "array", "items": _ref(name)}


def _ledger() -> Json:
    columns = {
        one.name: _MAYBE_COUNT if one.name in ("planned", "not_due") else _COUNT
        for one in fields(Ledger)
    }
    described = "Every planned event is in one column; `planned` is null without an end."
    return {
        **_object("Ledger", {"planned": _MAYBE_COUNT, "not_due": _MAYBE_COUNT, **columns}),
        "description": described,
    }


_RATE: Final = {"target": _NUMBER, "last_1s": _NUMBER, "last_10s": _NUMBER}
_LATENCY: Final = {"p50": _MAYBE_NUMBER, "p99": _MAYBE_NUMBER, "max": _MAYBE_NUMBER}
_RANGES: Final = {
    "type": "array",
    "items": {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2},
}
_PROBLEM: Final = {"text": _TEXT, "count": _COUNT, "first_tick": _COUNT, "last_tick": _COUNT}
_HEAD: Final = {"id": _TEXT, "name": _TEXT, "state": _STATE}
_RUN: Final = {
    **_HEAD,
    "outcome": _OUTCOME,
    "started": _TIME,
    "ended": _MAYBE_TIME,
    "ledger": _ref("Ledger"),
    "degraded": {
        "description": "Whether something failed and nothing was delivered for 30 s.",
        "type": "boolean",
    },
}

SCENARIO_ANSWERS: Final[Mapping[str, Json]] = {
    "Ledger": _ledger(),
    "EntryState": _object("Entry of a run that has begun", _HEAD),
    "ScenarioStarted": _object(
        "Run that has begun",
        {**_HEAD, "scenarios": _list("EntryState"), "warnings": _WARNINGS},
        "warnings",
    ),
    "EntryPlan": _object(
        "Plan of an entry",
        {
            "id": _TEXT,
            "planned": _MAYBE_COUNT,
            "starts_at_s": {
                **_NUMBER,
                "description": "From the run's start, where it has `after`.",
            },
            "ends_at_s": {**_MAYBE_NUMBER, "description": "From the run's start."},
            "series": _COUNT,
            "curve": _ref("Curve"),
            "rewritten": {
                "description": "What stands for the generator that was written.",
                "type": "object",
            },
            "events": {
                "description": "The first five, as the encoder renders them; in base64 where that "
                "is no text.",
                "type": "array",
                "items": _TEXT,
            },
            "preview": {
                "description": "As `POST /events?dry_run=true` has it.",
                "type": "object",
            },
        },
        "rewritten",
        "curve",
        "starts_at_s",
    ),
    "Curve": _object(
        "Rates and values at equal distances of time, from the run's start until all has ended",
        {
            "until_s": _NUMBER,
            "rate": {"type": "array", "items": _NUMBER},
            "value": {"type": "array", "items": _MAYBE_NUMBER},
        },
        "value",
    ),
    "ScenarioPlan": _object(
        "Plan of a scenario",
        {"scenarios": _list("EntryPlan"), "warnings": _WARNINGS},
        "warnings",
    ),
    "ScenarioSummary": _object("Run in a list", _RUN),
    "ScenarioList": _object(
        "List of runs",
        {"scenarios": _list("ScenarioSummary"), "next": _TEXT},
        "next",
    ),
    "Rate": _object("Events per second", _RATE),
    "Latency": _object("Milliseconds from when an event was due to its verdict", _LATENCY),
    "ProblemCount": _object(
        "How often a problem was met",
        {
            **_PROBLEM,
            "ticks": {
                "description": "Which they were, first and last of each range, where those between "
                "the first and the last are not all.",
                **_RANGES,
            },
        },
        *("ticks",),
    ),
    "PlanSegment": _object(
        "Part of a plan",
        {
            "from_tick": {"description": "Its first event.", **_COUNT},
            "from_ns": {"description": "When it began, after the entry's start.", **_COUNT},
            "rate": {"description": "Not there for stages and rows.", **_NUMBER},
            "paused": {"type": "boolean"},
        },
        *("rate",),
    ),
    "EntryDetail": _object(
        "Entry of a run",
        {
            **_HEAD,
            "outcome": _OUTCOME,
            "ledger": _ref("Ledger"),
            "rate": _ref("Rate"),
            "lag_s": _NUMBER,
            "latency_ms": _ref("Latency"),
            "problems": _list("ProblemCount"),
            "ticks": {
                "description": "The ticks of rejected, unknown and skipped events: first and last "
                "of each range.",
                "type": "object",
                "additionalProperties": _RANGES,
            },
            "truncated": {"type": "boolean"},
            "segments": {
                "description": "Those of its plan, where that was changed while it ran.",
                **_list("PlanSegment"),
            },
            "reserved": _COUNT,
        },
        *("ticks", "truncated", "segments", "reserved"),
    ),
    "ScenarioDetail": _object(
        "Run",
        {
            **_RUN,
            "document": {
                "description": "The document as accepted, with credentials as `***`.",
                "type": "object",
            },
            "scenarios": _list("EntryDetail"),
        },
    ),
    "ScenarioStopped": _object(
        "Run that has been stopped",
        {"id": _TEXT, "status": _OUTCOME, "total_events": _COUNT, "ledger": _ref("Ledger")},
    ),
}
