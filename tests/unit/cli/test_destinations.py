"""What `--to` and the options beside it mean together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from sonda.cli.destinations import (
    Options,
    default_encoder,
    destination,
    destinations,
    example,
    target,
)
from sonda.pipeline.plugins.fit import encoders_of_sink
from sonda.pipeline.schemas.registry import PLUGINS

NONE = Options()


@pytest.mark.parametrize(
    ("to", "sink"),
    [
        ("stdout", {"type": "stdout"}),
        ("loki=http://loki:3100/", {"type": "loki", "url": "http://loki:3100/"}),
        ("tcp=[::1]:514", {"type": "tcp", "address": "[::1]:514"}),
        ("http_push=http://h/?a=b", {"type": "http_push", "url": "http://h/?a=b"}),
        ("kafka=a:1,b:2/t", {"type": "kafka", "brokers": "a:1,b:2", "topic": "t"}),
        ("file=a=b/c", {"type": "file", "path": "a=b/c"}),
    ],
)
def test_a_sink_and_its_target(to: str, sink: dict[str, Any]) -> None:
    """What is required is what follows the first equals sign, at slashes from the right."""
    assert destination(to, NONE).sink == sink


@pytest.mark.parametrize("sink", PLUGINS["sink"])
def test_each_sinks_example_is_read(sink: str) -> None:
    """As help shows it, with an encoder that fits."""
    found = destination(example(sink), NONE)
    assert found.sink["type"] == sink
    assert found.encoder is not None
    assert found.encoder["type"] in encoders_of_sink(sink)
    assert found.assumed


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("loki", "sink 'loki' needs a target, as in loki=http"),
        ("loki=", "sink 'loki' needs a target, as in loki=http"),
        ("stdout=x", "sink 'stdout' takes no target"),
        ("kafka=a:1", "sink 'kafka' needs brokers and topic, as in kafka="),
        ("lokki=http://h", "there is no sink 'lokki'; sinks: "),
        ("http://me:pw@h/", "'http://***@h/' names no sink"),
        ("lokki=http://me:pw@h/", "(did you mean --to loki=http://***@h/?)"),
    ],
)
def test_what_is_none(to: str, reason: str) -> None:
    """The mistake is one of `--to`; no password is shown."""
    with pytest.raises(click.UsageError) as caught:
        destination(to, NONE)
    assert reason in caught.value.format_message()
    assert "pw" not in caught.value.format_message()
    assert isinstance(caught.value, click.BadParameter)
    assert caught.value.param_hint == "'--to'"


def test_options_that_a_sink_has() -> None:
    """They are set where the sink has them, beside what is written; elsewhere they mean nothing."""
    options = Options(retry=3, timeout="5s", encoder="syslog")
    found = destination("tcp=h:1", options)
    assert found.sink == {
        "type": "tcp",
        "address": "h:1",
        "timeout": "5s",
        "retry": {"max_attempts": 3},
    }
    assert found.encoder == {"type": "syslog"}
    assert not found.assumed
    assert destination("stdout", options).sink == {"type": "stdout"}


def test_certificates_only_where_tls_is_spoken() -> None:
    """A file that is given is named in full: a server or a later start has another folder."""
    options = Options(ca_cert=Path("ca.pem"))
    secure = destination("loki=https://h", options).sink
    assert secure["tls"] == {"ca_cert": str(Path("ca.pem").absolute())}
    assert "tls" not in destination("loki=http://h", options).sink
    assert "tls" not in destination("file=x", options).sink


def test_retries_that_no_destination_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is a mistake, unless the number is a variable's, which holds for every call."""
    options = Options(retry=3)
    assert len(destinations(["stdout", "tcp=h:1"], options)) == 2
    with pytest.raises(click.BadParameter, match="sink 'stdout', 'file' does not retry"):
        destinations(["stdout", "file=x"], options)
    monkeypatch.setenv("SONDA_RETRY", "3")
    assert len(destinations(["stdout"], options)) == 1


def test_settings_by_path() -> None:
    """An encoder's setting is a wish for that encoder."""
    found = destination("stdout", Options(settings=["encoder.precision=2"]))
    assert found.encoder == {"type": "json_lines", "precision": 2}
    assert not found.assumed


def test_names_for_people() -> None:
    """Type and target, without userinfo; also of what is no sink of ours."""
    assert target({"type": "loki", "url": "http://me:pw@h/"}) == "loki http://***@h/"
    assert target({"type": "kafka", "brokers": "a:1", "topic": "t"}) == "kafka a:1/t"
    assert (target({"type": "stdout"}), target({"type": "x"}), target({})) == (
        "stdout",
        "x",
        "None",
    )


def test_an_encoder_for_what_is_not_known() -> None:
    """Text, as most sinks take it."""
    assert default_encoder({"type": "nonsense"}) == {"type": "json_lines"}
    assert default_encoder({"type": "remote_write"}) == {"type": "remote_write"}
    assert default_encoder({"type": "otlp_grpc"}) == {"type": "otlp"}


def test_a_destination_shows_no_options() -> None:
    """Only how it was spoken of."""
    assert repr(destination("loki=http://me:pw@h/", NONE)) == "Destination('loki=http://***@h/')"
