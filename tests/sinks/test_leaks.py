"""Nothing leaks: every failure is driven with canaries for secrets, and all that comes out is read."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any, Final, get_type_hints

import httpx
import pytest
from returns.result import Failure, Result

from sonda import Log, encoders
from sonda.observe.log_setup import OneLine
from sonda.pipeline import sinks
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Receipt
from sonda.pipeline.net.http_endpoint import endpoint
from sonda.pipeline.net.pool import ConnectionKey
from sonda.pipeline.problems import Problem
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.text.redact import scrub, secrets_of_body
from sonda.server.settings import Settings, read_settings
from tests.server.test_http import JSON, Pipe, asked
from tests.support.destinations import log_event, run
from tests.support.extras import is_usable
from tests.support.faulty import Peer, Script, answering, faulty
from tests.support.serving import serving

CANARY: Final = "canary-7f3a"
LOGIN: Final = b64encode(f"me:{CANARY}".encode()).decode()
HEADERS: Final = {
    "Authorization": f"Bearer {CANARY}-bearer",
    "X-Api-Key": f"{CANARY}-key",
    "Cookie": f"session={CANARY}-cookie; a=b",
    "X-Amz-Signature": f"{CANARY}-signature",
}
USERINFO: Final = f"me:{CANARY}%2Fpassword"
RETRY: Final = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}


def assert_clean(*shown: object) -> None:
    """Expect that no canary is in any of it, however it is spelled."""
    for each in shown:
        for text in (str(each), repr(each)):
            assert CANARY not in text
            assert LOGIN not in text
            assert b64encode(f"me:{CANARY}/password".encode()).decode() not in text


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that is logged, even to debug; it must be clean in the end."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    assert_clean(caplog.text, *(record.args for record in caplog.records))


def secret_post(sink: str, address: str, **options: Any) -> dict[str, Any]:
    """Write an event whose sink has a secret wherever there is a place for one."""
    url = f"http://{USERINFO}@{address}/x"
    return log_event({"type": sink, "url": url, "headers": HEADERS, "timeout": "500ms", **options})


def deliver_in_server(event: dict[str, Any]) -> Result[Receipt, Problem]:
    async def work(_: Pipeline) -> Result[Receipt, Problem]:
        async with Pipeline(in_server=True) as pipeline:
            return await pipeline.deliver(json.dumps(event).encode())

    return run(work)


# --- destinations --------------------------------------------------------------------------------


def echo(status: bytes, *, as_json: bool = False) -> Script:
    """Send back what was asked, head and all, as some servers do to help."""

    def script(peer: Peer) -> None:
        posted = peer.request()
        assert posted is not None
        told = json.dumps(posted.headers) if as_json else repr(posted.headers)
        body = told.encode()
        peer.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    return script


ENDINGS: Final[dict[str, Script]] = {
    "refused": answering(b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno"),
    "echoed": echo(b"401 Unauthorized"),
    "echoed as JSON": echo(b"500 Oops", as_json=True),
    "echoed in the phrase": echo(f"403 {CANARY}-key is no key".encode()),
    "redirected": answering(
        f"HTTP/1.1 302 To\r\nLocation: http://x/{CANARY}\r\nContent-Length: 0\r\n\r\n".encode()
    ),
    "reset": answering(then=Peer.reset),
    "closed": answering(),
    "silent": answering(then=Peer.hang),
    "garbage": answering(f"{CANARY}-bearer is garbage\r\n\r\n".encode()),
    "half": answering(f"HTTP/1.1 200 OK\r\nX: {CANARY}-cookie".encode()),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("sink", ["http_push", "loki"])
def test_no_failure_of_a_destination_shows_a_secret(
    sink: str, ending: str, logged: pytest.LogCaptureFixture
) -> None:
    """Whatever a destination does, not even what it sends back names a credential."""
    with faulty(ENDINGS[ending]) as server:
        timeout = "1s" if ending == "silent" else "10s"  # the others end by themselves
        event = secret_post(sink, server.address, retry=RETRY, timeout=timeout)
        outcome = deliver_in_server(event)
        assert isinstance(outcome, Failure)
        assert_clean(outcome, outcome.failure())
        sent = server.posts.wait_for()[0].headers
        assert CANARY in sent["authorization"]
    warnings = [record for record in logged.records if "travel in clear" in record.getMessage()]
    assert len(warnings) == 1


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:80", "169.254.1.1:80"])
@pytest.mark.parametrize("sink", ["http_push", "loki"])
def test_nobody_there(sink: str, address: str, logged: pytest.LogCaptureFixture) -> None:
    """What was never sent is not shown either."""
    outcome = deliver_in_server(secret_post(sink, address))
    assert_clean(outcome)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_basic_credentials_are_known_in_both_spellings(scheme: str) -> None:
    """A password in a URL or in a header is found plain, as it is written, and as it is sent."""
    event = secret_post("http_push", "x")
    event["sink"]["headers"] = {"Proxy-Authorization": f"Basic {LOGIN}"}
    secrets = secrets_of_body(json.dumps(event).encode())
    text = f"{LOGIN} {CANARY} {CANARY}/password {CANARY}%2Fpassword"
    assert_clean(scrub(text, secrets))


@pytest.mark.parametrize("spell", [str, repr, json.dumps, lambda text: repr(text.encode())])
def test_secrets_are_found_however_they_are_quoted(spell: Callable[[str], str]) -> None:
    """A secret with quotes, backslashes and letters beyond ASCII is found in every language's words."""
    secret = "'\"\\é" + CANARY
    assert scrub(f"<{spell(secret)}>", [secret]).strip("<>b'\"") == "***"


def test_short_values_are_no_secrets() -> None:
    """A header of a few characters would turn up everywhere."""
    body = log_event({"type": "loki", "url": "http://x", "headers": {"X-Token": "no"}})
    assert scrub("no, not now", secrets_of_body(json.dumps(body).encode())) == "no, not now"


# --- bodies --------------------------------------------------------------------------------------

BAD_URLS: Final = [
    f"http://me:{CANARY}@h:99999",
    f"http://me:{CANARY}@h:port",
    f"http://me:{CANARY}/x@h",
    f"http://me:{CANARY}?@h",
    f"http://me:{CANARY}#@h",
    f"http://me:{CANARY}\\@h",
    f"http://me: {CANARY}@h",
    f"ftp://me:{CANARY}@h",
    f"me:{CANARY}@h",
    f"http://me:{CANARY}@",
    f"http://me:{CANARY}@[::1",
    f"http://me:{CANARY}@1.2.3.999",
    f"http://me:{CANARY}@-",
    f"http://me:{CANARY}@h/" + "x" * 70_000,
]


def bad_bodies() -> list[dict[str, Any]]:
    """Write bodies with secrets, each with something wrong."""
    fine = secret_post("loki", "x")
    bodies = [{**fine, "sink": {**fine["sink"], "url": url}} for url in BAD_URLS]
    bodies += [
        {**fine, "sink": {**fine["sink"], "headers": {"Authorization": value}}}
        for value in (CANARY + "\n", " " + CANARY, CANARY + "\x00", 1, [CANARY], {"x": CANARY})
    ]
    bodies.append({**fine, "sink": {**fine["sink"], "headers": {"Host": CANARY}}})
    bodies.append({**fine, "sink": {**fine["sink"], "headers": CANARY}})
    bodies.append({**fine, "sink": {**fine["sink"], "headers": [CANARY]}})
    bodies.append({**fine, "sink": {**fine["sink"], "tls": {}}})
    bodies.append({**fine, "encoder": {"type": "influx_lp"}})
    bodies.append({**fine, "sink": {**fine["sink"], "batch_size": 0}})
    kafka = {"type": "kafka", "brokers": "k:9092", "topic": "t"}
    sasl = {"mechanism": "PLAIN", "username": "me", "password": CANARY}
    changes: list[dict[str, Any]] = [
        {"mechanism": "NOPE"},
        {"password": [CANARY]},
        {"password": ""},
        {"username": 1},
        {"extra": 1},
    ]
    bodies += [{**fine, "sink": {**kafka, "sasl": {**sasl, **change}}} for change in changes]
    bodies.append({**fine, "sink": {**kafka, "sasl": sasl, "brokers": "nope"}})
    otlp = {"type": "otlp_grpc", "signal_type": "logs", "endpoint": f"http://me:{CANARY}@h:x"}
    bodies.append({**fine, "sink": otlp})
    bodies.append(
        {**fine, "sink": {**otlp, "endpoint": "http://h", "headers": {"a": CANARY + "é"}}}
    )
    bodies += [
        {**fine, "sink": {"type": "tcp", "address": f"tcp://me:{CANARY}@h:1"}},
        {**fine, "sink": {"type": "udp", "address": f"me:{CANARY}@h:1"}},
        {**fine, "sink": {"type": "tcp", "address": f"me:/?#{CANARY}@h:1"}},
        {**fine, "sink": {"type": "tcp", "address": f"{CANARY}@h:1"}},
        {**fine, "sink": {**kafka, "brokers": f"a:1,me:{CANARY}@h:1"}},
        {**fine, "sink": {**kafka, "brokers": f"tcp://a:b@c/,tcp://me:{CANARY}@h:1,d:1"}},
        {**fine, "sink": {**fine["sink"], "url": f"http://me:{CANARY}/x@h"}},
        {**fine, "sink": {**fine["sink"], "url": f"//me:{CANARY}@h"}},
        {**fine, "sink": {**fine["sink"], "timeout": f"http://me:{CANARY}@h"}},
        {**fine, "sink": {"type": "tcp", "address": "h:1", "framing": f"tcp://me:{CANARY}@h"}},
        {**fine, "sink": {"type": f"loki=http://me:{CANARY}@h"}},
        {**fine, "sink": {**fine["sink"], f"http://me:{CANARY}@h": 1}},
        {**fine, "labels": {f"http://me:{CANARY}@h": "x"}},
    ]
    return bodies


LONG: Final = "1:" * 450_000


@pytest.mark.parametrize(
    "sink",
    [
        {"type": "tcp", "address": f"[{LONG}]:1"},
        {"type": "kafka", "brokers": f"a:1,[{LONG}]:1", "topic": "t"},
        {"type": "loki", "url": f"http://[{LONG}]/"},
        {"type": "tcp", "address": "h:1", "tls": {"server_name": LONG}},
        {"type": "tcp", "address": "h:1", "tls": {"server_name": f"::1%{LONG}"}},
        {"type": "tcp", "address": "h:1", "timeout": LONG},
        {"type": "otlp_grpc", "endpoint": f"https://[{LONG}", "signal_type": "logs"},
    ],
    ids=lambda sink: sink["type"],
)
def test_no_reason_quotes_all_of_a_value(sink: dict[str, Any]) -> None:
    """Neither our own words nor a library's grow with a value."""
    body = json.dumps(log_event(sink)).encode()
    refused = parse(body).bind(lambda read: validate(read, received_ns=1))
    assert len(str(refused.failure())) < 1000


@pytest.mark.parametrize("body", bad_bodies(), ids=lambda body: json.dumps(body["sink"])[:60])
def test_no_refusal_of_a_body_shows_a_secret(body: dict[str, Any], without_extras: None) -> None:
    """Whatever is wrong with a body, the detail does not quote its credentials."""
    refused = parse(json.dumps(body).encode()).bind(lambda read: validate(read, received_ns=1))
    assert isinstance(refused, Failure)
    assert_clean(refused, refused.failure())
    assert len(str(refused.failure())) < 1000


def test_long_targets_are_cut(logged: pytest.LogCaptureFixture) -> None:
    """Neither a detail nor a log grows with a URL, and no invisible character gets into them."""
    with faulty(ENDINGS["refused"]) as server:
        event = secret_post("http_push", server.address)
        event["sink"]["url"] += "/\u202e" + "x" * 50_000
        detail = str(deliver_in_server(event).failure())
    assert len(detail) < 500
    assert detail.isprintable()
    assert all(len(record.getMessage()) < 1000 for record in logged.records)
    assert logged.text.replace("\n", "").isprintable()


# --- reprs ---------------------------------------------------------------------------------------


def secret_options(options: type) -> Any:
    """Make a plug-in's options with a secret wherever there is a place for one."""
    sasl = {"mechanism": "PLAIN", "username": "me", "password": CANARY}
    places: dict[str, Any] = {
        "address": "h:1",
        "brokers": "h:1",
        "endpoint": f"http://{USERINFO}@h",
        "headers": HEADERS,
        "path": "x",
        "signal_type": "logs",
        "topic": "t",
        "url": f"http://{USERINFO}@h",
    }
    given = {one.name: places[one.name] for one in fields(options) if one.name in places}
    if "sasl" in {one.name for one in fields(options)}:
        nested = get_type_hints(options)["sasl"]
        kind = next(each for each in getattr(nested, "__args__", (nested,)) if each is not None)
        given["sasl"] = kind(**sasl)
    return options(**given)


@pytest.mark.parametrize("name", [sink for sink in PLUGINS["sink"] if is_usable("sink", sink)])
def test_options_show_no_secret(name: str) -> None:
    """The options of every sink, and an event that has them, can be printed."""
    options = secret_options(sinks.load(name).options)
    assert_clean(options, Log(message="x", encoder=encoders.JsonLines(), sink=options))
    assert type(options).__name__ in repr(options)


def test_what_travels_down_the_line_shows_no_secret() -> None:
    """Orders, requests, routes and settings can be printed, too: some exceptions do."""
    event = secret_post("loki", "x")
    validated = parse(json.dumps(event).encode()).bind(lambda read: validate(read, received_ns=1))
    url = validated.unwrap().sink.options.url
    where = endpoint("loki", url, httpx.URL(url), HEADERS, None, bool)
    credentials = tuple(HEADERS.items())
    route = ConnectionKey("loki", ("x", 1), None, credentials)  # type: ignore[arg-type]  # as good as any
    settings = read_settings(["--api-key", CANARY], {})
    assert_clean(validated, where, route, settings)


# --- bugs ----------------------------------------------------------------------------------------


def test_a_traceback_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an exception of ours quotes of the request's credentials is taken out of the log."""
    event = secret_post("loki", "x", sasl={"password": f"{CANARY}-sasl"})

    async def deliver() -> Result[Receipt, Problem]:
        own = f"Bearer {CANARY}-own"
        raise ValueError(event, HEADERS["Authorization"].encode(), own, "harmless")

    shown = StringIO()
    handler = logging.StreamHandler(shown)
    handler.setFormatter(OneLine())
    logger = logging.getLogger("sonda")
    logger.addHandler(handler)
    try:
        given = [JSON, (b"authorization", f"Bearer {CANARY}-own".encode())]
        body = json.dumps(event).encode()
        settings = Settings(api_key=f"{CANARY}-own")
        reply = asked(Pipe(deliver), settings, "POST", "/events", body, headers=given)
    finally:
        logger.removeHandler(handler)
    assert reply.status == 500
    assert_clean(reply.body, shown.getvalue())
    assert "Traceback" in shown.getvalue()
    assert "harmless" in shown.getvalue()


# --- a real server -------------------------------------------------------------------------------


def test_a_real_server_shows_no_secret() -> None:
    """Neither the answers, nor the log to debug, nor the process list have key or credentials."""
    key = f"{CANARY}-server"
    with (
        faulty(ENDINGS["echoed"]) as destination,
        serving("--log-level", "debug", environ={"SONDA_API_KEY": key}) as server,
    ):
        bodies = [secret_post("loki", destination.address), *bad_bodies()[:20]]
        for body in bodies:
            raw = json.dumps(body).encode()
            for given in (key, f"{CANARY}-wrong"):
                head = (
                    f"POST /events?token={CANARY} HTTP/1.1\r\nHost: x\r\n"
                    if given != key
                    else "POST /events HTTP/1.1\r\nHost: x\r\n"
                )
                reply = server.ask(
                    f"{head}Authorization: Bearer {given}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(raw)}\r\n\r\n".encode()
                    + raw
                )
                assert reply.status >= 400
                assert_clean(reply.body, reply.headers)
        long = b"GET /" + b"x" * 20_000 + f"?{CANARY} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        assert server.ask(long).status == 404
        command = Path(f"/proc/{server.process.pid}/cmdline")
        if command.exists():
            assert_clean(command.read_bytes())
        assert server.stop() == 0
        server.wait_for_end_of_log()
        assert_clean(server.log, server.printed)
    assert "POST /events?..." in server.log
    assert max(map(len, server.log.splitlines())) < 1500
