"""RFC 5424: what is left out, what is escaped, and which names structured data has."""

from __future__ import annotations

import pytest
from returns.result import Failure, Success

from sonda.pipeline.encoders import syslog
from sonda.pipeline.encoders.syslog import Syslog
from sonda.pipeline.model import Severity
from tests.support.events import record

HEAD = b"1 2026-03-23T14:59:04.840Z sonda sonda - -"


def test_keeps_newlines() -> None:
    """Syslog itself allows a newline; whether a frame can hold it is for the sink to say."""
    body = syslog.encode(record("a\nb", labels={"k": "c\nd"}), Syslog())
    assert body == Success(
        b'<14>1 2026-03-23T14:59:04.840Z sonda sonda - - [sonda@32473 k="c\nd"] a\nb\n'
    )


@pytest.mark.parametrize(
    ("severity", "priority"),
    [("trace", 15), ("debug", 15), ("info", 14), ("warn", 12), ("error", 11), ("fatal", 8)],
)
def test_priorities(severity: Severity, priority: int) -> None:
    """The facility is user (1), and the six severities are syslog's 7, 7, 6, 4, 3 and 0."""
    body = syslog.encode(record("m", severity=severity, labels={}), Syslog())
    assert body == Success(b"<%d>%b - m\n" % (priority, HEAD))


def test_what_is_empty_is_left_out() -> None:
    """An element without parameters, both where there are none, and the space before no message."""
    assert syslog.encode(record("", labels={}), Syslog()) == Success(b"<14>%b -\n" % HEAD)
    fields = syslog.encode(record("", labels={}, fields={"a": ""}), Syslog())
    assert fields == Success(b'<14>%b [fields@32473 a=""]\n' % HEAD)


def test_only_three_characters_are_escaped() -> None:
    """A value escapes quote, backslash and closing bracket; the message escapes nothing."""
    body = syslog.encode(record('"\\]', labels={"a": '"\\][='}), Syslog())
    assert body == Success(b'<14>%b [sonda@32473 a="\\"\\\\\\][="] "\\]\n' % HEAD)


@pytest.mark.parametrize("name", ["", "x" * 33, "a b", "a=b", "a]b", 'a"b', "é", "a\nb", "\x7f"])
def test_names_of_structured_data(name: str) -> None:
    """1 to 32 printable characters of ASCII, less four; one bad name among good ones is found."""
    assert isinstance(syslog.encode(record(fields={"ok": "1", name: "2"}), Syslog()), Failure)
    assert isinstance(syslog.encode(record(fields={"x" * 32: "1", "!#/~": "2"}), Syslog()), Success)
