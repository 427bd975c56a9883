"""The schemas of answers in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sonda.envelope import CODES
from sonda.pipeline.schemas.registry import REQUEST

Json: TypeAlias = dict[str, Any]

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
_RECEIPT: Final[Json] = {
    "description": "With `receipt=true`: what the acknowledgement proves, and what it came with.",
    "type": "object",
    "properties": {
        "confirmed": {"enum": ["handed_off", "accepted", "stored", "queryable"]},
        "timestamp": {"type": "string", "format": "date-time"},
        "tries": {"type": "integer", "minimum": 1},
        "latency_us": {"type": "integer", "minimum": 0},
        "status": {"description": "The destination's own status.", "type": "integer"},
        "place": {"description": "Where a log has put the event.", "type": "object"},
    },
    "required": ["confirmed", "timestamp", "tries", "latency_us"],
    "additionalProperties": False,
}
PREVIEWED: Final[Json] = {
    "title": "Previewed",
    "description": "What a dry run shows: nothing has been sent.",
    "type": "object",
    "properties": {
        "sent": {"const": False},
        "signal_type": _SIGNAL,
        "preview": {
            "description": "The bytes as `text`, or as `hex` beside what they mean (`decoded`); their "
            "framing, the target, and what else goes with them: request line, headers, topic.",
            "type": "object",
            "required": ["encoder", "sink", "target", "timestamp", "framing", "bytes"],
        },
        "warnings": _WARNINGS,
    },
    "required": ["sent", "signal_type", "preview"],
    "additionalProperties": False,
}
SENT: Final[Json] = {
    "title": "Sent",
    "description": "The promise that the destination has acknowledged the event.",
    "type": "object",
    "properties": {
        "sent": {"const": True},
        "signal_type": _SIGNAL,
        "latency_ms": {
            "description": "From the start of encoding to the acknowledgement.",
            "type": "integer",
            "minimum": 0,
        },
        "receipt": _RECEIPT,
        "warnings": _WARNINGS,
    },
    "required": ["sent", "signal_type", "latency_ms"],
    "additionalProperties": False,
}
REFUSAL: Final[Json] = {
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
            "enum": ["safe", "may_duplicate"],
        },
        "issues": {
            "description": "With `receipt=true`, 400 and 422: the problems of the detail, one by one.",
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "reason": {"type": "string"}},
                "required": ["path", "reason"],
                "additionalProperties": False,
            },
        },
        "warnings": {**_WARNINGS, "description": "As in a 200; with 502 and 504 only."},
    },
    "required": ["error", "detail"],
    "additionalProperties": False,
}
PROBLEM_DETAILS: Final[Json] = {
    "title": "Problem details",
    "description": "The same as RFC 9457, for `Accept: application/problem+json`.",
    "type": "object",
    "properties": {
        **REFUSAL["properties"],
        "type": {"const": "about:blank"},
        "title": {"description": "The status in words.", "type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
    },
    "required": ["error", "detail", "type", "title", "status"],
    "additionalProperties": False,
}
