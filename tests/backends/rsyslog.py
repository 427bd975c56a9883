"""A real rsyslog that writes every message it has parsed, as JSON, to a temporary file."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, TypeAlias, TypedDict, cast

from tests.support.ports import free_ports

from .certificates import CLIENT_NAME, Certificates, make_certificates
from .install import rsyslog_command
from .process import Process, poll, started, with_free_ports

# In CI each of these must have been proved at least once.
ROWS: Final = (
    "rsyslog tcp lf",
    "rsyslog tcp octet-counted",
    "rsyslog tls",
    "rsyslog tls client certificate",
    "rsyslog udp",
)

READY_TIMEOUT_S: Final = 60.0
MAX_MESSAGE_BYTES: Final = 1024 * 1024
PROBE_NAME: Final = "sonda-is-rsyslog-ready"  # the app-name of messages that no test has sent

Listener: TypeAlias = Literal["tcp", "tls", "mutual_tls", "udp"]


class Message(TypedDict):
    """What rsyslog made of one message; it escapes nothing and keeps a final newline."""

    listener: Listener
    pri: int
    facility: int
    severity: int
    version: str
    timestamp: str  # RFC 3339, as many decimals as were sent, at most six
    hostname: str
    app_name: str
    procid: str
    msgid: str
    structured_data: str  # as it was sent, `-` for none
    sd: dict[
        str, dict[str, str]
    ]  # parsed by rsyslog, for which names that differ in case only are the same name
    msg: str
    raw: str  # the whole message, without its framing


PROPERTIES: Final = (
    # key, rsyslog's name for it, further options
    ("listener", "inputname", ""),
    ("pri", "pri", 'datatype="number"'),
    ("facility", "syslogfacility", 'datatype="number"'),
    ("severity", "syslogseverity", 'datatype="number"'),
    ("version", "protocol-version", ""),
    ("timestamp", "timereported", 'dateFormat="rfc3339"'),
    ("hostname", "hostname", ""),
    ("app_name", "app-name", ""),
    ("procid", "procid", ""),
    ("msgid", "msgid", ""),
    ("structured_data", "structured-data", ""),
    ("sd", "$!rfc5424-sd", ""),
    ("msg", "msg", ""),
    ("raw", "rawmsg", ""),
)


@dataclass(frozen=True, slots=True)
class Rsyslog:
    """A rsyslog that listens on these `host:port`; TCP takes both framings of RFC 6587."""

    tcp_address: str
    tls_address: str  # shows its certificate, asks for none
    mutual_tls_address: str  # takes only the client that `certificates.client_cert` names
    udp_address: str
    certificates: Certificates
    process: Process
    _output: Path

    def messages(self, listener: Listener | None = None) -> list[Message]:
        """Return what has arrived so far, in order, on one listener or on all of them."""
        return [
            message
            for message in _read(self._output)
            if message["app_name"] != PROBE_NAME and listener in (None, message["listener"])
        ]

    def wait_for(
        self,
        where: Callable[[Message], bool],
        *,
        listener: Listener | None = None,
        count: int = 1,
        timeout_s: float = 60.0,
    ) -> list[Message]:
        """Return the messages that *where* picks once they are *count* or more; else fails."""

        def look() -> list[Message]:
            return [message for message in self.messages(listener) if where(message)]

        return poll(look, count=count, timeout_s=timeout_s, process=self.process)


@contextmanager
def start_rsyslog(installed: Path) -> Iterator[Rsyslog]:
    """Run a rsyslog until the end of the `with` block."""
    with ExitStack() as stack:
        yield with_free_ports(lambda: stack.enter_context(_start(installed)))


@contextmanager
def _start(installed: Path) -> Iterator[Rsyslog]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sonda-rsyslog-")))
        certificates = make_certificates(folder / "tls")
        [udp_port] = free_ports(1, socket.SOCK_DGRAM)
        config = _config(folder, certificates, udp_port=udp_port)
        (folder / "rsyslog.conf").write_text(config, encoding="utf-8")
        command, env = rsyslog_command(installed)
        arguments = ("-n", "-f", folder / "rsyslog.conf", "-i", folder / "pid")
        process = stack.enter_context(started((*command, *arguments), folder=folder, env=env))
        port_files = [folder / f"{listener}.port" for listener in ("tcp", "tls", "mutual_tls")]
        process.wait_until(
            lambda: all(file.exists() and file.read_text().strip() for file in port_files),
            timeout_s=READY_TIMEOUT_S,
            what="it listens for TCP",
        )
        tcp, tls, mutual_tls = (f"127.0.0.1:{file.read_text().strip()}" for file in port_files)
        output = folder / "messages"
        process.wait_until(
            lambda: _echoes(udp_port, output),
            timeout_s=READY_TIMEOUT_S,
            what="a message by UDP arrives",
        )
        yield Rsyslog(tcp, tls, mutual_tls, f"127.0.0.1:{udp_port}", certificates, process, output)


def _echoes(udp_port: int, output: Path) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(f"<14>1 - - {PROBE_NAME} - - -".encode(), ("127.0.0.1", udp_port))
    return bool(_read(output))


def _read(output: Path) -> list[Message]:
    lines = output.read_text(encoding="utf-8").split("\n") if output.exists() else [""]
    return [_message(line) for line in lines[:-1]]  # what follows the last newline is not complete


def _message(line: str) -> Message:
    message = json.loads(line)
    message["sd"] = json.loads(message["sd"] or "{}")  # rsyslog puts it in as a string
    return cast("Message", message)


def _config(folder: Path, certificates: Certificates, *, udp_port: int) -> str:
    properties = "\n".join(
        f'  property(outname="{key}" name="{name}" format="jsonf" {options})'
        for key, name, options in PROPERTIES
    )
    # With its own priorities the driver refuses TLS 1.3 to clients that it does not authenticate.
    tls = (
        'streamDriver.name="gtls" streamDriver.mode="1" gnutlsPriorityString="NORMAL"'
        f' streamDriver.caFile="{certificates.ca_cert}"'
        f' streamDriver.certFile="{certificates.server_cert}"'
        f' streamDriver.keyFile="{certificates.server_key}"'
    )
    mutual = f'streamDriver.authMode="x509/name" permittedPeer=["{CLIENT_NAME}"]'

    def tcp(listener: Listener, options: str = "") -> str:
        return (
            f'input(type="imtcp" name="{listener}" ruleset="keep" address="127.0.0.1"'
            f' port="0" listenPortFileName="{folder / listener}.port" {options})'
        )

    return f"""
global(
  workDirectory="{folder}"
  maxMessageSize="{MAX_MESSAGE_BYTES}"
  net.enableDNS="off"
  parser.escapeControlCharactersOnReceive="off"
  parser.dropTrailingLFOnReception="off"
)
module(load="imtcp" maxFrameSize="{MAX_MESSAGE_BYTES}" maxSessions="2000")
module(load="imudp")
module(load="mmpstrucdata")
template(name="json" type="list" option.jsonf="on") {{
{properties}
}}
ruleset(name="keep") {{
  action(type="mmpstrucdata" sd_name.lowercase="off")
  action(type="omfile" file="{folder / "messages"}" template="json")
}}
{tcp("tcp")}
{tcp("tls", f'{tls} streamDriver.authMode="anon"')}
{tcp("mutual_tls", f"{tls} {mutual}")}
input(type="imudp" name="udp" ruleset="keep" address="127.0.0.1" port="{udp_port}" rcvbufSize="4m")
"""
