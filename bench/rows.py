"""The rows of the table: which event goes to which destination."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import uuid4

from tests.backends import install
from tests.backends.certificates import make_certificates

from . import direct
from .direct import LABELS, MESSAGE, METRIC, SERIES
from .load import BenchError, Request
from .server import Server
from .stand_in.counts import EVENT, Counts
from .stand_in.running import run_stand_in

Document: TypeAlias = Mapping[str, object]


KEY: Final = "<<NANOSECONDS_19>>_"  # no two requests have the same, in any round


class AbsentError(BenchError):
    """What a row needs is not there; the row stays blank."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination that runs: how Sonda and others reach it, and how it counts."""

    sink: Document
    direct: Request | None = None
    counts: Callable[[Server], Counts] | None = None
    flags: tuple[str, ...] = ()  # of the server


@dataclass(frozen=True, slots=True)
class Row:
    """One destination under load."""

    name: str
    event: Document
    start: Callable[[Path], AbstractContextManager[Destination]]  # gets a folder to make
    may_lose: bool = False  # a 200 does not say that the destination has it
    events: int = 1  # in each request
    has_key: bool = False  # each request has an `Idempotency-Key` of its own

    def request(self, url: str, destination: Destination) -> Request:
        """Return the request to the server at *url*."""
        body = _body(self.event, destination.sink)
        media_type = "application/json" if self.events == 1 else "application/x-ndjson"
        headers = {"Content-Type": media_type}
        if self.has_key:
            headers["Idempotency-Key"] = KEY
        return Request(f"{url}/events", b"\n".join([body] * self.events), headers)


def _body(event: Document, sink: Document) -> bytes:
    return json.dumps({**event, "sink": sink}, separators=(",", ":")).encode()


# --- the events ----------------------------------------------------------------------------------


def _log(encoder: str) -> Document:
    return {
        "signal_type": "logs",
        "labels": LABELS,
        "log": {"severity": "info", "message": MESSAGE, "fields": {"version": "1.2.2"}},
        "encoder": {"type": encoder},
    }


def _metric(**labels: str) -> Document:
    return {
        "signal_type": "metrics",
        "labels": {"env": "prod", **labels},
        "metric": {"name": METRIC, "value": 1.5},
        "encoder": {"type": "remote_write"},
    }


# --- stand-ins, and files --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Options:
    """How a stand-in differs from one that answers at once, in clear, and that anybody may reach.

    With *rules* it is called by its name, and the last of so many rules allows it.
    """

    delay_ms: float = 0
    tls: bool = False
    rules: int = 0

    def flags(self, folder: Path) -> tuple[str, ...]:
        """What the server needs for it."""
        rules = [f"10.0.{number}.0/24" for number in range(self.rules - 1)]
        if self.rules:
            rules.append("localhost")
        allowed = [word for rule in rules for word in ("--allow-destination", rule)]
        return (*(("--tls-root", str(folder)) if self.tls else ()), *allowed)


@contextmanager
def _http(
    to: Callable[[str], tuple[Document, Request | None]],
    folder: Path,
    *,
    kind: str = "http",
    options: Options = Options(),
) -> Iterator[Destination]:
    """Run a stand-in; *to* says, for its URL, what Sonda's sink and a direct request look like."""
    folder.mkdir()
    certificates = make_certificates(folder / "tls") if options.tls else None
    with run_stand_in(
        folder / kind, kind, delay_ms=options.delay_ms, certificates=certificates
    ) as stand_in:
        port = stand_in.address.rpartition(":")[2]
        address = f"localhost:{port}" if options.rules else stand_in.address
        sink, request = to(f"{'https' if options.tls else 'http'}://{address}")
        if certificates:
            sink = {**sink, "tls": {"ca_cert": str(certificates.ca_cert)}}
        yield Destination(
            sink,
            direct=request,
            counts=lambda _: stand_in.counts(),
            flags=options.flags(folder),
        )


@contextmanager
def _socket(kind: str, folder: Path) -> Iterator[Destination]:
    """Run a stand-in of the sinks that have an address."""
    with run_stand_in(folder, kind) as stand_in:
        sink = {"type": kind, "address": stand_in.address}
        yield Destination(sink, counts=lambda _: stand_in.counts())


@contextmanager
def _file(sink: Document, where: Callable[[Server], Path], _: Path) -> Iterator[Destination]:
    """Let the server write a file of its own."""

    def counts(server: Server) -> Counts:
        path = where(server)
        events = path.read_bytes().count(EVENT) if path.exists() else 0
        return Counts(connections=0, requests=0, events=events)

    yield Destination(sink, counts=counts)


def _push(url: str) -> tuple[Document, Request | None]:
    return {"type": "http_push", "url": f"{url}/push"}, direct.line(f"{url}/push")


def _loki(url: str) -> tuple[Document, Request | None]:
    return {"type": "loki", "url": url}, direct.loki(url)


def _write(url: str) -> tuple[Document, Request | None]:
    target = f"{url}/api/v1/write"
    request = direct.remote_write(target, run=uuid4().hex)
    return {"type": "remote_write", "url": target}, request


def _grpc(url: str) -> tuple[Document, Request | None]:
    return {"type": "otlp_grpc", "endpoint": url, "signal_type": "logs"}, None


# --- real products ---------------------------------------------------------------------------------


@contextmanager
def _real(
    backend: str, to: Callable[[Any], tuple[Document, Request | None]], _: Path
) -> Iterator[Destination]:
    """Run what `make backends` has installed, by the `start_…` of its module."""
    module = f"tests.backends.{backend}"
    if backend not in install.BACKENDS or find_spec(module) is None:
        raise AbsentError(f"{backend} is none of the backends yet")
    if (installed := install.find(backend)) is None:
        raise AbsentError(f"{backend} is not installed: run `make backends`")
    with getattr(import_module(module), f"start_{backend}")(installed) as running:
        sink, request = to(running)
        yield Destination(sink, direct=request)


def _kafka(running: Any) -> tuple[Document, Request | None]:
    brokers, topic = running.addresses["plain"], running.create_topic()
    return {"type": "kafka", "brokers": brokers, "topic": topic}, None


def _otlp_http(running: Any) -> tuple[Document, Request | None]:
    url = f"http://{running.home.http}"
    return {"type": "http_push", "url": f"{url}/v1/logs"}, direct.otlp_http(url)


def _otlp_http_sink(running: Any) -> tuple[Document, Request | None]:
    url = f"http://{running.home.http}"
    return {"type": "otlp_http", "endpoint": url}, direct.otlp_http(url)


def _collector(running: Any) -> tuple[Document, Request | None]:
    sink, _ = _grpc(f"http://{running.home.grpc}")
    return sink, direct.otlp_http(f"http://{running.home.http}")


# --- the rows --------------------------------------------------------------------------------------

_LINES: Final = _log("json_lines")
_OTLP: Final = _log("otlp")
EXAMPLE: Final = _body(_LINES, {"type": "stdout"})  # what the echo is sent

MEMORY_ROW: Final = Row(
    "memory", {**_LINES, "labels": {**LABELS, "number": "<<NUMBER>>"}}, partial(_http, _loki)
)
"""No two events have the same labels: what is kept for each set of labels adds up."""

ROWS: Final = (
    Row("stdout", _LINES, partial(_file, {"type": "stdout"}, lambda server: server.stdout)),
    Row(
        "file",
        _LINES,
        partial(_file, {"type": "file", "path": "events"}, lambda server: server.folder / "events"),
    ),
    Row("tcp", _LINES, partial(_socket, "tcp")),
    Row("udp", _LINES, partial(_socket, "udp"), may_lose=True),
    Row("http_push", _LINES, partial(_http, _push)),
    Row("http_push/rules", _LINES, partial(_http, _push, options=Options(rules=100))),
    Row("loki", _LINES, partial(_http, _loki)),
    Row("loki/key", _LINES, partial(_http, _loki), has_key=True),
    Row("loki/ndjson", _LINES, partial(_http, _loki), events=1000),
    Row("loki/tls", _LINES, partial(_http, _loki, options=Options(tls=True))),
    Row("loki/5ms", _LINES, partial(_http, _loki, options=Options(delay_ms=5))),
    Row("loki/real", _LINES, partial(_real, "loki", lambda running: _loki(running.url))),
    Row("remote_write", _metric(series=SERIES), partial(_http, _write)),
    Row("remote_write/one-series", _metric(), partial(_http, _write)),
    Row(
        "remote_write/prometheus",
        _metric(series=SERIES),
        partial(_real, "prometheus", lambda running: _write(running.web.url)),
    ),
    Row("otlp_grpc", _OTLP, partial(_http, _grpc, kind="grpc")),
    Row("otlp_grpc/collector", _OTLP, partial(_real, "collector", _collector)),
    Row("http_push/collector", _OTLP, partial(_real, "collector", _otlp_http)),
    Row("otlp_http/collector", _OTLP, partial(_real, "collector", _otlp_http_sink)),
    Row("kafka", _LINES, partial(_real, "kafka", _kafka)),
)
