"""How values, targets and words are shown: cut, on one line, without a login."""

from __future__ import annotations

import pytest

from sonda.pipeline.text import escape as escape_module
from sonda.pipeline.text.escape import (
    at,
    excerpt,
    hide_login,
    hide_userinfo,
    quote,
    shown,
    variant,
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://h/p", "http://h/p"),
        ("http://u:p@h/p", "http://***@h/p"),
        ("HTTPS://u:p%40x@h:1?a=b@c", "HTTPS://***@h:1?a=b@c"),
        ("http://u:p@x@h", "http://***@h"),
        ("http://h/p@q", "http://h/p@q"),
        ("http://h?u:p@q", "http://h?u:p@q"),
        ("//u:p@h", "//***@h"),
        ("u:p@h:1", "***@h:1"),
        ("u@h", "***@h"),
        ("a:1,u:p@h:1", "***@h:1"),
    ],
)
def test_hide_userinfo(target: str, expected: str) -> None:
    """Of a valid target only the userinfo goes."""
    assert hide_userinfo(target) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://h/p", "http://h/p"),
        ("http://u:p/x?y#z@h/p", "http://***@h/p"),
        ("tcp://u:p@h:1,tcp://v:q@i:1", "tcp://***@i:1"),
        (" http:/u:p@h", " http:/***@h"),
        ("u:p@h", "***@h"),
        ("tcp://u:p%40h:1", "tcp://***@h:1"),
        ("u:p\uff20h:1", "***@h:1"),
    ],
)
def test_hide_login(value: str, expected: str) -> None:
    """Of a value that may be invalid all goes that may be a login."""
    assert hide_login(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://u:p@h", "http://***@h"),
        ("see http://u:p@h", "***@h"),
        ("u:p@h", "***@h"),
        ("me@example.org", "me@example.org"),
        ("10:30", "10:30"),
        ("x" * 300, "x" * 200 + "…"),
        ("a\nb", "a\\nb"),
    ],
)
def test_quoted_values(value: str, expected: str) -> None:
    """Wherever a value is quoted, a login in it is not."""
    assert quote(value) == f'"{expected}"'
    assert variant(value) == f"'{expected}'"
    assert at("labels", value) in (f'labels["{expected}"]', f"labels.{expected}")


def test_excerpt() -> None:
    """Start and end stay; of words without a known end the start."""
    assert excerpt(" no\n", 10) == "no"
    assert excerpt("a" * 6 + "b" * 6, 10) == "aaaaa…bbbbb"
    assert excerpt("a" * 5 + "b" * 5, 10) == "aaaaabbbbb"
    assert excerpt("abc", 10, whole=False) == "abc…"
    assert excerpt(b"\xff\x1b", 10) == "\ufffd\\u001b"


def test_a_reason_between_two_long_values() -> None:
    """Long words are shortened first, so that what stands between them stays."""
    value = "x" * 2049
    words = f"stream '{{event=\"{value}\"}}' has label value too long: '{value}'"
    shown = excerpt(words, 1000)
    assert 990 <= len(shown) <= 1001
    assert shown.startswith("stream '{event=\"xxx")
    assert "xxx\"}' has label value too long: 'xxx" in shown
    assert shown.endswith("xxx'")
    many = " ".join(["word"] * 500)
    assert excerpt(many, 1000) == f"{many[:500]}…{many[-500:]}"
    assert excerpt(f"{many} {'y' * 3000}", 1000).endswith(" " + "y" * 20 + "…" + "y" * 20)


def test_shown() -> None:
    """A target is cut, too."""
    assert shown("http://u:p@h/" + "x" * 500) == "http://***@h/" + "x" * 187 + "…"


def test_the_work_of_an_excerpt_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many words a destination says, few steps are taken; start and end are kept."""
    steps = 0

    def counted(*numbers: int) -> int:
        nonlocal steps
        steps += 1
        return min(numbers)

    monkeypatch.setattr(escape_module, "min", counted, raising=False)
    shown = excerpt(f"no mechanism in {['SCRAM-SH'] * 40_000}, so no", 1000)
    assert shown.startswith("no mechanism in ['SCRAM-SH', ")
    assert shown.endswith("'SCRAM-SH'], so no")
    assert len(shown) == 1001
    assert steps < 200
