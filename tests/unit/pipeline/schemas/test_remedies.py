"""Remedies name what was most likely meant, and nothing where that is not clear."""

from __future__ import annotations

import pytest

from sonda.pipeline.schemas.remedies import LONGEST_SLIP, did_you_mean, try_label

NAMES = ("debug", "info", "warn", "error", "max_buffer_age")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("INFO", "info"),
        (" info ", "info"),
        ("inof", "info"),
        ("information", "info"),
        ("err", "error"),
        ("Max Buffer-Age", "max_buffer_age"),
        ("warning", "warn"),
        ("critical", "error"),
    ],
)
def test_a_slip(written: str, meant: str) -> None:
    """Case, blanks, letters that changed places, a beginning, a synonym."""
    remedy = did_you_mean(written, NAMES, {"critical": "error"})
    assert remedy == f" (did you mean '{meant}'?)"


@pytest.mark.parametrize("written", ["", "xyz", "i", "e" * (LONGEST_SLIP + 1)])
def test_what_nobody_can_guess(written: str) -> None:
    """No remedy is better than a wrong one."""
    assert did_you_mean(written, NAMES) == ""


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a-b.c", " (try a_b_c)"),
        ("é", ""),
        ("9lives", " (try _9lives)"),
        ("a" * 65, ""),
        ("", ""),
        ("--a--", " (try a)"),
    ],
)
def test_the_closest_label(name: str, remedy: str) -> None:
    """Letters, digits and underscores, a digit not the first."""
    assert try_label(name) == remedy
