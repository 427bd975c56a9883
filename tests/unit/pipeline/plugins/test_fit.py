"""Which encoder, sink and signal fit together, and what is said where they do not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sonda.pipeline.model import Verify
from sonda.pipeline.plugins.fit import (
    cannot_encode,
    default_encoder,
    does_not_fit,
    encoders_of_signal,
    encoders_of_sink,
    other_signal,
    sinks_of_encoder,
    verify_errors,
)
from sonda.pipeline.schemas.issues import SchemaError


def said(errors: Iterable[SchemaError]) -> list[tuple[str, str]]:
    issues = [error.issue for error in errors]
    return [(issue.path, issue.reason) for issue in issues if issue is not None]


def test_a_fit_is_mutual() -> None:
    """An encoder's sinks are those that name it."""
    for encoder in {*encoders_of_signal("logs"), *encoders_of_signal("metrics")}:
        for sink in sinks_of_encoder(encoder):
            assert encoder in encoders_of_sink(sink)
            assert not said(does_not_fit(encoder, sink))


def test_an_encoder_that_cannot_encode_the_signal() -> None:
    """The issue lists those that can."""
    assert said(cannot_encode("json_lines", "logs")) == []
    ((path, reason),) = said(cannot_encode("syslog", "metrics"))
    assert path == "encoder.type"
    assert reason == (
        f"'syslog' cannot encode metrics; these can: {', '.join(encoders_of_signal('metrics'))}"
    )


def test_a_sink_that_does_not_take_what_the_encoder_makes() -> None:
    """The issue lists the encoders that fit."""
    ((path, reason),) = said(does_not_fit("json_lines", "remote_write"))
    assert path == "sink.type"
    assert reason == (
        "'remote_write' does not take what encoder 'json_lines' makes; these fit: remote_write"
    )


@pytest.mark.parametrize(
    ("sink", "encoder"), [("stdout", "json_lines"), ("remote_write", "remote_write")]
)
def test_the_encoder_where_nobody_chose(sink: str, encoder: str) -> None:
    """Lines of JSON where they fit."""
    assert default_encoder(sink) == {"type": encoder}


def test_an_option_that_promises_another_signal() -> None:
    """The sink says itself what it is sent."""
    options = {"signal_type": "metrics"}
    assert said(other_signal("otlp_grpc", options, "metrics")) == []
    ((path, reason),) = said(other_signal("otlp_grpc", options, "logs"))
    assert path == "sink.signal_type"
    assert 'must be the event\'s, "logs"' in reason
    assert said(other_signal("stdout", {}, "logs")) == []


@pytest.mark.parametrize(
    ("sink", "options", "verify", "path", "reason"),
    [
        ("udp", {}, Verify(), "verify", "'udp' cannot be read back; these can: "),
        ("file", {}, Verify(url="http://a"), "verify.url", "'file' has no query API; these have"),
        (
            "remote_write",
            {"url": "http://a/push"},
            Verify(),
            "verify",
            "does not end in /api/v1/write: verify.url must say where to ask",
        ),
    ],
)
def test_what_cannot_be_read_back(
    sink: str, options: dict[str, Any], verify: Verify, path: str, reason: str
) -> None:
    """The issue says which sinks could, or what is missing."""
    ((found, why),) = said(verify_errors(sink, options, verify))
    assert found == path
    assert reason in why


def test_what_can() -> None:
    """Where a URL is given, or can be derived, or nothing was asked for."""
    assert said(verify_errors("udp", {}, None)) == []
    for url in ("http://a/api/v1/write", "http://a/prom/api/v1/write", "http://a/api/v1/write/"):
        assert said(verify_errors("remote_write", {"url": url}, Verify())) == []
    assert said(verify_errors("remote_write", {"url": "http://a"}, Verify(url="http://b"))) == []
    assert said(verify_errors("remote_write", {"url": "no URL"}, Verify())) == []
