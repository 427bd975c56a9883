"""Short names of destinations for `--to`: `prometheus=URL`, `syslog=HOST:PORT`, `otlp[=URL]`.

`otlp` reads the variables that the OpenTelemetry specification defines for exporters.
Spec: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

EXAMPLES: Final = {
    "otlp": "otlp",
    "prometheus": "prometheus=http://localhost:9090",
    "syslog": "syslog=localhost:514",
}
_SIGNALS: Final = ("logs", "metrics")
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_SINKS: Final = {"http/protobuf": "otlp_http", "grpc": "otlp_grpc"}
_PORTS: Final = {
    80: "http_push",
    514: "syslog",
    3100: "loki",
    4317: "otlp_grpc",
    4318: "otlp",
    6514: "syslog",
    8428: "prometheus",
    9090: "prometheus",
    9092: "kafka",
}
_OTHER_NAMES: Final = {
    "http": "http_push",
    "https": "http_push",
    "webhook": "http_push",
    "grpc": "otlp_grpc",
    "opentelemetry": "otlp",
    "otel": "otlp",
    "log": "file",
    "prom": "prometheus",
    "mimir": "prometheus",
    "victoriametrics": "prometheus",
}
"""What people call a sink, or what it leads to."""
_PATHS: Final = {
    "/loki/api/v1/push": "loki",
    "/api/v1/write": "remote_write",
    "/v1/logs": "otlp",
    "/v1/metrics": "otlp",
}


class Expansion(Struct, frozen=True):
    """The sink and, where it is fixed, the encoder that an alias stands for.

    *secrets* has values that came from the environment, by the text that stands for them in answers.
    """

    sink: Mapping[str, Any]
    encoder: Mapping[str, Any] | None = None
    secrets: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Expansion({self.sink['type']!r})"


def expand(name: str, target: str) -> dict[str, Expansion]:
    """Return what an alias stands for, by signal type; raise `ValueError` with the reason."""
    if name == "otlp":
        return {signal: _otlp(signal, target) for signal in _SIGNALS}
    if not target:
        raise ValueError(f"{name!r} needs a target, as in {EXAMPLES[name]}")
    if name == "prometheus":
        found = Expansion({"type": "remote_write", "url": _with_path(target, "/api/v1/write")})
    else:
        found = Expansion({"type": "tcp", "address": target}, {"type": "syslog"})
    return dict.fromkeys(_SIGNALS, found)


def guess(to: str, known: list[str]) -> str:
    """Return what somebody may have meant by a text that names no destination, or an empty text."""
    from difflib import get_close_matches  # only a mistake needs it

    sink, equals, target = to.partition("=")
    if equals:
        close = get_close_matches(sink.lower(), known, 1)
        name = _OTHER_NAMES.get(sink.lower()) or next(iter(close), "")
        return f"{name}={target}" if name else ""
    if "://" in to:
        return _guess_from_url(to)
    if to.startswith(("/", "./", "../", "~")):
        return f"file={to}"
    host, colon, port = to.rpartition(":")
    if colon and host and port.isdecimal():
        name = _PORTS.get(int(port), "tcp")
        address = to if name in ("syslog", "tcp") else f"http://{to}"
        return f"kafka={to}/TOPIC" if name == "kafka" else f"{name}={address}"
    close = get_close_matches(to, known, 1)
    return close[0] if close else ""


def _guess_from_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https"):
        return f"tcp={parts.netloc}" if parts.scheme in ("tcp", "syslog") else ""
    name = _PATHS.get(parts.path.rstrip("/"))
    if name is None:
        name = _PORTS.get(port or 80, "http_push") if parts.path in ("", "/") else "http_push"
    if name in ("kafka", "syslog"):
        name = "http_push"
    return f"{name}={url}"


def _with_path(url: str, path: str) -> str:
    """Append a path to a URL that has none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # validation says what is wrong with it
    if parts.path.strip("/") or not parts.netloc:
        return url
    return parts._replace(path=path).geturl()


def _otlp(signal: str, url: str) -> Expansion:
    """Return the sink for one signal: its own variables first, then those for all signals."""
    protocol, source = _variable(signal, "PROTOCOL")
    sink_type = _SINKS.get(protocol or "http/protobuf")
    if sink_type is None:
        offered = " or ".join(_SINKS)
        raise ValueError(f"{source} is {protocol!r}: Sonda speaks {offered}")
    if sink_type == "otlp_grpc":
        sink = {"type": sink_type, "endpoint": _grpc_endpoint(signal, url), "signal_type": signal}
        endpoint = sink["endpoint"]
    else:
        sink = _http_sink(signal, url)
        endpoint = str(sink.get("endpoint", sink.get("url")))
    secrets: dict[str, str] = {}
    options = _options(signal, sink, endpoint, secrets)
    return Expansion({**sink, **options}, {"type": "otlp"}, secrets)


def _http_sink(signal: str, url: str) -> dict[str, str]:
    """Return the sink for OTLP over HTTP; the endpoint of one signal is used as it is."""
    own = os.environ.get(f"{_PREFIX}{signal.upper()}_ENDPOINT", "")
    if url or not own:
        shared = os.environ.get(f"{_PREFIX}ENDPOINT", "")
        return {"type": "otlp_http", "endpoint": url or shared or "http://localhost:4318"}
    if own.rstrip("/").endswith(f"/v1/{signal}"):
        return {"type": "otlp_http", "endpoint": own}
    return {"type": "http_push", "url": own}


def _grpc_endpoint(signal: str, url: str) -> str:
    endpoint = url or _variable(signal, "ENDPOINT")[0] or "http://localhost:4317"
    if "://" in endpoint:
        return endpoint
    insecure = _variable(signal, "INSECURE")[0].lower() == "true"
    return f"{'http' if insecure else 'https'}://{endpoint}"


def _options(
    signal: str, sink: Mapping[str, str], endpoint: str, secrets: dict[str, str]
) -> dict[str, Any]:
    """Return headers, timeout, compression and TLS files as the variables have them."""
    options: dict[str, Any] = {}
    headers, source = _variable(signal, "HEADERS")
    if headers:
        options["headers"] = _headers(headers, source, secrets)
    timeout, source = _variable(signal, "TIMEOUT")
    if timeout:
        if not timeout.isdecimal():
            raise ValueError(f"{source} is {timeout!r}: expected milliseconds")
        options["timeout"] = f"{timeout}ms"
    compression, _ = _variable(signal, "COMPRESSION")
    if compression and sink["type"] == "otlp_http":
        options["compression"] = compression
    files = {"ca_cert": "CERTIFICATE", "client_cert": "CLIENT_CERTIFICATE"}
    files["client_key"] = "CLIENT_KEY"
    tls = {name: path for name, key in files.items() if (path := _variable(signal, key)[0])}
    if tls and endpoint.lower().startswith("https://"):
        options["tls"] = tls
    return options


def _headers(text: str, source: str, secrets: dict[str, str]) -> dict[str, str]:
    """Read `name=value,name=value`, the values percent-encoded; each value may be a secret."""
    headers: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{source}: expected name=value pairs, separated by commas")
        headers[name.strip()] = unquote(value.strip())
        secrets[f"env:{source}[{name.strip()}]"] = headers[name.strip()]
    return headers


def _variable(signal: str, key: str) -> tuple[str, str]:
    """Return a variable of the signal, else the one for all signals, and its name."""
    own, shared = f"{_PREFIX}{signal.upper()}_{key}", f"{_PREFIX}{key}"
    name = own if os.environ.get(own) else shared
    return os.environ.get(name, ""), name
