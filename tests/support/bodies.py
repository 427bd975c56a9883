"""Bodies to post: the page's two events, and ways to change them."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

NO_LISTENER = "127.0.0.1:1"

LOG: dict[str, Any] = {
    "signal_type": "logs",
    "labels": {"event": "deploy_start", "env": "prod"},
    "log": {"severity": "info", "message": "Deploy started", "fields": {"version": "1.2.2"}},
    "encoder": {"type": "json_lines"},
    "sink": {"type": "tcp", "address": NO_LISTENER},
}
METRIC: dict[str, Any] = {
    "signal_type": "metrics",
    "labels": {"event": "deploy_start", "job": "sonda"},
    "metric": {"name": "deploy_events_total", "value": 1.0},
    "encoder": {"type": "prometheus_text"},
    "sink": {"type": "tcp", "address": NO_LISTENER},
}
MISSING = object()
"""As a value for `changed`: take the field out."""


def changed(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Copy *body* with some fields set, `__` in a name for a level: `log__severity="warn"`."""
    copy = deepcopy(body)
    for name, value in changes.items():
        *way, last = name.split("__")
        inner = copy
        for step in way:
            inner = inner[step]
        if value is MISSING:
            del inner[last]
        else:
            inner[last] = value
    return copy


def raw(body: Any) -> bytes:
    """Write a body as it would be posted."""
    return json.dumps(body, ensure_ascii=False).encode()
