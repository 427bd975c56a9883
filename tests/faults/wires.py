"""How events of the ledger are written, and how they must arrive, byte for byte, at each sink.

What must arrive is put together here, by code that shares nothing with the encoders.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any, Final

from tests.support.wire import unsnap, write_request
from tests.support.wire_otlp import exported_logs

from .oracle import Sent

START_NS: Final = 1_795_420_800_000_000_000  # 2026-11-23T08:00:00Z
HUGE_BYTES: Final = 6_000_000  # over what Linux buffers by default for one connection, 4 MiB
_ALPHABET: Final = 'abc xyz 0123456789 "quoted" \\ / äöü € 😀 {}[]=,;'
_run: Final = count(1)

Options = Mapping[str, Any]


class Wire:
    """Makes events for one run of a row, each with a name and a time of its own."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._numbers = count(1)
        self._run = next(_run)

    def event(self, sink: Options, *, prefix: str = "", huge: bool = False) -> Sent:
        """Make the next event, to be delivered by *sink*; its message starts with *prefix*."""
        number = next(self._numbers)
        name = f"ev-{self._run:04x}-{number:06d}"
        time_ns = START_NS + self._run * 10**10 + number * 1_000_003
        message = self._message(f"{prefix}{name}", HUGE_BYTES if huge else 0)
        document, arrives = self._write(message, time_ns)
        tries = 1 + sink.get("retry", {}).get("max_attempts", 0)
        stamp = timestamp(time_ns)
        body = {**document, "timestamp": stamp, "sink": sink}
        return Sent(name, stamp, arrives, body, tries, huge)

    def read(self, received: bytes) -> list[Hashable]:
        """Take apart what has arrived in one push."""
        raise NotImplementedError

    def _write(self, message: str, time_ns: int) -> tuple[dict[str, Any], Hashable]:
        raise NotImplementedError

    def _message(self, name: str, least_bytes: int) -> str:
        """Start with the name: a write that is torn must not hide whose it is."""
        length = self._random.randrange(60)
        noise = "".join(self._random.choices(_ALPHABET, k=length))
        return f"{name} {noise}".ljust(least_bytes, "~")

    def _labels(self) -> dict[str, str]:
        return {"app": self._random.choice("abcd"), "city": self._random.choice(["Zürich", "Bern"])}


class Lines(Wire):
    """`json_lines`, one line a push; also what tcp with `lf`, files and stdout get."""

    def read(self, received: bytes) -> list[Hashable]:
        return [received]

    def _write(self, message: str, time_ns: int) -> tuple[dict[str, Any], Hashable]:
        labels = self._labels()
        return log(message, labels, "json_lines"), json_line(message, labels, time_ns)


class Entries(Lines):
    """Loki's entries: labels, nanoseconds, and the line without its line feed."""

    def read(self, received: bytes) -> list[Hashable]:
        document = json.loads(received)
        assert list(document) == ["streams"]
        return [
            (frozenset(stream["stream"].items()), time_ns, line)
            for stream in document["streams"]
            for time_ns, line in stream["values"]
        ]

    def _write(self, message: str, time_ns: int) -> tuple[dict[str, Any], Hashable]:
        labels = self._labels()
        line = json_line(message, labels, time_ns).decode().removesuffix("\n")
        return log(message, labels, "json_lines"), (frozenset(labels.items()), str(time_ns), line)


class Messages(Wire):
    """`syslog` without its last line feed: octet-counted frames and datagrams."""

    def read(self, received: bytes) -> list[Hashable]:
        return [received]

    def _write(self, message: str, time_ns: int) -> tuple[dict[str, Any], Hashable]:
        labels = self._labels()
        pairs = " ".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        head = f"<14>1 {milliseconds(time_ns)} sonda sonda - - [sonda@32473 {pairs}]"
        return log(message, labels, "syslog"), f"{head} {message}".encode()


class Samples(Wire):
    """Remote write: each sample is of a series of its own, which its name tells apart."""

    def read(self, received: bytes) -> list[Hashable]:
        return [
            (tuple(series.labels), struct.pack("<d", value), time_ms)
            for series in write_request(unsnap(received))
            for value, time_ms in series.samples
        ]

    def _write(self, message: str, time_ns: int) -> tuple[dict[str, Any], Hashable]:
        value = self._random.uniform(-1e9, 1e9)
        labels = {"event": message, **self._labels()}
        document = {
            "signal_type": "metrics",
            "labels": labels,
            "metric": {"name": "faults_total", "value": value},
            "encoder": {"type": "remote_write"},
        }
        pairs = tuple(sorted({"__name__": "faults_total", **labels}.items()))
        return document, (pairs, struct.pack("<d", value), time_ns // 1_000_000)


class Logs(Wire):
    """OTLP log records: body, attributes and nanoseconds."""

    def read(self, received: bytes) -> list[Hashable]:
        return [
            (record.body, frozenset(record.attributes), record.time_ns)
            for record in exported_logs(received)
        ]

    def _write(self, message: str, time_ns: int) -> tuple[dict[str, Any], Hashable]:
        labels = self._labels()
        return log(message, labels, "otlp"), (message, frozenset(labels.items()), time_ns)


def log(message: str, labels: Mapping[str, str], encoder: str) -> dict[str, Any]:
    """Write the body of a log event."""
    return {
        "signal_type": "logs",
        "labels": labels,
        "log": {"severity": "info", "message": message},
        "encoder": {"type": encoder},
    }


def json_line(message: str, labels: Mapping[str, str], time_ns: int) -> bytes:
    """What `json_lines` makes of such an event."""
    document = {
        "timestamp": milliseconds(time_ns),
        "severity": "info",
        "message": message,
        "labels": dict(sorted(labels.items())),
        "fields": {},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def timestamp(time_ns: int) -> str:
    """Write a time as an event has it, and as problems name it."""
    second, ns = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


def milliseconds(time_ns: int) -> str:
    """Write a time as text encoders do: floored."""
    return f"{timestamp(time_ns)[:23]}Z"
