"""The OpenAPI document: what `schemas/` says of a request, and what the server answers.

Nothing is said twice. The request is `schemas/` with its references resolved into components, and
every example of a refusal quotes the problem that the code makes of a body, or of a situation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from sonda.about import version
from sonda.envelope import CODES
from sonda.server.docs.answer_schemas import ANSWERS
from sonda.server.docs.event_paths import component, post_events, refusal_responses
from sonda.server.docs.examples import StatusOf
from sonda.server.docs.probe_paths import get_destinations, get_health, get_ready
from sonda.server.docs.published import component_schemas
from sonda.server.docs.scenario_paths import scenario_paths
from sonda.server.docs.scenario_schemas import SCENARIO_ANSWERS

Json: TypeAlias = dict[str, Any]

_INTRODUCTION: Final = """\
Send one log or metric event now, and know that it landed: `POST /events` answers 200 once the
event's destination has acknowledged it, and everything else says exactly why not. `POST /scenarios`
sends many, at a rate, and accounts for each.

Problems are `{"error","detail"}`; a client that names `application/problem+json` in `Accept` is
answered as RFC 9457 has it.

Beside the keywords of JSON Schema this document has a few of its own. On an encoder `x-signals`
names the events that it takes, on a sink `x-encoders` names the encoders that fit it. `x-extra` is
the optional dependency that either needs (`pip install 'sonda-events[kafka]'`), and `x-reserved` lists the
header names, in any case, that a sink sets itself; a final `*` stands for any rest."""


def document(status_of: StatusOf) -> Json:
    """Return the document; *status_of* maps each problem to its HTTP status."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sonda",
            "version": version(),
            "summary": "Send one log or metric event now, and know that it landed.",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that this document comes from"}],
        "paths": {
            "/events": {"post": post_events()},
            "/destinations": {"get": get_destinations()},
            **scenario_paths(),
            "/health": {"get": get_health()},
            "/ready": {"get": get_ready()},
        },
        "components": {
            "schemas": dict(sorted(_schemas())),
            "responses": refusal_responses(status_of),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Only if the server has keys (`--api-key`, `[keys]`).",
                }
            },
        },
    }


def _schemas() -> Iterator[tuple[str, Json]]:
    yield from component_schemas()
    yield from ANSWERS.items()
    yield from SCENARIO_ANSWERS.items()
    for code in CODES.values():
        error = {"type": "string", "const": code}
        yield component("Refusal", code), _with_error("Refusal", error)
        yield component("Problem", code), _with_error("ProblemDetails", error)


def _with_error(name: str, error: Json) -> Json:
    """Return an answer's component for one code."""
    general = ANSWERS[name]
    title = f"{general['title']} {error['const']}"
    return {**general, "title": title, "properties": {**general["properties"], "error": error}}
