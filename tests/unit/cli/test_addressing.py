"""An event gets its encoder and sink, and the secrets they refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from sonda.cli.addressing import address
from sonda.cli.destinations import Destination, Options

EVENT: dict[str, Any] = {"signal_type": "logs", "log": {"severity": "info", "message": "m"}}
SINK = {"type": "loki", "url": "env:URL", "headers": {"A": "Bearer x", "B": "file:b"}}
TO = Destination(SINK, {"type": "json_lines"}, labels={"env": "x", "team": "t"}, spoken="prod")


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL", "http://u:p@h")


def test_an_events_own(tmp_path: Path) -> None:
    """Without a destination it goes as it is."""
    event = {**EVENT, "encoder": {"type": "json_lines"}, "sink": {"type": "tcp", "address": "h:1"}}
    found = address(event, None, Options(timeout="3s"))
    assert (found.event, found.target, found.timeout) == (event, "tcp h:1", "3s")
    assert not found.goes_to_stdout
    assert address({**EVENT, "sink": {"type": "stdout"}}, None, Options()).goes_to_stdout


def test_a_name_may_be_a_servers() -> None:
    """It is not looked up here then."""
    event = {**EVENT, "destination": "prod"}
    found = address(event, None, Options(names_are_servers=True))
    assert (found.event, found.target) == (event, "prod")


def test_secrets_are_filled_in(tmp_path: Path) -> None:
    """In any depth; what is kept has them as they were written, and so can be shown."""
    (tmp_path / "b").write_text("from a file\n")
    to = Destination(SINK, {"type": "json_lines"}, file=tmp_path / "sonda.toml")
    found = address(EVENT, to, Options())
    assert found.event["sink"] == {
        "type": "loki",
        "url": "http://u:p@h",
        "headers": {"A": "Bearer x", "B": "from a file"},
    }
    assert found.secrets == {"env:URL": "http://u:p@h", "file:b": "from a file"}
    assert found.kept == {**EVENT, "encoder": {"type": "json_lines"}, "sink": SINK}
    assert "u:p" not in repr(found)


def test_a_secret_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option is named, and nothing is sent."""
    monkeypatch.delenv("URL")
    with pytest.raises(click.BadParameter, match=r"sink\.url is 'env:URL': "):
        address(EVENT, TO, Options())


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, {"env": "x", "team": "t"}),
        ({"labels": {"env": "mine"}}, {"env": "mine", "team": "t"}),
        ({"labels": "no labels"}, "no labels"),
    ],
)
def test_labels(tmp_path: Path, own: dict[str, Any], expected: object) -> None:
    """The event's own win; what are no labels is the pipeline's to refuse."""
    (tmp_path / "b").write_text("b")
    to = Destination({"type": "stdout"}, {"type": "json_lines"}, labels=TO.labels)
    assert address({**EVENT, **own}, to, Options()).event["labels"] == expected


def test_no_labels_at_all() -> None:
    """None are made up."""
    to = Destination({"type": "stdout"}, {"type": "json_lines"})
    assert "labels" not in address(EVENT, to, Options()).event


@pytest.mark.parametrize(("assumed", "expected"), [(True, "syslog"), (False, "json_lines")])
def test_the_encoder(assumed: bool, expected: str) -> None:
    """One that nobody asked for gives way to the event's own."""
    to = Destination({"type": "stdout"}, {"type": "json_lines"}, assumed=assumed)
    event = {**EVENT, "encoder": {"type": "syslog"}}
    assert address(event, to, Options()).event["encoder"] == {"type": expected}


def test_a_named_destination_is_kept_by_its_name() -> None:
    """Whoever sends the event again finds what the name stands for then."""
    to = Destination({"type": "stdout"}, {"type": "json_lines"}, named="prod")
    found = address({**EVENT, "destination": "prod"}, to, Options())
    assert found.kept == {**EVENT, "destination": "prod"}
    assert "destination" not in found.event


@pytest.mark.parametrize(
    ("own", "url", "expected"),
    [
        ({}, None, {"timeout": "2s"}),
        ({}, "http://q", {"url": "http://q", "timeout": "2s"}),
        ({"verify": {"url": "http://mine", "timeout": "9s"}}, "http://q", {"url": "http://mine", "timeout": "2s"}),
    ],
)  # fmt: skip
def test_reading_back(own: dict[str, Any], url: str | None, expected: dict[str, str]) -> None:
    """The option's time counts, and the event's own place before the destination's."""
    to = Destination({"type": "stdout"}, {"type": "json_lines"}, verify_url=url)
    found = address({**EVENT, **own}, to, Options(verify="2s"))
    assert found.event["verify"] == expected


@pytest.mark.parametrize(
    ("own", "options", "expected"),
    [
        ({}, Options(verify="2s", verify_url="http://o"), {"url": "http://o", "timeout": "2s"}),
        ({}, Options(verify_url="http://o"), {"url": "http://o"}),
        ({"url": "http://mine", "timeout": "9s"}, Options(verify_url="http://o"), {"url": "http://o", "timeout": "9s"}),
        ({"timeout": "9s"}, Options(), {"timeout": "9s"}),
    ],
)  # fmt: skip
def test_reading_back_elsewhere(
    own: dict[str, Any], options: Options, expected: dict[str, str]
) -> None:
    """The option's URL counts before all others; alone it asks for as long as the contract says."""
    to = Destination({"type": "stdout"}, {"type": "json_lines"}, verify_url="http://q")
    event = {**EVENT, "verify": own} if own else EVENT
    assert address(event, to, options).event["verify"] == expected


def test_a_sink_that_differs_by_signal() -> None:
    """OTLP names the signal in its options, and a destination may have one for each."""
    metrics = Destination({"type": "otlp_grpc", "endpoint": "http://h"}, {"type": "otlp"})
    to = Destination({"type": "stdout"}, {"type": "json_lines"}, for_metrics=metrics)
    event = {"signal_type": "metrics", "metric": {"name": "m", "value": 1}}
    assert address(event, to, Options()).event["sink"] == {
        "type": "otlp_grpc",
        "endpoint": "http://h",
        "signal_type": "metrics",
    }
    assert address(EVENT, to, Options()).goes_to_stdout
