"""A dry run shows, byte by byte, what a destination then really gets; nothing is opened for it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from returns.result import Failure, Success

import sonda
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.policy.destinations import Policy, parse_rule
from sonda.pipeline.problems import Forbidden, Invalid, Unreachable, ValidationIssue
from sonda.pipeline.sinks import file
from sonda.pipeline.wire_preview import Preview
from tests.support.bodies import LOG, changed, raw
from tests.support.destinations import (
    PATIENCE_S,
    TIMESTAMP,
    deliver,
    http_destination,
    json_line,
    log_event,
    tcp_destination,
    udp_destination,
)
from tests.support.extras import is_usable
from tests.support.previews import (
    assert_posted,
    event_of,
    metric_event,
    previewed,
    previewed_then_sent,
)

SECRET: Final = "s3cr3t-of-mine"
IN_CLEAR: Final = (
    "credentials travel in clear to `http://hook/x`: use https:// so that nobody on the way can "
    "read them"
)
NO_ANSWER: Final = (
    "sink `udp` has no acknowledgement: the event was handed to the network, and nothing tells "
    "whether it arrived"
)
TEXT: Final = ["json_lines", "syslog", "prometheus_text", "influx_lp"]


# Sink by sink: what is shown is what arrives


@pytest.mark.parametrize("encoder", TEXT)
def test_stdout(encoder: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The line as it is printed."""
    departure = previewed_then_sent(event_of(encoder, {"type": "stdout"}))
    assert capfd.readouterr().out.encode() == departure.body
    assert departure.framing == "one line, its line feed included"


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line, and the file that a relative path leads to."""
    monkeypatch.chdir(tmp_path)
    departure = previewed_then_sent(log_event({"type": "file", "path": "a/events.log"}))
    assert departure.facts == {"path": str(tmp_path / "a" / "events.log")}
    assert (tmp_path / "a" / "events.log").read_bytes() == departure.body
    assert departure.target == "a/events.log"


@pytest.mark.parametrize("framing", ["lf", "octet_counting"])
@pytest.mark.parametrize("encoder", TEXT)
def test_tcp(encoder: str, framing: str) -> None:
    """The frame: a line, or a message behind its length."""
    with tcp_destination() as destination:
        sink = {"type": "tcp", "address": destination.address, "framing": framing}
        departure = previewed_then_sent(event_of(encoder, sink))
        received = destination.received.wait_for_bytes(len(departure.body))
    assert received == departure.body
    assert departure.framing == {
        "lf": "one line, its line feed included",
        "octet_counting": "octet-counted, without its last line feed",
    }.get(framing)
    assert departure.target == destination.address


@pytest.mark.parametrize("encoder", TEXT)
def test_udp(encoder: str) -> None:
    """The datagram; that of a syslog message has no line feed at its end."""
    with udp_destination() as destination:
        sink = {"type": "udp", "address": destination.address}
        departure = previewed_then_sent(event_of(encoder, sink))
        [received] = destination.received.wait_for(1)
    assert received == departure.body
    without = ", without its line feed" if encoder == "syslog" else ""
    assert departure.framing == f"one datagram{without}"


@pytest.mark.parametrize("encoder", TEXT)
def test_http_push(encoder: str) -> None:
    """The request, whatever else is set; who is asking is masked."""
    with http_destination() as destination:
        sink = {
            "type": "http_push",
            "url": f"{destination.url}/hook?a=%2F".replace("//", "//u:p@"),
            "headers": {"X-Api-Key": SECRET, "X-Env": "prödüction", "Empty": ""},
        }
        departure = previewed_then_sent(event_of(encoder, sink))
        secrets = {"authorization": "Basic dTpw", "x-api-key": SECRET}
        [posted] = destination.posts.items
        read = posted.headers["x-env"].encode("latin-1").decode()  # as http.server reads UTF-8
        posted.headers["x-env"] = read
        assert_posted(departure, destination, secrets)
    assert departure.target == f"{destination.url}/hook?a=%2F".replace("//", "//***@")


def test_http_push_with_a_content_type() -> None:
    """What the user says is what is shown."""
    with http_destination() as destination:
        sink = {"type": "http_push", "url": destination.url, "content_type": "text/x"}
        departure = previewed_then_sent(log_event(sink))
        assert_posted(departure, destination)
    assert ("Content-Type", "text/x") in departure.headers


@pytest.mark.parametrize("encoder", TEXT)
def test_loki(encoder: str) -> None:
    """The whole push, with one stream of one entry."""
    with http_destination() as destination:
        sink = {
            "type": "loki",
            "url": f"{destination.url}/base/",
            "headers": {"X-Scope-OrgID": "a", "Authorization": f"Bearer {SECRET}"},
        }
        departure = previewed_then_sent(event_of(encoder, sink))
        assert_posted(departure, destination, {"authorization": f"Bearer {SECRET}"})
    assert departure.facts == {"request": "POST /base/loki/api/v1/push HTTP/1.1"}


@pytest.mark.parametrize(
    ("sink", "name"),
    [
        ({"type": "tcp", "address": "logs:514", "tls": {}}, "logs"),
        ({"type": "tcp", "address": "logs:514", "tls": {"server_name": "x.example"}}, "x.example"),
        ({"type": "loki", "url": "https://logs"}, "logs"),
        ({"type": "http_push", "url": "https://logs", "tls": {"server_name": "y."}}, "y"),
    ],
)
def test_tls_shows_whom_it_would_verify(sink: Mapping[str, Any], name: str) -> None:
    """The name that the destination's certificate must have."""
    assert previewed(log_event(sink)).departure.facts["tls"] == name


# What a dry run refuses


def test_an_invalid_event_is_no_preview() -> None:
    """The problems are those of a delivery."""
    event = changed(LOG, labels={"a-b": "x"}, encoder={"type": "syslog"})
    reason = 'invalid label name "a-b": must match [a-zA-Z_][a-zA-Z0-9_]* (try a_b)'
    issue = ValidationIssue("labels.a-b", reason, names_subject=True)
    assert sonda.preview(event) == Failure(Invalid((issue,)))
    assert sonda.preview(event) == sonda.emit(event)


def test_what_fits_no_datagram() -> None:
    """What can be told without a socket is told."""
    event = log_event({"type": "udp", "address": "127.0.0.1:9"}, "x" * 65507)
    too_long = f"{len(json_line('x' * 65507))} bytes do not fit a datagram of 65507"
    assert sonda.preview(event) == Failure(Unreachable("UDP send to 127.0.0.1:9", too_long))
    assert [sonda.preview(event)] == deliver(event)


def confined_preview(event: Mapping[str, Any], access_policy: AccessPolicy) -> Any:
    async def ask() -> Any:
        async with Pipeline(access_policy=access_policy) as pipeline:
            return await pipeline.preview(raw(event))

    return asyncio.run(ask())


FORBIDDEN: Final[Mapping[str, Mapping[str, Any]]] = {
    "an address": {"type": "tcp", "address": "169.254.169.254:80"},
    "a datagram's": {"type": "udp", "address": "224.0.0.1:514"},
    "a name": {"type": "loki", "url": "http://elsewhere.example"},
    "TLS": {
        "type": "http_push",
        "url": "https://allowed.example",
        "tls": {"ca_cert": "/nowhere/ca.pem"},
    },
    "TLS over TCP": {
        "type": "tcp",
        "address": "allowed.example:1",
        "tls": {"client_cert": "../x.pem"},
    },
    "a device for TLS": {"type": "tcp", "address": "allowed.example:1", "tls": {"ca_cert": "fifo"}},
    "a file": {"type": "file", "path": "/etc/events.log"},
    "a file above": {"type": "file", "path": "../events.log"},
    "a file behind a link": {"type": "file", "path": "link/events.log"},
    "a device": {"type": "file", "path": "fifo"},
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_the_operator_does_not_allow(what: str, tmp_path: Path) -> None:
    """A dry run answers as the real one would."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    os.mkfifo(root / "fifo")
    policy = Policy((parse_rule("allowed.example", ["tcp"]),))
    access_policy = AccessPolicy(root, root, policy)
    event = log_event(FORBIDDEN[what])
    shown = confined_preview(event, access_policy)
    assert isinstance(shown.failure(), Forbidden)
    assert [shown] == deliver(event, access_policy=access_policy)


def test_a_confined_file_is_taken_from_the_root(tmp_path: Path) -> None:
    """What cannot be written to is found out by writing only; nothing is created."""
    (tmp_path / "folder").mkdir()
    access_policy = AccessPolicy(tmp_path, tmp_path)
    for path in ("new/events.log", "folder"):
        shown = confined_preview(log_event({"type": "file", "path": path}), access_policy)
        assert shown.unwrap().departure.facts == {"path": str(tmp_path / path)}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# What it does not do


EVERY_SINK: Final[Mapping[str, Mapping[str, Any]]] = {
    "stdout": {},
    "file": {"path": "new/events.log", "fsync": True},
    "tcp": {"address": "logs.example:514", "tls": {"ca_cert": "ca.pem"}},
    "udp": {"address": "logs.example:514"},
    "http_push": {"url": "https://logs.example", "tls": {"ca_cert": "ca.pem"}},
    "loki": {"url": "https://logs.example", "tls": {"ca_cert": "ca.pem"}},
    "remote_write": {"url": "https://logs.example", "tls": {"ca_cert": "ca.pem"}},
    "otlp_grpc": {
        "endpoint": "https://logs.example",
        "signal_type": "logs",
        "tls": {"ca_cert": "ca.pem"},
    },
    "otlp_http": {"endpoint": "https://logs.example", "tls": {"ca_cert": "ca.pem"}},
    "kafka": {"brokers": "logs.example:9092", "topic": "t", "tls": {"ca_cert": "ca.pem"}},
}
WATCHED: Final = """
import asyncio, json, sys
from pathlib import Path
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.net import AccessPolicy

bodies = [json.dumps(event).encode() for event in json.loads(sys.argv[1])]
seen = []

def watch(event, args):
    if event in ("open", "os.mkdir", "os.open") or event.startswith(("socket.", "subprocess.")):
        seen.append((event, str(args)))

async def main():
    for access_policy in (None, AccessPolicy(Path.cwd(), Path.cwd())):
        async with Pipeline(access_policy=access_policy) as pipeline:
            for body in bodies:
                (await pipeline.preview(body)).unwrap()  # imports what it needs
            if access_policy is None:
                sys.addaudithook(watch)
            seen.clear()
            for body in bodies:
                (await pipeline.preview(body)).unwrap()
            assert not seen, seen

asyncio.run(main())
print(len(bodies))
"""


def test_nothing_is_opened(tmp_path: Path) -> None:
    """No file, no TLS file, no connection and no look-up, as the interpreter itself tells."""
    special = {"remote_write": "remote_write", "otlp_grpc": "otlp", "otlp_http": "otlp"}
    events = [
        event_of(special.get(name, "json_lines"), {"type": name, **options})
        for name, options in EVERY_SINK.items()
        if is_usable("sink", name)
    ]
    assert len(events) >= 6
    command = [sys.executable, "-c", WATCHED, json.dumps(events)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (run.stdout, run.stderr) == (f"{len(events)}\n", "")
    assert list(tmp_path.iterdir()) == []


def test_every_sink_is_watched() -> None:
    """A new sink belongs into the list above."""
    from sonda.pipeline.schemas.registry import PLUGINS

    assert EVERY_SINK.keys() == PLUGINS["sink"].keys()


@pytest.mark.parametrize("name", [name for name in EVERY_SINK if is_usable("sink", name)])
def test_no_secret_is_shown(name: str) -> None:
    """Wherever a credential may stand in a sink's options, no form of a preview has it."""
    special = {"remote_write": "remote_write", "otlp_grpc": "otlp", "otlp_http": "otlp"}
    encoder = special.get(name, "json_lines")
    options = dict(EVERY_SINK[name])
    for field in ("url", "endpoint"):
        if field in options:
            options[field] = f"https://user:{SECRET}@logs.example"
    if name in ("http_push", "loki", "remote_write", "otlp_grpc", "otlp_http", "kafka"):
        options["headers"] = {"X-Api-Key": SECRET, "authorization": f"Bearer {SECRET}"}
    if name == "kafka":
        options["sasl"] = {"mechanism": "PLAIN", "username": "user", "password": SECRET}
    preview = sonda.preview(event_of(encoder, {"type": name, **options})).unwrap()
    shown = (str(preview), repr(preview), json.dumps(preview.answer()), preview._repr_html_())
    for text in shown:
        assert SECRET not in text
        assert "user:" not in text


def test_a_file_system_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run ends when its time is up, as a delivery does."""
    released = threading.Event()

    def permit(path: str, _: AccessPolicy | None) -> Success[Path]:
        released.wait(PATIENCE_S)
        return Success(Path(path))

    monkeypatch.setattr(file, "permit", permit)

    async def ask() -> Any:
        async with Pipeline() as pipeline:
            now_s = asyncio.get_running_loop().time()
            body = raw(log_event({"type": "file", "path": "x"}))
            shown = await pipeline.preview(body, until_s=now_s)
            released.set()
            return shown

    attempt = "look at the paths of sink file"
    expected = Unreachable(attempt, "the file system did not answer in time")
    assert asyncio.run(ask()) == Failure(expected)


# How it looks


def test_a_preview_as_text() -> None:
    """Names and values in two columns, the bytes last, and then the warnings."""
    sink = {"type": "http_push", "url": "http://hook/x", "headers": {"Cookie": "a=b"}}
    assert str(previewed(log_event(sink))).splitlines() == [
        "sink       http_push http://hook/x",
        "encoder    json_lines",
        f"timestamp  {TIMESTAMP}",
        "request    POST /x HTTP/1.1",
        "headers    Content-Type: application/x-ndjson",
        "           Host: hook",
        "           Accept: */*",
        "           Accept-Encoding: identity",
        f"           User-Agent: sonda/{sonda.version()}",
        "           Cookie: ***",
        "           Content-Length: 101",
        "framing    one POST",
        "bytes      101",
        f"text       {json_line().decode().strip()}",
        f"warning    {IN_CLEAR}",
    ]


def test_a_preview_as_json() -> None:
    """The same, with the text as it is."""
    preview = previewed(metric_event({"type": "udp", "address": "h:1"}, "influx_lp"))
    assert preview.answer() == {
        "sent": False,
        "signal_type": "metrics",
        "preview": {
            "encoder": "influx_lp",
            "sink": "udp",
            "target": "h:1",
            "timestamp": TIMESTAMP,
            "framing": "one datagram",
            "bytes": 43,
            "text": "deploys,job=ci value=1 1795420800123456789\n",
        },
        "warnings": (NO_ANSWER,),
    }


def test_control_characters_stay_on_their_line() -> None:
    """What a terminal would obey is shown as an escape; a line feed in the middle is a line's end."""
    sink = {"type": "tcp", "address": "h:1", "framing": "octet_counting"}
    event = log_event(sink, "a\x1b[31m\nb\r", encoder="syslog")
    assert str(previewed(event)).splitlines()[-2:] == [
        "text       58 <14>1 2026-11-23T08:00:00.123Z sonda sonda - - - a\\u001b[31m",
        "           b\\r",
    ]


def test_what_a_server_shows() -> None:
    """A server's preview and a library's are one."""
    event = log_event({"type": "stdout"})

    async def ask() -> Preview:
        async with Pipeline() as pipeline:
            return (await pipeline.preview(raw(event))).unwrap()

    assert asyncio.run(ask()) == sonda.preview(event).unwrap()
