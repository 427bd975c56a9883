"""Examples for the OpenAPI document: events that are valid, and what the code says of what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from sonda.envelope import CODES
from sonda.pipeline.net import Network
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.problems import (
    DestinationBusy,
    Forbidden,
    Invalid,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
    missing_extra,
)
from sonda.pipeline.result import fold
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.preview import preview
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.text.compact_json import compact
from sonda.pipeline.values.timestamps import rfc3339
from sonda.pipeline.wire_preview import Preview
from sonda.rejections import (
    Bug,
    Busy,
    BusyBytes,
    Conflict,
    CutOff,
    CutShort,
    ForbiddenHost,
    InvalidKey,
    InvalidParameter,
    KeyMismatch,
    KeyUnstorable,
    MethodNotAllowed,
    NotFound,
    NotReady,
    PayloadTooLarge,
    Rejection,
    RequestTimeout,
    ShuttingDown,
    TooManyEvents,
    TooManyRequests,
    Unauthorized,
    UnknownParameters,
    UnsupportedMediaType,
)

Json: TypeAlias = dict[str, Any]
StatusOf: TypeAlias = Callable[[Problem | Rejection], int]

_LABELS: Final = {"event": "deploy_start", "env": "prod"}
_LOG: Final = {
    "severity": "info",
    "message": "Deploy started",
    "fields": {"version": "1.2.2"},
}
_METRIC: Final = {"name": "deploy_timestamp_seconds", "value": 1_795_420_800}
_TIME_NS: Final = 1_795_420_800_123_456_789


def _log(summary: str, encoder: Json, sink: Json) -> Json:
    return {
        "summary": summary,
        "value": {
            "signal_type": "logs",
            "labels": _LABELS,
            "log": _LOG,
            "encoder": encoder,
            "sink": sink,
        },
    }


def _metric(summary: str, encoder: Json, sink: Json) -> Json:
    return {
        "summary": summary,
        "value": {
            "signal_type": "metrics",
            "labels": {"event": "deploy_start", "job": "sonda"},
            "metric": _METRIC,
            "encoder": encoder,
            "sink": sink,
        },
    }


EVENTS: Final[Mapping[str, Json]] = {
    "stdout": _log(
        "A log line on the server's own output", {"type": "json_lines"}, {"type": "stdout"}
    ),
    "loki": _log(
        "An annotation in Grafana, by Loki",
        {"type": "json_lines"},
        {"type": "loki", "url": "http://loki:3100"},
    ),
    "syslog": _log(
        "A syslog message over TCP",
        {"type": "syslog", "app_name": "deployer"},
        {"type": "tcp", "address": "syslog:514", "framing": "octet_counting"},
    ),
    "file": _log(
        "A log line in a file, on durable storage",
        {"type": "json_lines"},
        {"type": "file", "path": "events/deploys.log", "fsync": True},
    ),
    "kafka": _log(
        "A log record on a Kafka topic",
        {"type": "json_lines"},
        {"type": "kafka", "brokers": "kafka:9092", "topic": "events"},
    ),
    "otlp_logs": _log(
        "A log record for an OpenTelemetry collector",
        {"type": "otlp"},
        {"type": "otlp_grpc", "endpoint": "http://collector:4317", "signal_type": "logs"},
    ),
    "prometheus": _metric(
        "A sample in Prometheus, by remote write",
        {"type": "remote_write"},
        {"type": "remote_write", "url": "http://prometheus:9090/api/v1/write"},
    ),
    "pushgateway": _metric(
        "A sample in a Pushgateway",
        {"type": "prometheus_text", "timestamp": False},
        {"type": "http_push", "url": "http://pushgateway:9091/metrics/job/ci"},
    ),
    "influxdb": _metric(
        "A point in InfluxDB, tried again if need be",
        {"type": "influx_lp", "precision": 2},
        {
            "type": "http_push",
            "url": "http://influxdb:8086/write?db=deploys",
            "timeout": "10s",
            "retry": {"max_attempts": 3, "initial_backoff": "100ms", "max_backoff": "5s"},
        },
    ),
    "udp": _metric(
        "A metric as a datagram, which nobody acknowledges",
        {"type": "json_lines", "precision": 2},
        {"type": "udp", "address": "telegraf:8094"},
    ),
}

NAMED: Final[Json] = {
    "summary": "For a destination that the operator has named, read back",
    "value": {
        "signal_type": "logs",
        "labels": _LABELS,
        "log": _LOG,
        "destination": "prod-loki",
        "verify": {"timeout": "5s"},
    },
}

REASONS: Final[Mapping[int, str]] = {
    400: "Nothing was sent: the body's structure is wrong. The detail names every flaw.",
    401: "Nothing was sent: the server has a key, and it is missing or wrong.",
    403: "Nothing was sent: the operator does not allow the file or the destination.",
    404: "There is no such path.",
    405: "The path does not have this method.",
    408: "Nothing was sent: the body did not arrive in time.",
    409: "Nothing was sent: another request stands in the way; see `Retry-After`.",
    413: "Nothing was sent: the body is too long.",
    415: "Nothing was sent: the body is not announced as JSON, or as another type that is taken here.",
    422: "Nothing was sent: a value is not possible, or an extra is not installed.",
    429: "Nothing was started: a limit on scenarios is reached.",
    431: "Nothing was sent: the request's line and headers are too long.",
    500: "A bug of the server's; its log has the traceback.",
    502: "The destination refused the event, or was never reached.",
    503: "Nothing was sent: too many requests or bytes are in flight, or the server is shutting down.",
    504: "The outcome is unknown: the event left, and no acknowledgement came. Sent again with the "
    "detail's `timestamp` it is the same event.",
}


def sent() -> Json:
    """Return answers to events that were acknowledged."""
    advised = _order(EVENTS["udp"]["value"]).bind(partial(preflight, in_server=True))
    warnings = fold(advised, lambda validated: list(validated.warnings), _unexpected)
    return {
        "acknowledged": {"value": {"sent": True, "signal_type": "logs", "latency_ms": 7}},
        "with_a_receipt": {
            "value": {
                "sent": True,
                "signal_type": "logs",
                "latency_ms": 7,
                "verified": True,
                "visible_ms": 12,
                "receipt": {
                    "confirmed": "queryable",
                    "timestamp": rfc3339(_TIME_NS),
                    "tries": 1,
                    "latency_us": 7123,
                    "status": 204,
                },
            }
        },
        "with_a_warning": {
            "value": {
                "sent": True,
                "signal_type": "metrics",
                "latency_ms": 0,
                "warnings": warnings,
            }
        },
    }


def previewed() -> Json:
    """Return the answer to a dry run."""
    validated = _order(EVENTS["stdout"]["value"])
    shown = validated.bind(encode).bind(partial(preview, network=Network()))
    return {"dry_run": {"value": fold(shown, Preview.answer, _unexpected)}}


def refusals(status_of: StatusOf) -> dict[int, Json]:
    """Return examples of every answer that is not 200, by status."""
    found: dict[int, Json] = {status: {} for status in CODES}
    for name, problem in situations():
        status = status_of(problem)
        found[status][name] = {"value": {"error": CODES[status], "detail": str(problem)}}
    found[431]["head_too_long"] = {
        "value": {
            "error": CODES[431],
            "detail": "the request's line and headers are over 65536 bytes",
        }
    }
    return found


def situations() -> Iterator[tuple[str, Problem | Rejection]]:
    """Name all that can go wrong; whatever a body can cause is asked of the code that judges bodies."""
    log, metric = EVENTS["stdout"]["value"], EVENTS["influxdb"]["value"]
    for name, body in _bad_bodies(log, metric).items():
        yield name, fold(_order(body), _unexpected, lambda problem: problem)
    yield "unknown_parameter", UnknownParameters(("dryrun",))
    yield "invalid_parameter", InvalidParameter("dry_run", "is given more than once")
    yield "cut_short", CutShort()
    yield "foreign_host", ForbiddenHost("evil.example")
    yield "no_key", Unauthorized("missing or malformed Authorization header")
    yield "wrong_key", Unauthorized("invalid API key")
    yield (
        "outside_the_file_root",
        Forbidden(
            'file path "/etc/motd" is outside the file root',
            "sonda-server --file-root DIR would allow its folder",
        ),
    )
    yield "no_such_path", NotFound("/event")
    yield "get_events", MethodNotAllowed("GET", "/events", "POST")
    yield "slow_body", RequestTimeout(30)
    yield "long_body", PayloadTooLarge(1_048_576)
    yield (
        "not_announced_as_json",
        UnsupportedMediaType(
            "send the event as Content-Type: application/json, or many as application/x-ndjson"
        ),
    )
    yield "missing_extra", Invalid((missing_extra("sink", "kafka", "kafka"),))
    yield "bug", Bug("KeyError")
    yield "refused_connection", Unreachable("TCP connect to 127.0.0.1:1", "Connection refused")
    yield (
        "refused_event",
        Refused("http://loki:3100", "400 Bad Request", "error at least one label pair is required"),
    )
    yield "busy", Busy(1024)
    yield "busy_bytes", BusyBytes(67_108_864)
    yield (
        "key_under_way",
        Conflict("a request with this Idempotency-Key is under way", passes=True),
    )
    yield "invalid_key", InvalidKey()
    yield "key_of_another_request", KeyMismatch()
    yield (
        "key_that_cannot_be_kept",
        KeyUnstorable("there is no folder that can be written to"),
    )
    if (restricted := Caller("ci", frozenset()).judge_inline()) is not None:
        yield "restricted_key", restricted
    yield "too_many_events", TooManyEvents(10_000)
    yield "too_many_scenarios", TooManyRequests("100 scenarios run (--max-scenarios): stop one")
    yield "crowded", DestinationBusy("http://loki:3100", 512)
    yield "shutting_down", ShuttingDown()
    yield "not_ready", NotReady()
    yield "no_answer", OutcomeUnknown("http://loki:3100", "within 10s", _TIME_NS)
    yield "cut_off", CutOff()


def _bad_bodies(log: Json, metric: Json) -> Mapping[str, Json | bytes]:
    return {
        "not_json": b'{"signal_type": "logs", ',
        "unknown_signal_type": {**log, "signal_type": "traces"},
        "several_flaws": {
            **log,
            "count": 5,
            "log": {"severity": "INFO", "message": "x"},
            "sink": {"type": "loki"},
        },
        "bad_names": {
            **metric,
            "labels": {"a-b": "x"},
            "metric": {"name": "1bad", "value": 1.0},
        },
        "bad_retry": {
            **metric,
            "sink": {
                **metric["sink"],
                "retry": {"max_attempts": 0, "initial_backoff": "100ms", "max_backoff": "5s"},
            },
        },
        "no_fit": {**log, "encoder": {"type": "influx_lp"}},
    }


def _order(body: Json | bytes) -> Any:
    raw = body if isinstance(body, bytes) else compact(body)
    return parse(raw).bind(partial(validate, received_ns=_TIME_NS))


def _unexpected(found: object) -> Any:
    raise AssertionError(f"an example is not what it should be: {found}")
