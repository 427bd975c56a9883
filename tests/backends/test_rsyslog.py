"""Events in a real rsyslog: every message comes out as it went in."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from returns.result import Failure, Success

import sonda
from tests.bodies import LOG, changed

from .ledger import Ledger
from .rsyslog import Listener, Message, Rsyslog

MULTI_LINE = 'naïve "q" \\ ]\n\tsecond line €😀\n'


def sinks(rsyslog: Rsyslog) -> dict[str, tuple[Listener, dict[str, Any]]]:
    certificates = rsyslog.certificates
    ca = {"ca_cert": str(certificates.ca_cert)}
    mine = {
        "client_cert": str(certificates.client_cert),
        "client_key": str(certificates.client_key),
    }
    counted = {"type": "tcp", "framing": "octet_counting"}
    return {
        "lf": ("tcp", {"type": "tcp", "address": rsyslog.tcp_address}),
        "octet-counted": ("tcp", counted | {"address": rsyslog.tcp_address}),
        "tls": ("tls", counted | {"address": rsyslog.tls_address, "tls": ca}),
        "mutual tls": (
            "mutual_tls",
            counted | {"address": rsyslog.mutual_tls_address, "tls": ca | mine},
        ),
        "udp": ("udp", {"type": "udp", "address": rsyslog.udp_address}),
    }


WAYS = ["lf", "octet-counted", "tls", "mutual tls", "udp"]


def row(way: str) -> str:
    return "rsyslog udp" if way == "udp" else "rsyslog tcp"


def event(rsyslog: Rsyslog, way: str, name: str, **changes: Any) -> dict[str, Any]:
    encoder = {"type": "syslog", "hostname": "web-1", "app_name": name}
    return changed(LOG, encoder=encoder, sink=sinks(rsyslog)[way][1], **changes)


def arrived(rsyslog: Rsyslog, way: str, name: str, count: int = 1) -> list[Message]:
    return rsyslog.wait_for(
        lambda message: message["app_name"] == name, listener=sinks(rsyslog)[way][0], count=count
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_message_comes_out_as_it_went_in(rsyslog: Rsyslog, landed: Ledger, way: str) -> None:
    """Header, structured data and message are what the event said."""
    name = uuid4().hex
    message = "one line €😀" if way == "lf" else MULTI_LINE
    body = event(rsyslog, way, name, log__message=message, timestamp="2026-03-23T15:29:02.483Z")
    assert isinstance(sonda.emit(body), Success)
    (found,) = arrived(rsyslog, way, name)
    landed.record(row(way), sent=1, found=1)
    assert (found["facility"], found["severity"]) == (1, 6)
    assert (found["hostname"], found["timestamp"]) == ("web-1", "2026-03-23T15:29:02.483Z")
    assert (found["procid"], found["msgid"]) == ("-", "-")
    assert found["sd"] == {
        "sonda@32473": {"env": "prod", "event": "deploy_start"},
        "fields@32473": {"version": "1.2.2"},
    }
    assert found["msg"].removeprefix(" ") == message
    assert found["raw"].endswith(message)


@pytest.mark.parametrize("way", ["octet-counted", "udp"])
@pytest.mark.parametrize(
    ("severity", "number"),
    [("trace", 7), ("debug", 7), ("info", 6), ("warn", 4), ("error", 3), ("fatal", 0)],
)
def test_every_severity(
    rsyslog: Rsyslog, landed: Ledger, way: str, severity: str, number: int
) -> None:
    """Each severity is the number that syslog has for it."""
    name = uuid4().hex
    assert isinstance(sonda.emit(event(rsyslog, way, name, log__severity=severity)), Success)
    (found,) = arrived(rsyslog, way, name)
    landed.record(row(way), sent=1, found=1)
    assert (found["facility"], found["severity"]) == (1, number)


def test_escaped_fields_come_back(rsyslog: Rsyslog, landed: Ledger) -> None:
    """What structured data must escape is the same afterwards."""
    name, awkward = uuid4().hex, 'a"b]c\\d\ne€'
    body = event(rsyslog, "octet-counted", name, log__fields={"k": awkward})
    assert isinstance(sonda.emit(body), Success)
    (found,) = arrived(rsyslog, "octet-counted", name)
    landed.record("rsyslog tcp", sent=1, found=1)
    assert 'k="a\\"b\\]c\\\\d\ne€"' in found["structured_data"]


@pytest.mark.parametrize("way", ["lf", "octet-counted", "tls"])
def test_many_on_kept_connections(rsyslog: Rsyslog, landed: Ledger, way: str) -> None:
    """Each of many events at once is one message, whole."""
    name, count = uuid4().hex, 300

    async def send() -> list[Any]:
        async with sonda.Pipeline() as pipeline:
            bodies = (event(rsyslog, way, name, log__message=f"number {n}") for n in range(count))
            return await asyncio.gather(*map(pipeline.emit, bodies))

    assert all(isinstance(result, Success) for result in asyncio.run(send()))
    messages = arrived(rsyslog, way, name, count=count)
    landed.record("rsyslog tcp", sent=count, found=len(messages))
    expected = sorted(f"number {n}" for n in range(count))
    assert sorted(message["msg"].strip() for message in messages) == expected


def test_without_the_certificate_it_wants_it_is_a_no(rsyslog: Rsyslog) -> None:
    """rsyslog drops the connection of a client that it does not know: that is no yes."""
    name = uuid4().hex
    body = event(rsyslog, "mutual tls", name)
    del body["sink"]["tls"]["client_cert"], body["sink"]["tls"]["client_key"]
    assert isinstance(sonda.emit(body), Failure)
    assert isinstance(sonda.emit(event(rsyslog, "lf", f"{name}-after")), Success)
    arrived(rsyslog, "lf", f"{name}-after")
    assert not [found for found in rsyslog.messages() if found["app_name"] == name]


def test_a_syslog_line_with_a_newline_needs_counting(rsyslog: Rsyslog) -> None:
    """Where a line feed ends a message, one inside it would make two of it: refused."""
    problem = sonda.emit(event(rsyslog, "lf", "x", log__message="a\nb")).failure()
    assert "octet_counting" in str(problem)
