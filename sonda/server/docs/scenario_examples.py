"""Examples for the paths of `/scenarios` in the OpenAPI document."""

from __future__ import annotations

from typing import Final

RUN_ID: Final = "8f14e45fceea467a9d3c2f1b6a7e0c55"
DOCUMENT: Final = {
    "scenario_name": "demo",
    "defaults": {"rate": 10, "duration": "1m", "labels": {"service": "shop"}},
    "scenarios": [
        {
            "signal_type": "metrics",
            "name": "requests_in_flight",
            "generator": {"type": "steady", "center": 40, "amplitude": 15},
            "dynamic_labels": [{"key": "host", "cardinality": 3}],
        },
        {
            "signal_type": "logs",
            "name": "access",
            "log_generator": {"type": "template", "templates": ["GET /products/{tick}"]},
        },
    ],
}
YAML: Final = """\
scenario_name: wave
signal_type: metrics
name: cpu_usage
rate: 1
duration: 10m
generator: { type: sine, amplitude: 10, period_secs: 60, offset: 50 }
encoder: { type: remote_write }
sink: { type: remote_write, url: "http://prometheus:9090/api/v1/write" }
"""
LEDGER: Final = {
    "planned": 600,
    "not_due": 480,
    "due": 120,
    "delivered": 118,
    "rejected": 1,
    "unknown": 0,
    "skipped": 0,
    "in_flight": 1,
    "backlog": 0,
    "bytes": 9440,
    "pushes": 119,
}
EXPOSITION: Final = """\
# HELP requests_in_flight Requests under way.
# TYPE requests_in_flight gauge
requests_in_flight{host="host_0",service="shop"} 41.5
"""
EVENT_AGAIN: Final = {
    "tick": 17,
    "outcome": "rejected",
    "detail": "sink error: http://loki:3100/loki/api/v1/push answered 400 Bad Request",
    "event": {
        "signal_type": "logs",
        "labels": {"service": "shop"},
        "log": {"severity": "info", "message": "GET /products/17"},
        "timestamp": "2026-11-23T08:00:01.7Z",
        "encoder": {"type": "json_lines"},
        "sink": {"type": "loki", "url": "http://loki:3100"},
    },
}
