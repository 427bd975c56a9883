"""Bodies of a megabyte that are made to cost much, each of its kind, by name."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any, Final

from tests.support.bodies import LOG, METRIC, changed
from tests.support.extras import is_usable

SIZE: Final = 900_000
_CLOSED: Final = "http://127.0.0.1:1"


def tcp(address: str) -> dict[str, Any]:
    """Return a body whose sink has this address."""
    return changed(LOG, sink={"type": "tcp", "address": address})


def http(**options: Any) -> dict[str, Any]:
    """Return a body whose sink is http_push with these options."""
    return changed(LOG, sink={"type": "http_push", "url": "http://127.0.0.1:1", **options})


_BODIES: Final[dict[str, Any]] = {
    "labels that are numbers": changed(LOG, labels={f"l{n}": n for n in range(70_000)}),
    "labels with bad names": changed(LOG, labels={f"a-{n}": "x" for n in range(70_000)}),
    "fields that are lists": changed(LOG, log__fields={f"f{n}": [] for n in range(70_000)}),
    "unknown fields": {**LOG, **{f"u{n}": 1 for n in range(70_000)}},
    "a long unknown field": {**LOG, "u" * SIZE: 1},
    "a long path": changed(LOG, sink={"type": "file", "path": "a/" * (SIZE // 2)}),
    "an IPv6 address": tcp(f"[{'1:' * (SIZE // 2)}]:1"),
    "an address": tcp("a" * SIZE),
    "a long label": tcp(".".join(["a" * 63] * (SIZE // 64)) + ":1"),
    "a URL": http(url="http://" + "a." * (SIZE // 2)),
    "userinfo": http(url="http://" + "a:" * (SIZE // 2) + "@x"),
    "headers": http(headers={f"h {n}": "x" for n in range(60_000)}),
    "a long duration": http(timeout="9" * SIZE + "h"),
    "retry": http(retry={f"r{n}": n for n in range(60_000)}),
    "brokers": changed(LOG, sink={"type": "kafka", "brokers": "a:b," * (SIZE // 4), "topic": "t"}),
    "a timestamp": {**LOG, "timestamp": "1" * SIZE},
    "a severity": changed(LOG, log__severity="w" * SIZE),
    "a metric name": changed(METRIC, metric__name="1" * SIZE),
}
_RAW: Final = {
    "brackets": b"[" * SIZE,
    "braces": b'{"a":' * (SIZE // 5),
    "digits": b'{"signal_type":' + b"9" * SIZE + b"}",
    "exponents": b"[" + b"1e999," * (SIZE // 6) + b"1]",
    "escapes": b'{"signal_type":"' + b"\\u0000" * (SIZE // 6) + b'"}',
    "surrogates": b'{"signal_type":"' + b"\\ud800" * (SIZE // 6) + b'"}',
    "equal names": b"{" + b'"a":1,' * (SIZE // 6) + b'"a":1}',
    "blanks": b" " * SIZE + b"{",
    "no UTF-8": b'{"signal_type":"' + b"\xff" * SIZE + b'"}',
}


def _shuffled(many: int, text: str) -> dict[str, str]:
    """Return labels in no order: what an encoder sorts, and what lies scattered in memory."""
    names = [f"l{number}" for number in range(many)]
    random.Random(1).shuffle(names)  # noqa: S311  # nothing secret
    return dict.fromkeys(names, text)


def _wide() -> dict[str, dict[str, Any]]:
    """Return valid events of tens of thousands of labels, by encoder, for a port that is closed."""
    bodies = {}
    for encoder, event in (
        ("json_lines", LOG),
        ("syslog", LOG),
        ("otlp", LOG),
        ("prometheus_text", METRIC),
        ("influx_lp", METRIC),
        ("remote_write", METRIC),
    ):
        if is_usable("encoder", encoder):
            to = {"encoder": {"type": encoder}, "sink": {"type": "http_push", "url": _CLOSED}}
            labels = _shuffled(70_000, "x")
            bodies[f"labels for {encoder}"] = {**event, **to, "labels": labels}
            special = _shuffled(50_000, '"\\,x')
            bodies[f"escapes for {encoder}"] = {**event, **to, "labels": special}
    bodies["fields for syslog"] = changed(
        LOG, encoder={"type": "syslog"}, log__fields=_shuffled(70_000, "x")
    )
    bodies["backslashes for influx_lp"] = changed(
        METRIC, encoder={"type": "influx_lp"}, labels=_shuffled(70_000, "\\")
    )
    bodies["a header"] = http(headers={"x-header": "y" * SIZE})
    bodies["a message"] = changed(LOG, log__message='"\n' * (SIZE // 4))
    return bodies


HOSTILE_BODIES: Final[Mapping[str, bytes]] = {
    **{
        name: json.dumps(body, separators=(",", ":")).encode()
        for name, body in {**_BODIES, **_wide()}.items()
    },
    **_RAW,
}
