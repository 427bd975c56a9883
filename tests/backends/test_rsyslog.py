"""Events in a real rsyslog: every message comes out as it went in."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from returns.result import Failure

import sonda
from tests.support.bodies import LOG, changed

from .ledger import Ledger
from .rsyslog import Listener, Message, Rsyslog
from .sending import emit_all

ONE_LINE = 'naïve "q" \\ ] €😀'
LINES = f"{ONE_LINE}\n\tsecond line\n\nlast line\n"
SEVERITIES = {"trace": 7, "debug": 7, "info": 6, "warn": 4, "error": 3, "fatal": 0}
WAYS: dict[str, Listener] = {
    "tcp lf": "tcp",
    "tcp octet-counted": "tcp",
    "tls": "tls",
    "tls client certificate": "mutual_tls",
    "udp": "udp",
}


def sink(rsyslog: Rsyslog, way: str) -> dict[str, Any]:
    """Return the sink that sends this way."""
    certificates = rsyslog.certificates
    counted = {"type": "tcp", "framing": "octet_counting"}
    ca = {"ca_cert": str(certificates.ca_cert)}
    match WAYS[way]:
        case "udp":
            return {"type": "udp", "address": rsyslog.udp_address}
        case "tls":
            return counted | {"address": rsyslog.tls_address, "tls": ca}
        case "mutual_tls":
            mine = with_certificate(certificates.client_cert, certificates.client_key)
            return counted | {"address": rsyslog.mutual_tls_address, "tls": ca | mine}
        case "tcp":
            framing = counted if way == "tcp octet-counted" else {"type": "tcp"}
            return framing | {"address": rsyslog.tcp_address}


def with_certificate(cert: Path, key: Path) -> dict[str, str]:
    """Return the TLS options that show a client certificate."""
    return {"client_cert": str(cert), "client_key": str(key)}


def event(rsyslog: Rsyslog, way: str, name: str, **changes: Any) -> dict[str, Any]:
    """Write the body of a log event that goes there this way, with an app-name of its own."""
    encoder = {"type": "syslog", "hostname": "web-1", "app_name": name}
    return changed(changed(LOG, encoder=encoder, sink=sink(rsyslog, way)), **changes)


def send(rsyslog: Rsyslog, landed: Ledger, way: str, *changes: dict[str, Any]) -> list[Message]:
    """Send an event for each of the *changes*, and return what arrives, in any order."""
    name = uuid4().hex
    emit_all(event(rsyslog, way, name, **change) for change in changes)
    found = rsyslog.wait_for(
        lambda message: message["app_name"] == name, listener=WAYS[way], count=len(changes)
    )
    landed.record(f"rsyslog {way}", sent=len(changes), found=len(found))
    assert len(found) == len(changes)
    return found


def carries_lines(way: str) -> bool:
    """Say whether a message may have several lines: where LF ends a frame it may not."""
    return way != "tcp lf"


@pytest.mark.parametrize("way", WAYS)
def test_a_message_comes_out_as_it_went_in(rsyslog: Rsyslog, landed: Ledger, way: str) -> None:
    """Header, structured data and message are what the event said."""
    text = LINES if carries_lines(way) else ONE_LINE
    change = {"log__message": text, "timestamp": "2026-03-23T15:29:02.483Z"}
    (found,) = send(rsyslog, landed, way, change)
    assert (found["facility"], found["severity"], found["version"]) == (1, 6, "1")
    assert (found["hostname"], found["timestamp"]) == ("web-1", "2026-03-23T15:29:02.483Z")
    assert (found["procid"], found["msgid"]) == ("-", "-")
    assert found["sd"] == {
        "sonda@32473": {"env": "prod", "event": "deploy_start"},
        "fields@32473": {"version": "1.2.2"},
    }
    assert found["msg"] == text
    assert found["raw"].endswith(f"] {text}")


@pytest.mark.parametrize("way", WAYS)
def test_every_severity(rsyslog: Rsyslog, landed: Ledger, way: str) -> None:
    """Each severity is the number that syslog has for it."""
    changes = [{"log__severity": severity, "log__message": severity} for severity in SEVERITIES]
    found = send(rsyslog, landed, way, *changes)
    assert {message["msg"]: message["severity"] for message in found} == SEVERITIES
    assert {message["facility"] for message in found} == {1}


@pytest.mark.parametrize("way", WAYS)
def test_labels_and_fields_come_back(rsyslog: Rsyslog, landed: Ledger, way: str) -> None:
    """What structured data must escape, and what it need not, is the same afterwards."""
    awkward = 'a"b]c\\d=e [f@1 g="h"] \\\\ é€😀 ' + (
        "\nsecond line\n" if carries_lines(way) else ""
    )
    fields = {"plain": "1.2.2", "awkward": awkward, "empty": "", "bracket": "]", "slash": "\\"}
    labels = {"env": awkward, "other": '"'}
    (found,) = send(rsyslog, landed, way, {"labels": labels, "log__fields": fields})
    assert found["sd"] == {"sonda@32473": labels, "fields@32473": fields}
    assert found["msg"] == LOG["log"]["message"]


@pytest.mark.parametrize("way", [way for way in WAYS if way != "udp"])
def test_many_on_kept_connections(rsyslog: Rsyslog, landed: Ledger, way: str) -> None:
    """Each of many events at once is one message, whole."""
    texts = [f"number {n} " + "x" * (n * 37 % 9000) for n in range(300)]
    found = send(rsyslog, landed, way, *({"log__message": text} for text in texts))
    assert sorted(message["msg"] for message in found) == sorted(texts)


@pytest.mark.parametrize("certificate", ["none", "stranger"])
def test_without_the_certificate_it_wants_it_is_a_no(
    rsyslog: Rsyslog, landed: Ledger, certificate: str
) -> None:
    """It drops the connection of a client that it does not know: that is no yes."""
    name, certificates = uuid4().hex, rsyslog.certificates
    theirs = with_certificate(certificates.stranger_cert, certificates.stranger_key)
    tls = {"ca_cert": str(certificates.ca_cert)} | (theirs if certificate == "stranger" else {})
    body = event(rsyslog, "tls client certificate", name, sink__tls=tls)
    assert isinstance(sonda.emit(body), Failure)
    send(rsyslog, landed, "tcp lf", {})
    assert not [found for found in rsyslog.messages() if found["app_name"] == name]


def test_a_syslog_line_with_a_newline_needs_counting(rsyslog: Rsyslog) -> None:
    """Where a line feed ends a message, one inside it would make two of it: refused."""
    problem = sonda.emit(event(rsyslog, "tcp lf", "x", log__message="a\nb")).failure()
    assert "octet_counting" in str(problem)
