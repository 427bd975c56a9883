"""The destinations themselves: what plain sockets and `urllib` send is read back unchanged."""

from __future__ import annotations

import json
import socket
import ssl
import time
import urllib.error
from dataclasses import replace
from http.client import NO_CONTENT, UNAUTHORIZED
from pathlib import Path
from uuid import uuid4

import pytest

from . import install
from .ledger import Ledger, Row
from .loki import HOUR_NS, Loki
from .process import NotReadyError, started
from .rsyslog import Listener, Message, Rsyslog

TEXT = 'grüße 😀 \t"quoted" \\ \u0001 end'
DATA = '[sonda@32473 Env="pr\\"o\\]d\\\\ é"][fields@32473 version="1.2.2"]'
TLS_VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


# --- Loki ----------------------------------------------------------------------------------------


def push(loki: Loki, app: str, time_ns: int, line: str, *, tenant: str | None = None) -> int:
    """Push one line with a piece of structured metadata, and return the status."""
    stream = {"stream": {"app": app}, "values": [[str(time_ns), line, {"order": "17"}]]}
    body = json.dumps({"streams": [stream]}).encode()
    headers = {"Content-Type": "application/json"}
    status, _ = loki.request("POST", "/loki/api/v1/push", body=body, headers=headers, tenant=tenant)
    return status


def test_loki_gives_a_line_back(loki: Loki) -> None:
    """Time, text, labels and metadata come back as they were pushed."""
    app, time_ns, line = uuid4().hex, time.time_ns(), f"{TEXT}\nsecond line"
    assert push(loki, app, time_ns, line) == NO_CONTENT

    [entry] = loki.wait_for(f'{{app="{app}"}}')

    assert (entry.time_ns, entry.line) == (time_ns, line)
    assert entry.labels == {"app": app, "service_name": app}  # Loki adds the second
    assert entry.metadata.items() >= {"order": "17"}.items()


def test_loki_keeps_events_of_any_time(loki: Loki) -> None:
    """An event of long ago or of next year is neither refused nor lost."""
    for time_ns in (1_000_000_000_000_000_001, time.time_ns() + 365 * 24 * HOUR_NS):
        app = uuid4().hex
        assert push(loki, app, time_ns, TEXT) == NO_CONTENT

        [entry] = loki.wait_for(f'{{app="{app}"}}', start_ns=time_ns, end_ns=time_ns + 1)

        assert (entry.time_ns, entry.line) == (time_ns, TEXT)


def test_loki_with_tenants_and_client_certificates(loki_secured: Loki) -> None:
    """A tenant sees its own lines only, and without tenant or certificate nothing is taken."""
    app, time_ns = uuid4().hex, time.time_ns()
    assert push(loki_secured, app, time_ns, TEXT, tenant="red") == NO_CONTENT
    assert loki_secured.certificates is not None

    [entry] = loki_secured.wait_for(f'{{app="{app}"}}', tenant="red")

    assert (entry.time_ns, entry.line) == (time_ns, TEXT)
    assert loki_secured.query_range(f'{{app="{app}"}}', tenant="blue") == []
    with pytest.raises(urllib.error.HTTPError) as refused:
        push(loki_secured, app, time_ns, TEXT)
    refused.value.close()
    assert refused.value.code == UNAUTHORIZED
    anonymous = loki_secured.certificates.client_context(with_certificate=False)
    with pytest.raises((OSError, urllib.error.URLError)):
        push(replace(loki_secured, _context=anonymous), app, time_ns, TEXT, tenant="red")


# --- rsyslog -------------------------------------------------------------------------------------


def syslog(name: str, text: str = TEXT) -> bytes:
    """Render one RFC 5424 message."""
    head = f"<11>1 2026-03-23T15:29:02.483123Z höst {name} - -"
    return f"{head} {DATA} {text}".encode()


def expected(name: str, listener: Listener, text: str = TEXT) -> Message:
    """Return what rsyslog should make of it."""
    return Message(
        listener=listener,
        pri=11,
        facility=1,
        severity=3,
        version="1",
        timestamp="2026-03-23T15:29:02.483123Z",
        hostname="höst",
        app_name=name,
        procid="-",
        msgid="-",
        structured_data=DATA,
        sd={"sonda@32473": {"Env": 'pr"o]d\\ é'}, "fields@32473": {"version": "1.2.2"}},
        msg=text,
        raw=syslog(name, text).decode(),
    )


def connect(address: str) -> socket.socket:
    """Open a TCP connection to `host:port`."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=5.0)


def octets(message: bytes) -> bytes:
    """Frame a message by octet counting."""
    return b"%d %s" % (len(message), message)


def is_refused(address: str, context: ssl.SSLContext, message: bytes) -> bool:
    """Say whether the server ends the connection on its own; it never answers a message."""
    try:
        with (
            connect(address) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            client.sendall(message)
            return client.recv(1) == b""  # TLS 1.3 refuses a certificate after the handshake only
    except TimeoutError:
        return False
    except OSError:
        return True


def named(rsyslog: Rsyslog, name: str, *, count: int = 1) -> list[Message]:
    """Wait for the messages with this app-name."""
    return rsyslog.wait_for(lambda message: message["app_name"] == name, count=count)


def test_rsyslog_by_tcp_with_lines(rsyslog: Rsyslog) -> None:
    """Messages that end with LF arrive one by one, in order, without it."""
    name = uuid4().hex
    with connect(rsyslog.tcp_address) as client:
        client.sendall(syslog(name, "one") + b"\n" + syslog(name) + b"\n")

    found = named(rsyslog, name, count=2)

    assert found == [expected(name, "tcp", "one"), expected(name, "tcp")]


@pytest.mark.parametrize(
    "text", ["a\nb\r\n\nc\n", "", "é" * 32_768], ids=["lines", "empty", "64 KiB"]
)
def test_rsyslog_by_tcp_with_octet_counting(rsyslog: Rsyslog, text: str) -> None:
    """A counted message arrives unchanged whatever is in it."""
    name = uuid4().hex
    with connect(rsyslog.tcp_address) as client:
        client.sendall(octets(syslog(name, text)) + octets(syslog(name, "next")))

    found = named(rsyslog, name, count=2)

    assert found == [expected(name, "tcp", text), expected(name, "tcp", "next")]


@pytest.mark.parametrize("version", TLS_VERSIONS)
@pytest.mark.parametrize("listener", ["tls", "mutual_tls"])
def test_rsyslog_by_tls(rsyslog: Rsyslog, listener: Listener, version: ssl.TLSVersion) -> None:
    """Both listeners take both versions of TLS, one of them with a client certificate."""
    name, mutual = uuid4().hex, listener == "mutual_tls"
    address = rsyslog.mutual_tls_address if mutual else rsyslog.tls_address
    context = rsyslog.certificates.client_context(with_certificate=mutual)
    context.minimum_version = context.maximum_version = version
    with (
        connect(address) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        assert client.version() == version.name.replace("_", ".")
        client.sendall(octets(syslog(name, "a\nb")) + octets(syslog(name)))

    found = named(rsyslog, name, count=2)

    assert found == [expected(name, listener, "a\nb"), expected(name, listener)]


@pytest.mark.parametrize("certificate", ["none", "stranger"])
def test_rsyslog_refuses_other_clients(rsyslog: Rsyslog, certificate: str) -> None:
    """Without a certificate of the right authority nothing is taken."""
    name = uuid4().hex
    context = rsyslog.certificates.client_context(with_certificate=False)
    if certificate == "stranger":
        context.load_cert_chain(
            rsyslog.certificates.stranger_cert, rsyslog.certificates.stranger_key
        )

    assert is_refused(rsyslog.mutual_tls_address, context, octets(syslog(name)))

    after = uuid4().hex
    with connect(rsyslog.tcp_address) as client:
        client.sendall(syslog(after) + b"\n")
    named(rsyslog, after)

    assert name not in [message["app_name"] for message in rsyslog.messages()]


def test_rsyslog_by_udp(rsyslog: Rsyslog) -> None:
    """A datagram is one message, newlines included, up to the largest there is."""
    name = uuid4().hex
    largest = "x" * (65_507 - len(syslog(name, "")))
    host, _, port = rsyslog.udp_address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for text in ("a\nb\n", largest):
            client.sendto(syslog(name, text), (host, int(port)))

    found = named(rsyslog, name, count=2)

    assert found == [expected(name, "udp", "a\nb\n"), expected(name, "udp", largest)]


# --- the harness ---------------------------------------------------------------------------------


def test_tally_names_what_was_left_out() -> None:
    """A declared destination counts as left out until a check of it is recorded."""
    ledger = Ledger.of(["loki", "rsyslog"])
    ledger.record("loki", sent=3, found=3)
    ledger.record("loki", sent=2, found=1)
    ledger.record("undeclared", sent=1, found=1)

    assert ledger.rows["loki"] == Row(checks=2, sent=5, found=4)
    assert ledger.unchecked() == ["rsyslog"]
    assert ledger.table().splitlines()[1].split() == ["loki", "|", "2", "|", "5", "|", "4"]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> install.Backend:
    """Return a backend that is built at once, and the only one there is."""

    def build(target: Path, scratch: Path) -> None:
        (scratch / "large").write_text("a download")
        (target / "program").write_text("runs")

    def probe(folder: Path) -> str:
        if (folder / "program").read_text() != "runs":
            raise install.InstallError("it is broken")
        return "fake 1"

    backend = install.Backend("fake", "v1", ("sh",), "no time", build, probe)
    monkeypatch.setenv("SONDA_BACKENDS", str(tmp_path))
    monkeypatch.setattr(install, "BACKENDS", {"fake": backend})
    return backend


def test_install_only_what_is_not_there(
    fake: install.Backend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first run leaves the finished folder only, the second one has nothing to do."""
    assert install.find("fake") is None
    assert install.main([]) == 0
    assert install.find("fake") == tmp_path / "fake" / "v1"
    assert sorted(path.name for path in (tmp_path / "fake").iterdir()) == [".lock", "v1"]
    capsys.readouterr()
    assert install.main(["fake"]) == 0
    assert capsys.readouterr().out == "fake v1: there already (fake 1)\n"


def test_install_again_what_does_not_run(fake: install.Backend) -> None:
    """What was installed and is broken is made anew."""
    assert install.main([]) == 0
    folder = install.find("fake")
    assert folder is not None
    (folder / "program").write_text("broken")
    assert install.main([]) == 0
    assert (folder / "program").read_text() == "runs"


def test_install_leaves_nothing_half_done(
    fake: install.Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that fails is not found, is cleaned up, and always a failing exit code."""

    def fail(target: Path, _scratch: Path) -> None:
        (target / "program").write_text("runs")
        raise install.InstallError("no space")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(install, "BACKENDS", {"fake": replace(fake, build=fail)})
    assert install.main([]) == 1
    assert install.find("fake") is None
    assert [path.name for path in (tmp_path / "fake").iterdir()] == [".lock"]


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_install_without_the_tool(
    fake: install.Backend,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ci: str,
    code: int,
) -> None:
    """A missing tool is told, and fails in CI only."""
    monkeypatch.setenv("CI", ci)
    lacking = replace(fake, tools=("sh", "no-such-tool"))
    monkeypatch.setattr(install, "BACKENDS", {"fake": lacking})
    assert install.main([]) == code
    assert "fake v1: NOT installed: this machine lacks no-such-tool" in capsys.readouterr().out


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    """The reason why a server did not start is in the error."""
    command = ("sh", "-c", "echo no such option; exit 3")
    with (
        started(command, folder=tmp_path) as process,
        pytest.raises(NotReadyError, match=r"(?s)ended with 3 before it is up.*no such option"),
    ):
        process.wait_until(lambda: False, timeout_s=60.0, what="it is up")
