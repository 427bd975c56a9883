"""The paths of the probes and of `GET /destinations` in the OpenAPI document."""

from __future__ import annotations

from typing import Any, TypeAlias

from sonda.envelope import CODES

Json: TypeAlias = dict[str, Any]


def get_health() -> Json:
    """Return the operation `GET /health`."""
    return {
        "operationId": "health",
        "summary": "Whether the server is up",
        "description": "Needs no key, and is answered under any load.",
        "security": [],
        "responses": {
            "200": {
                "description": "It is up.",
                "content": json_content(_status("ok"), {"up": {"value": {"status": "ok"}}}),
            }
        },
    }


def get_ready() -> Json:
    """Return the operation `GET /ready`."""
    return {
        "operationId": "ready",
        "summary": "Whether the server takes events",
        "description": (
            "Needs no key, and is answered under any load. It speaks of this server alone: "
            "destinations come with each event, so there is none to ask."
        ),
        "security": [],
        "responses": {
            "200": {
                "description": "The pipeline is open.",
                "content": json_content(
                    _status("ready"), {"ready": {"value": {"status": "ready"}}}
                ),
            },
            "503": {"$ref": f"#/components/responses/{CODES[503]}"},
        },
    }


def get_destinations() -> Json:
    """Return the operation `GET /destinations`."""
    text = {"type": "string"}
    named = _object(name=text, sink=text)
    example = {"destinations": [{"name": "prod-loki", "sink": "loki"}]}
    refused = {
        str(status): {"$ref": f"#/components/responses/{CODES[status]}"}
        for status in (400, 401, 403, 503)
    }
    return {
        "operationId": "destinations",
        "summary": "List the named destinations",
        "description": "Those of the server's configuration that the caller's key may use.",
        "security": [{}, {"key": []}],
        "responses": {
            "200": {
                "description": "Their names, and the types of their sinks.",
                "content": json_content(
                    _object(destinations={"type": "array", "items": named}),
                    {"one": {"value": example}},
                ),
            },
            **refused,
        },
    }


def _object(**properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _status(word: str) -> Json:
    return {
        "type": "object",
        "properties": {"status": {"const": word}},
        "required": ["status"],
        "additionalProperties": False,
    }


def json_content(schema: Json, examples: Json) -> Json:
    """Return the content of an answer in JSON."""
    return {"application/json": {"schema": schema, "examples": examples}}
