"""What was typed is UTF-8, whatever the locale."""

from __future__ import annotations

from typing import Any

import click
import pytest

from sonda.cli.utf8 import as_utf8


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("plain", "plain"),
        ("é", "é"),
        ("\udcc3\udca9", "é"),
        (("\udcc3\udca9", 7), ("é", 7)),
        ({"\udcc3\udca9": "\udcc3\udca9"}, {"é": "é"}),
        (None, None),
        (True, True),
    ],
)
def test_what_a_locale_could_not_read(typed: Any, meant: Any) -> None:
    """Its bytes are read anew, inside of tuples and mappings too."""
    assert as_utf8(typed) == meant


def test_what_is_no_utf8() -> None:
    """It is refused with its place, and not shown."""
    with pytest.raises(click.UsageError, match="not UTF-8 at byte 3 of 3"):
        as_utf8("ab\udcff")
