"""Escaping many values at once."""

from __future__ import annotations

from sonda.pipeline.encoders._escaping import escape_all

ESCAPES = {ord("="): r"\=", ord(","): r"\,"}


def test_each_is_escaped() -> None:
    """Special characters of any of the texts are escaped, the others stay."""
    assert escape_all(iter(["a", "b=c", ",,"]), ESCAPES) == ["a", r"b\=c", r"\,\,"]


def test_nothing_to_escape() -> None:
    """Texts without special characters come back as they are."""
    assert escape_all(["a", ""], ESCAPES) == ["a", ""]
