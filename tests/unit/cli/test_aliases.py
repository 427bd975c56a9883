"""Short names of destinations, and what somebody may have meant by another."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sonda.cli.aliases import Expansion, expand, guess

KNOWN = ["file", "http_push", "kafka", "loki", "otlp", "prometheus", "stdout", "syslog", "tcp"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("http://h:9090", "http://h:9090/api/v1/write"),
        ("http://h:9090/", "http://h:9090/api/v1/write"),
        ("http://h/api/v1/push", "http://h/api/v1/push"),
        ("http://u:p@h?a=b", "http://u:p@h/api/v1/write?a=b"),
        ("h:9090", "h:9090"),  # no URL: validation says what is wrong with it
        ("http://[", "http://["),
    ],
)
def test_prometheus(target: str, url: str) -> None:
    """A URL without a path gets that of remote write; one with a path has it for a reason."""
    found = expand("prometheus", target)
    assert found == dict.fromkeys(
        ("logs", "metrics"), Expansion({"type": "remote_write", "url": url})
    )


def test_syslog() -> None:
    """It is a format as well as a place."""
    assert expand("syslog", "h:514")["logs"] == Expansion(
        {"type": "tcp", "address": "h:514"}, {"type": "syslog"}
    )


@pytest.mark.parametrize("name", ["prometheus", "syslog"])
def test_a_target_is_needed(name: str) -> None:
    """The reason has an example."""
    with pytest.raises(ValueError, match=f"{name}="):
        expand(name, "")


HTTP: dict[str, Any] = {"type": "otlp_http"}


@pytest.mark.parametrize(
    ("variables", "target", "expected"),
    [
        ({}, "", {**HTTP, "endpoint": "http://localhost:4318"}),
        ({}, "http://h", {**HTTP, "endpoint": "http://h"}),
        ({"ENDPOINT": "http://e"}, "", {**HTTP, "endpoint": "http://e"}),
        ({"ENDPOINT": "http://e"}, "http://h", {**HTTP, "endpoint": "http://h"}),
        (
            {"LOGS_ENDPOINT": "http://l/v1/logs", "ENDPOINT": "http://e"},
            "",
            {**HTTP, "endpoint": "http://l/v1/logs"},
        ),
        ({"LOGS_ENDPOINT": "http://l/x"}, "", {"type": "http_push", "url": "http://l/x"}),
        ({"METRICS_ENDPOINT": "http://m"}, "", {**HTTP, "endpoint": "http://localhost:4318"}),
        (
            {"TIMEOUT": "1500", "COMPRESSION": "gzip"},
            "http://h",
            {**HTTP, "endpoint": "http://h", "timeout": "1500ms", "compression": "gzip"},
        ),
        (
            {"PROTOCOL": "grpc", "COMPRESSION": "gzip"},
            "",
            {"type": "otlp_grpc", "endpoint": "http://localhost:4317", "signal_type": "logs"},
        ),
        (
            {"PROTOCOL": "grpc"},
            "h:4317",
            {"type": "otlp_grpc", "endpoint": "https://h:4317", "signal_type": "logs"},
        ),
        (
            {"PROTOCOL": "grpc", "INSECURE": "true"},
            "h:4317",
            {"type": "otlp_grpc", "endpoint": "http://h:4317", "signal_type": "logs"},
        ),
        (
            {"CERTIFICATE": "ca.pem", "CLIENT_KEY": "k.pem"},
            "HTTPS://h",
            {**HTTP, "endpoint": "HTTPS://h", "tls": {"ca_cert": "ca.pem", "client_key": "k.pem"}},
        ),
        ({"CERTIFICATE": "ca.pem"}, "http://h", {**HTTP, "endpoint": "http://h"}),
    ],
)
def test_otlp_reads_the_variables_of_its_specification(
    environment: pytest.MonkeyPatch, variables: dict[str, str], target: str, expected: object
) -> None:
    """Those of one signal before those for all; what is typed wins over both."""
    for name, value in variables.items():
        environment.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    found = expand("otlp", target)["logs"]
    assert (found.sink, found.encoder) == (expected, {"type": "otlp"})


def test_headers_are_secrets(environment: pytest.MonkeyPatch) -> None:
    """Each value is percent-encoded in the variable, and is shown by the variable's name."""
    environment.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20abc, x-a = b=c ,")
    found = expand("otlp", "")["metrics"]
    assert found.sink["headers"] == {"Authorization": "Basic abc", "x-a": "b=c"}
    assert found.secrets == {
        "env:OTEL_EXPORTER_OTLP_HEADERS[Authorization]": "Basic abc",
        "env:OTEL_EXPORTER_OTLP_HEADERS[x-a]": "b=c",
    }
    assert "abc" not in repr(found)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("PROTOCOL", "http/json", "Sonda speaks http/protobuf or grpc"),
        ("TIMEOUT", "10s", "expected milliseconds"),
        ("HEADERS", "no pair", "expected name=value pairs"),
        ("LOGS_HEADERS", "=v", "OTEL_EXPORTER_OTLP_LOGS_HEADERS: expected name=value pairs"),
    ],
)
def test_a_variable_that_means_nothing(
    environment: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    """It is named."""
    environment.setenv(f"OTEL_EXPORTER_OTLP_{variable}", value)
    with pytest.raises(ValueError, match=reason):
        expand("otlp", "")


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("webhook=http://h", "http_push=http://h"),
        ("Mimir=http://h", "prometheus=http://h"),
        ("lokki=http://h", "loki=http://h"),
        ("quux=http://h", ""),
        ("http://h:3100", "loki=http://h:3100"),
        ("http://h:1/loki/api/v1/push/", "loki=http://h:1/loki/api/v1/push/"),
        ("https://h/v1/logs", "otlp=https://h/v1/logs"),
        ("http://h:3100/hook", "http_push=http://h:3100/hook"),
        ("http://h:9092", "http_push=http://h:9092"),
        ("tcp://h:9", "tcp=h:9"),
        ("ftp://h", ""),
        ("http://h:x", ""),
        ("./events.log", "file=./events.log"),
        ("h:514", "syslog=h:514"),
        ("h:9092", "kafka=h:9092/TOPIC"),
        ("h:9090", "prometheus=http://h:9090"),
        ("h:7", "tcp=h:7"),
        ("stdot", "stdout"),
        ("zzz", ""),
    ],
)
def test_a_guess(to: str, expected: str) -> None:
    """From the name, the path or the port; nothing where nothing is near."""
    assert guess(to, KNOWN) == expected
