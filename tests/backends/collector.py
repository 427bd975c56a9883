"""A real OpenTelemetry Collector that writes what it was sent, as JSON, to a temporary file."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.support.ports import free_ports

from .certificates import Certificates, make_certificates
from .install import program
from .process import Process, poll, started, with_free_ports
from .web import read_json

# In CI each of these must have been proved at least once.
ROWS: Final = (
    "collector grpc",
    "collector grpc tls",
    "collector http",
    "collector otlp_http",
    "collector otlp_http gzip",
)
READY_TIMEOUT_S: Final = 60.0
PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """One log record or data point as the collector has understood it."""

    resource: dict[str, str]
    attributes: dict[str, str]
    scope: tuple[str, str]
    time_ns: int
    name: str  # the record's body, or the metric's name
    severity: tuple[int, str] | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Home:
    """A collector's folder and addresses: it can be started in it again and again."""

    installed: Path
    folder: Path
    grpc: str
    tls: str
    mutual_tls: str
    http: str
    certificates: Certificates

    @classmethod
    def of(cls, installed: Path, folder: Path) -> Home:
        """Choose free ports, and write certificates and configuration."""
        certificates = make_certificates(folder / "tls")
        grpc, tls, mutual_tls, http = (f"127.0.0.1:{port}" for port in free_ports(4))
        home = cls(installed, folder, grpc, tls, mutual_tls, http, certificates)
        (folder / "config.yaml").write_text(json.dumps(home._config()), encoding="utf-8")
        return home

    @contextmanager
    def running(self) -> Iterator[Collector]:
        """Run it until the end of the `with` block; what it has stored before stays."""
        command, env = program(self.installed, "bin/collector", "--config=config.yaml")
        with started(command, folder=self.folder, env=env) as process:
            addresses = (self.grpc, self.tls, self.mutual_tls, self.http)
            process.wait_until(
                lambda: all(map(_listens, addresses)),
                timeout_s=READY_TIMEOUT_S,
                what="it listens",
            )
            yield Collector(self, process)

    def _config(self) -> dict[str, Any]:
        """YAML takes JSON as well."""
        certificates = self.certificates
        tls = {"cert_file": f"{certificates.server_cert}", "key_file": f"{certificates.server_key}"}
        mutual = tls | {"client_ca_file": f"{certificates.ca_cert}"}
        plain = {"grpc": {"endpoint": self.grpc}, "http": {"endpoint": self.http}}
        pipeline = {"receivers": ["otlp", "otlp/tls", "otlp/mutual"], "exporters": ["file"]}
        stored = {"path": f"{self.folder / 'stored'}", "append": True, "flush_interval": "10ms"}
        return {
            "receivers": {
                "otlp": {"protocols": plain},
                "otlp/tls": {"protocols": {"grpc": {"endpoint": self.tls, "tls": tls}}},
                "otlp/mutual": {
                    "protocols": {"grpc": {"endpoint": self.mutual_tls, "tls": mutual}}
                },
            },
            "exporters": {"file": stored},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"logs": pipeline, "metrics": pipeline},
            },
        }


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector that runs."""

    home: Home
    process: Process

    def wait_for(self, where: Callable[[Found], bool], *, count: int = 1) -> list[Found]:
        """Return what *where* picks once it is *count* or more; fails if it stays fewer."""

        def look() -> list[Found]:
            return [found for found in self.found() if where(found)]

        return poll(look, count=count, timeout_s=PATIENCE_S, process=self.process)

    def found(self) -> list[Found]:
        """Return all that it has stored so far."""
        file = self.home.folder / "stored"
        lines = file.read_text(encoding="utf-8").split("\n") if file.exists() else [""]
        # What follows the last newline is not complete.
        return [found for line in lines[:-1] for found in _read(read_json(line.encode()))]


@contextmanager
def start_collector(installed: Path) -> Iterator[Collector]:
    """Run a collector until the end of the `with` block."""
    with ExitStack() as stack:
        yield with_free_ports(lambda: stack.enter_context(_start(installed)))


@contextmanager
def _start(installed: Path) -> Iterator[Collector]:
    with (
        TemporaryDirectory(prefix="sonda-collector-") as folder,
        Home.of(installed, Path(folder)).running() as collector,
    ):
        yield collector


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError:
        return False
    return True


def _read(line: dict[str, Any]) -> Iterator[Found]:
    for signal, scopes, records in (
        ("resourceLogs", "scopeLogs", "logRecords"),
        ("resourceMetrics", "scopeMetrics", "metrics"),
    ):
        for of_resource in line.get(signal, ()):
            resource = _attributes(of_resource["resource"])
            for of_scope in of_resource[scopes]:
                scope = (of_scope["scope"]["name"], of_scope["scope"]["version"])
                for record in of_scope[records]:
                    yield from _records(record, resource, scope)


def _records(
    record: dict[str, Any], resource: dict[str, str], scope: tuple[str, str]
) -> Iterator[Found]:
    if "gauge" not in record:
        assert record.get("timeUnixNano") == record.get("observedTimeUnixNano")
        yield Found(
            resource=resource,
            attributes=_attributes(record),
            scope=scope,
            time_ns=int(record.get("timeUnixNano", 0)),
            name=record["body"]["stringValue"],
            severity=(record["severityNumber"], record["severityText"]),
        )
        return
    for point in record["gauge"]["dataPoints"]:
        yield Found(
            resource=resource,
            attributes=_attributes(point),
            scope=scope,
            time_ns=int(point.get("timeUnixNano", 0)),
            name=record["name"],
            value=float(point["asDouble"]),
        )


def _attributes(holder: dict[str, Any]) -> dict[str, str]:
    """Return the attributes; a key that stands twice is no dictionary."""
    pairs = [
        (pair.get("key", ""), pair["value"]["stringValue"]) for pair in holder.get("attributes", ())
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)
