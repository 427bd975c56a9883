"""The components of the OpenAPI document that answers are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from sonda.envelope import CODES
from sonda.pipeline.schemas.registry import REQUEST

Json: TypeAlias = dict[str, Any]


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_SIGNAL: Final[Json] = {
    "type": "string",
    "enum": REQUEST["properties"]["signal_type"]["enum"],
}
_WARNINGS: Final[Json] = {
    "description": "What the sender should know; absent when there is nothing.",
    "type": "array",
    "items": {"type": "string"},
    "minItems": 1,
}
_PLACE: Final[Json] = {
    "title": "Place",
    "description": "Where a log has put the event.",
    "type": "object",
    "properties": {
        "topic": {"type": "string"},
        "partition": {"type": "integer"},
        "offset": {"type": "integer"},
    },
    "required": ["topic", "partition"],
    "additionalProperties": False,
}
_RECEIPT: Final[Json] = {
    "title": "Receipt",
    "description": "With `receipt=true`: what the acknowledgement proves, and what it came with.",
    "type": "object",
    "properties": {
        "confirmed": {
            "type": "string",
            "enum": ["handed_off", "accepted", "stored", "queryable"],
        },
        "timestamp": {"type": "string", "format": "date-time"},
        "tries": {"type": "integer", "minimum": 1},
        "latency_us": {"type": "integer", "minimum": 0},
        "status": {"description": "The destination's own status.", "type": "integer"},
        "place": _ref("Place"),
    },
    "required": ["confirmed", "timestamp", "tries", "latency_us"],
    "additionalProperties": False,
}
_PREVIEW: Final[Json] = {
    "title": "Preview",
    "description": "The bytes as `text`, or as `hex` beside what they mean (`decoded`); their "
    "framing, the target, and what else goes with them: request line, headers, topic.",
    "type": "object",
    "required": ["encoder", "sink", "target", "timestamp", "framing", "bytes"],
}
_PREVIEWED: Final[Json] = {
    "title": "Previewed",
    "description": "What a dry run shows: nothing has been sent.",
    "type": "object",
    "properties": {
        "sent": {"type": "boolean", "const": False},
        "signal_type": _SIGNAL,
        "preview": _ref("Preview"),
        "warnings": _WARNINGS,
    },
    "required": ["sent", "signal_type", "preview"],
    "additionalProperties": False,
}
_SENT: Final[Json] = {
    "title": "Sent",
    "description": "The promise that the destination has acknowledged the event.",
    "type": "object",
    "properties": {
        "sent": {"type": "boolean", "const": True},
        "signal_type": _SIGNAL,
        "latency_ms": {
            "description": "From the start of encoding to the acknowledgement.",
            "type": "integer",
            "minimum": 0,
        },
        "verified": {
            "description": "With `verify`: whether the destination's own query API had the event.",
            "type": "boolean",
        },
        "visible_ms": {
            "description": "From the acknowledgement until the event was read back.",
            "type": "integer",
            "minimum": 0,
        },
        "receipt": _ref("Receipt"),
        "warnings": _WARNINGS,
    },
    "required": ["sent", "signal_type", "latency_ms"],
    "additionalProperties": False,
}
_ISSUE: Final[Json] = {
    "title": "Issue",
    "type": "object",
    "properties": {"path": {"type": "string"}, "reason": {"type": "string"}},
    "required": ["path", "reason"],
    "additionalProperties": False,
}
_REFUSAL: Final[Json] = {
    "title": "Refusal",
    "description": "The one shape of every answer that is not 200.",
    "type": "object",
    "properties": {
        "error": {
            "description": "A short code, one for each status.",
            "type": "string",
            "enum": list(CODES.values()),
        },
        "detail": {
            "description": "What, where and why; the problems of a body, joined by `; `.",
            "type": "string",
            "minLength": 1,
        },
        "outcome": {
            "description": "With `receipt=true`: nothing left Sonda, the destination refused the "
            "event, or nobody knows.",
            "type": "string",
            "enum": ["not_sent", "rejected", "unknown"],
        },
        "timestamp": {
            "description": "With `receipt=true`: the event's time. Sent again with it, it is the "
            "same event.",
            "type": "string",
            "format": "date-time",
        },
        "resend": {
            "description": "With `receipt=true`: whether the event cannot be there twice if it is "
            "sent again with that timestamp.",
            "type": "string",
            "enum": ["safe", "may_duplicate"],
        },
        "issues": {
            "description": "With `receipt=true`, 400 and 422: the problems of the detail, one by one.",
            "type": "array",
            "items": _ref("Issue"),
        },
        "warnings": {**_WARNINGS, "description": "As in a 200; with 502 and 504 only."},
    },
    "required": ["error", "detail"],
    "additionalProperties": False,
}
_PROBLEM_DETAILS: Final[Json] = {
    "title": "Problem details",
    "description": "The same as RFC 9457, for `Accept: application/problem+json`.",
    "type": "object",
    "properties": {
        **_REFUSAL["properties"],
        "type": {"type": "string", "const": "about:blank"},
        "title": {"description": "The status in words.", "type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
    },
    "required": ["error", "detail", "type", "title", "status"],
    "additionalProperties": False,
}

ANSWERS: Final[Mapping[str, Json]] = {
    "Sent": _SENT,
    "Receipt": _RECEIPT,
    "Place": _PLACE,
    "Previewed": _PREVIEWED,
    "Preview": _PREVIEW,
    "Refusal": _REFUSAL,
    "Issue": _ISSUE,
    "ProblemDetails": _PROBLEM_DETAILS,
}
