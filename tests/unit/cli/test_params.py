"""The parameters of the command line that click has no type for."""

from __future__ import annotations

import re

import click
import pytest

from sonda.cli.params import SEVERITIES, SeverityName


@pytest.mark.parametrize("severity", SEVERITIES)
def test_severities_are_taken_as_they_are(severity: str) -> None:
    """`warning` among them, which the event's own rules read as `warn`."""
    assert SeverityName().convert(severity, None, None) == severity


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("WARN", "warn"),
        ("WARNING", "warn"),
        ("CRITICAL", "fatal"),
        ("Info", "info"),
        ("eror", "error"),
    ],
)
def test_another_word_for_a_severity_is_refused_with_the_remedy(written: str, meant: str) -> None:
    """As the server refuses it."""
    words = f"'{written}' is not one of "
    remedy = f" (did you mean '{meant}'?)"
    with pytest.raises(click.BadParameter, match=f"^{words}.*{re.escape(remedy)}$"):
        SeverityName().convert(written, None, None)


def test_a_word_that_means_nothing_is_refused() -> None:
    """No remedy is made up."""
    with pytest.raises(click.BadParameter, match=r"'warning'$"):
        SeverityName().convert("zzz", None, None)
