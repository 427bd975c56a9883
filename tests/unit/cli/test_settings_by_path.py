"""`--set` finds an option by its path, and reads the value as its schema says."""

from __future__ import annotations

from datetime import date
from typing import Any

import click
import pytest

from sonda.cli.settings_by_path import apply

LOKI: dict[str, Any] = {
    "encoder": {"type": "json_lines"},
    "sink": {"type": "loki", "url": "http://a"},
}


@pytest.mark.parametrize(
    ("setting", "kind", "expected"),
    [
        ("sink.timeout=2s", "sink", {"timeout": "2s"}),
        ("sink.batch_size=5", "sink", {"batch_size": 5}),
        ("sink.headers.X-A.b=c=d", "sink", {"headers": {"X-A.b": "c=d"}}),
        ('sink.headers={"A": "b"}', "sink", {"headers": {"A": "b"}}),
        ("sink.retry.max_attempts=3", "sink", {"retry": {"max_attempts": 3}}),
        ("sink.timeout=", "sink", {"timeout": ""}),
        ("encoder.precision=2", "encoder", {"precision": 2}),
    ],
)
def test_a_setting(setting: str, kind: str, expected: dict[str, Any]) -> None:
    """Texts as they are; numbers and objects as JSON."""
    changed = apply(LOKI, [setting])
    assert changed == {**LOKI, kind: {**LOKI[kind], **expected}}


def test_settings_add_up_and_change_no_original() -> None:
    """Each path once."""
    changed = apply(LOKI, ["sink.headers.A=1", "sink.headers.B=2"])
    assert changed["sink"]["headers"] == {"A": "1", "B": "2"}
    assert "headers" not in LOKI["sink"]
    with pytest.raises(click.UsageError, match=r"sink\.timeout: given twice"):
        apply(LOKI, ["sink.timeout=1s", "sink.timeout=2s"])


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("timeout=2s", "expected encoder.OPTION=VALUE or sink.OPTION=VALUE"),
        ("sink.timeout", "expected encoder.OPTION=VALUE"),
        ("sink.=1", "expected encoder.OPTION=VALUE"),
        ("sink.type=x", "there is no option 'type'; options: "),
        ("sink.nosuch=1", "there is no option 'nosuch'"),
        ("sink.timeout.a=1", "has no options of its own"),
        ("sink.batch_size=many", r"sink\.batch_size: expected an integer"),
        ("sink.batch_size=true", r"sink\.batch_size: expected an integer"),
        (f"encoder.precision={10**400}", r"encoder\.precision: expected an integer"),
        ("sink.headers=secret", r"sink\.headers: expected JSON: an object"),
    ],
)
def test_what_is_no_setting(setting: str, why: str) -> None:
    """The value is never quoted: it may be a secret."""
    with pytest.raises(click.UsageError, match=why) as refused:
        apply(LOKI, [setting])
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("kind", ["x", ["x"], {"x": 1}, 1, None])
def test_a_type_that_nobody_knows_is_left_to_validation(kind: object) -> None:
    """It names what there is."""
    unknown = {"encoder": {"type": kind}, "sink": {}}
    assert apply(unknown, ["sink.a=1", "encoder.b=2"]) == unknown


def test_what_json_cannot_express_is_left_to_validation() -> None:
    """A file of destinations may hold a date; it is copied as it is."""
    dated: dict[str, Any] = {
        "encoder": {"type": "json_lines"},
        "sink": {"type": "loki", "url": date(2026, 1, 1)},
    }
    assert apply(dated, ["sink.timeout=1s"])["sink"] == {**dated["sink"], "timeout": "1s"}
