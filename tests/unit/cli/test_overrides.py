"""What the options of `sonda run` change in every entry of a scenario."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click
import pytest

from sonda.cli.overrides import apply

NONE: dict[str, Any] = {
    **dict.fromkeys(
        ("seed", "duration", "start_time", "pace", "on_sink_error", "rate", "count", "to")
    ),
    "labels": {},
    "settings": (),
}


def changed(tree: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    """Return *tree* as the options make it."""
    apply(tree, {**NONE, **overrides}, None, {})
    return tree


def test_nothing_is_asked_for() -> None:
    """Then nothing is changed."""
    tree = {"signal_type": "metrics", "rate": 1, "labels": {"a": "b"}}
    assert changed({**tree}) == tree


def test_every_entry_is_changed() -> None:
    """With the seed, which is the scenario's; what is no entry is left to the compiler."""
    tree = {"scenarios": [{"rate": 1}, "no entry", {"count": 9}]}
    assert changed(tree, seed="7", duration="2m", pace="max", count="3") == {
        "seed": 7,
        "scenarios": [
            {"rate": 1, "duration": "2m", "pace": "max", "count": 3},
            "no entry",
            {"duration": "2m", "pace": "max", "count": 3},
        ],
    }


@pytest.mark.parametrize(
    ("text", "expected"), [("10", 10), ("0.1", Decimal("0.1")), ("1e2", Decimal("1e2")), ("-3", -3)]
)
def test_a_number_is_read_as_the_file_would_have_it(text: str, expected: object) -> None:
    """A tenth is a tenth; whether it is allowed the compiler says."""
    found = changed({"rate": 1}, rate=text)["rate"]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("text", ["", "ten", "nan", "inf", "1e400", "1e-400", "0x10"])
def test_no_number(text: str) -> None:
    """The option is named."""
    with pytest.raises(click.BadParameter, match="is not a number") as raised:
        changed({}, rate=text)
    assert raised.value.param_hint == "'--rate'"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"labels": {"a": "1", "b": "2"}}, {"a": "9", "b": "2"}),
        ({}, {"a": "9"}),
        ({"labels": "no labels"}, {"a": "9"}),
    ],
)
def test_labels_are_added(own: dict[str, Any], expected: dict[str, str]) -> None:
    """An option wins over the entry's own."""
    assert changed({**own}, labels={"a": "9"})["labels"] == expected


@pytest.mark.parametrize(
    ("entry", "to", "encoder"),
    [
        # an encoder that fits stays, whether it is the entry's or that of `defaults`
        ({"encoder": {"type": "syslog"}}, "tcp=h:1", {"type": "syslog"}),
        # one that cannot go there gives way
        ({"encoder": {"type": "otlp"}}, "loki=http://h", {"type": "json_lines"}),
    ],
)
def test_another_destination(entry: dict[str, Any], to: str, encoder: dict[str, str]) -> None:
    """The sink is replaced, and a destination that the entry named is gone."""
    tree = {"signal_type": "logs", "destination": "old", **entry}
    found = changed(tree, to=to)
    assert "destination" not in found
    assert found["sink"]["type"] == to.partition("=")[0]
    assert found["encoder"] == encoder


def test_settings_begin_with_what_the_entry_has() -> None:
    """By itself, by `defaults`, or without either with the encoder of its signal and stdout."""
    tree = {
        "defaults": {"sink": {"type": "tcp", "address": "h:1"}},
        "scenarios": [
            {"signal_type": "metrics"},
            {"signal_type": "logs", "sink": {"type": "udp", "address": "g:1", "timeout": "9s"}},
        ],
    }
    metrics, logs = changed(tree, settings=("sink.timeout=2s",))["scenarios"]
    assert metrics["sink"] == {"type": "tcp", "address": "h:1", "timeout": "2s"}
    assert metrics["encoder"] == {"type": "prometheus_text"}
    assert logs["sink"] == {"type": "udp", "address": "g:1", "timeout": "2s"}
    assert logs["encoder"] == {"type": "json_lines"}
