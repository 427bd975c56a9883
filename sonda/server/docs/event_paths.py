"""The path `/events` in the OpenAPI document, and what every refused request is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from sonda.envelope import CODES
from sonda.pipeline.text.compact_json import compact
from sonda.server.docs.examples import EVENTS, NAMED, REASONS, StatusOf, previewed, refusals, sent
from sonda.server.docs.probe_paths import json_content
from sonda.server.docs.published import ref

Json: TypeAlias = dict[str, Any]

_NDJSON: Final = "application/x-ndjson"
_KEY_PATTERN: Final = r'^([!#-~]([ -~]{0,253}[!-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$'


def post_events() -> Json:
    """Return the operation `POST /events`."""
    answer = {"oneOf": [ref("Sent"), ref("Previewed")]}
    return {
        "operationId": "sendEvent",
        "summary": "Send one event, or many",
        "description": (
            "Answers once each event's destination has acknowledged it, or could not. An event has "
            "an `encoder` and a `sink`, or the name of a `destination`; `verify` reads it back. An "
            "encoder has to fit its sink (`x-encoders`), and `tls` needs an https:// URL."
        ),
        "security": [{}, {"key": []}],
        "parameters": [
            flag("dry_run", "Answer with what would be sent, byte for byte; nothing is opened."),
            flag(
                "receipt",
                "Answer with what a program wants to know: a 200 with its `receipt`, every other "
                "answer with `outcome`, `timestamp`, `resend` and `issues`.",
            ),
            _idempotency_key(),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": ref("Event"),
                    "examples": {**EVENTS, "named": NAMED},
                },
                _NDJSON: {
                    "schema": {
                        "description": "One event to a line, each a value of the schema `Event`.",
                        "type": "string",
                    },
                    "examples": {"two_events": _two_events()},
                },
            },
        },
        "responses": {
            "200": {
                "description": "The destination has acknowledged the event, or each of many; or "
                "what a dry run shows.",
                "headers": _REPLAYED,
                "content": {
                    **json_content(answer, {**sent(), **previewed()}),
                    _NDJSON: _lines(
                        {"line": 1, "status": 200, **_SENT}, {"line": 2, "status": 200, **_SENT}
                    ),
                },
            },
            "207": {
                "description": "Of many events, not all were acknowledged: each line has its own "
                "status.",
                "headers": _REPLAYED,
                "content": {
                    _NDJSON: _lines(
                        {"line": 1, "status": 200, **_SENT},
                        {
                            "line": 2,
                            "status": 400,
                            "error": CODES[400],
                            "detail": "missing field 'labels'",
                        },
                    )
                },
            },
            **refused(*(status for status in CODES if status not in (404, 405))),
        },
    }


_SENT: Final = {"sent": True, "signal_type": "logs", "latency_ms": 7}
_REPLAYED: Final = {
    "Idempotent-Replayed": {
        "description": "The answer, or a line of it, is that of an earlier request with the same "
        "`Idempotency-Key`; for that nothing was sent.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def refused(*statuses: int) -> Json:
    """Return the answers with *statuses* that are not 2xx."""
    return {str(status): ref(CODES[status], "responses") for status in statuses}


def flag(name: str, description: str) -> Json:
    """Return a query parameter that is true or false."""
    return {
        "name": name,
        "in": "query",
        "description": f"{description} `1`, `0` and an empty value are read as true, false and true.",
        "schema": {"type": "boolean", "default": False},
    }


def _idempotency_key() -> Json:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "description": (
            "A request that is repeated with its key is worked once: 1 to 255 characters of "
            "printable ASCII, bare or as a quoted string. The same key with another body is 422."
        ),
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": 512,
            "pattern": _KEY_PATTERN,
            "examples": ["8e03978e-40d5-43dd-bc93-6894a57f9324"],
        },
    }


def _two_events() -> Json:
    event = EVENTS["stdout"]["value"]
    second = {**event, "log": {**event["log"], "message": "Deploy finished"}}
    return {
        "summary": "Two events, one to a line",
        "value": "".join(compact(one).decode() + "\n" for one in (event, second)),
    }


def _lines(*examples: Json) -> Json:
    text = "".join(compact(one).decode() + "\n" for one in examples)
    return {
        "schema": {
            "description": "One line for each event, in their order: `line` (its physical line, "
            "from 1) and `status`, then what the event alone would have been answered.",
            "type": "string",
        },
        "examples": {"lines": {"value": text}},
    }


def refusal_responses(status_of: StatusOf) -> Json:
    """Return every answer that is not 2xx by its code, each with the texts that it can have."""
    examples = refusals(status_of)
    return {
        code: {
            "description": REASONS[status],
            **({"headers": headers} if (headers := _HEADERS.get(status)) else {}),
            "content": {
                **json_content(ref(component("Refusal", code)), examples[status]),
                "application/problem+json": {"schema": ref(component("Problem", code))},
            },
        }
        for status, code in CODES.items()
    }


def component(kind: str, code: str) -> str:
    """Return the name of the component for the answers with a code."""
    return "".join(word.capitalize() for word in code.split("_")) + kind


_SECONDS: Final[Json] = {"type": "integer", "minimum": 0, "examples": [1]}
_HEADERS: Final[Mapping[int, Json]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string", "const": "Bearer"}}},
    405: {
        "Allow": {
            "description": "The methods that this path has.",
            "required": True,
            "schema": {"type": "string", "examples": ["POST"]},
        }
    },
    409: {
        "Retry-After": {
            "description": "Seconds to wait before the next try, where that may help.",
            "schema": _SECONDS,
        }
    },
    503: {
        "Retry-After": {
            "description": "Seconds to wait before the next try.",
            "required": True,
            "schema": _SECONDS,
        }
    },
}
