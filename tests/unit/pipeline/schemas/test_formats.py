"""Formats: what they take, what they do not, and that the fast patterns say the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.schemas.formats import FORMATS, PATTERNS


def takes(name: str, text: str) -> bool:
    try:
        FORMATS[name](text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("header-name", "X-Scope-OrgID", True),
        ("header-name", "", False),
        ("header-name", "a b", False),
        ("header-name", "a:b", False),
        ("header-name", "é", False),
        ("header-name", "a\n", False),
        ("header-value", "", True),
        ("header-value", "a\tb é", True),
        ("header-value", " a", False),
        ("header-value", "a\t", False),
        ("header-value", "a\r\nb: c", False),
        ("header-value", "a\x7f", False),
        ("metadata-name", "x-tenant", True),
        ("metadata-name", "x-bin", False),
        ("metadata-name", "x-BIN", False),
        ("metadata-name", "-bin-", True),
        ("metadata-name", "a b", False),
        ("metadata-value", "a b", True),
        ("metadata-value", "é", False),
        ("metadata-value", " a", False),
        ("json-pointer", "", True),
        ("json-pointer", "/a~1b/~0", True),
        ("json-pointer", "a", False),
        ("json-pointer", "/~2", False),
        ("instant", "2026-01-01T00:00:00Z", True),
        ("instant", "yesterday", False),
        ("host-port", "[::1]:514", True),
        ("host-port", "a", False),
        ("http-url", "https://a/b", True),
        ("http-url", "ftp://a", False),
        ("path", "a/b", True),
        ("path", "", False),
    ],
)
def test_a_format(name: str, text: str, expected: bool) -> None:
    """Each takes its own spelling and nothing around it."""
    assert takes(name, text) is expected


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_reason_does_not_quote_the_value(name: str) -> None:
    """It may be a megabyte long."""
    with pytest.raises(ValueError, match=r".") as refused:
        FORMATS[name]("\x00" + "x" * 10_000)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("name", list(PATTERNS))
@given(
    text=st.text(st.sampled_from("aZ9-_.:!~ \t\r\n\x00\x7fé٣") | st.characters(), max_size=8)
    | st.from_regex(r"\A[a-c-]{0,3}-[bB][iI][nN]\n?\Z")
)
def test_a_pattern_says_what_its_format_says(name: str, text: str) -> None:
    """The fast validator may not take what the explaining one refuses, nor the other way round."""
    end_of_text = PATTERNS[name].removesuffix("$") + r"\Z"  # `$` there is the end alone
    assert bool(re.search(end_of_text, text)) is takes(name, text)
