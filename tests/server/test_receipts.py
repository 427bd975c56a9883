"""`?receipt=true`, problem details, and warnings: what an answer tells a program."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from msgspec.structs import replace
from returns.result import Failure, Success

from sonda.pipeline.model import Confirmed, RecordMetadata
from sonda.pipeline.problems import Problem, Refused
from sonda.server.settings import Settings
from tests.server.test_http import JSON, RECEIPT, Headers, Pipe, Reply, asked
from tests.server.test_server import post
from tests.support.bodies import LOG, changed
from tests.support.bodies import raw as written
from tests.support.destinations import http_destination
from tests.support.serving import Serving, serving

TIME: Final = "2026-11-23T08:00:00.123456789Z"
PROBLEM_JSON: Final = "application/problem+json"


def receipted(pipe: Pipe, query: bytes = b"receipt=true", headers: Headers | None = None) -> Reply:
    """Send one event to a pipeline of the test's, and ask for a receipt."""
    settings = Settings(max_body_bytes=20)
    return asked(pipe, settings, "POST", "/events", b"{}", query=query, headers=headers or [JSON])


def test_a_receipt_stands_before_the_warnings() -> None:
    """All that is known of the acknowledgement, in the contract's order."""
    known = replace(
        RECEIPT,
        status=204,
        place=RecordMetadata("t", 0, 42),
        warnings=("x",),
        time_ns=1_000_000_001,
    )
    assert receipted(Pipe(gives=Success(known))).body == (
        b'{"sent":true,"signal_type":"logs","latency_ms":7,"receipt":{"confirmed":"accepted",'
        b'"timestamp":"1970-01-01T00:00:01.000000001Z","tries":1,"latency_us":7999,"status":204,'
        b'"place":{"topic":"t","partition":0,"offset":42}},"warnings":["x"]}\n'
    )
    least = replace(RECEIPT, confirmed=Confirmed.HANDED_OFF)
    assert receipted(Pipe(gives=Success(least))).document["receipt"] == {
        "confirmed": "handed_off",
        "timestamp": "1970-01-01T00:00:00.000000001Z",
        "tries": 1,
        "latency_us": 7999,
    }


@pytest.mark.parametrize("query", [b"", b"receipt=false", b"receipt=0"])
def test_no_receipt_unless_it_is_asked_for(query: bytes) -> None:
    """Without the parameter the answer is as ever."""
    assert list(receipted(Pipe(), query).document) == ["sent", "signal_type", "latency_ms"]


@pytest.mark.parametrize("query", [b"receipt", b"receipt=", b"receipt=1", b"dry_run=0&receipt=1"])
def test_a_receipt_by_any_yes(query: bytes) -> None:
    """`1` and an empty value are read as true."""
    assert "receipt" in receipted(Pipe(), query).document


@pytest.mark.parametrize(
    ("query", "headers", "settings", "status"),
    [
        (b"receipt=true&x=1", [JSON], Settings(), 400),
        (b"receipt=true", [(b"content-type", b"text/plain")], Settings(), 415),
        (b"receipt=true", [JSON], Settings(api_key="key"), 401),
        (b"receipt=true", [JSON], Settings(max_body_bytes=1), 413),
        (b"receipt=true", [JSON], Settings(max_inflight_requests=0), 503),
        (b"receipt=true", [JSON, (b"host", b"evil.example")], Settings(), 403),
    ],
)
def test_every_refusal_says_that_nothing_was_sent(
    query: bytes, headers: Headers, settings: Settings, status: int
) -> None:
    """Those of the shell, too, in the order error, detail, outcome, resend, issues."""
    reply = asked(Pipe(), settings, "POST", "/events", b"{}", query=query, headers=headers)
    issues = ["issues"] if status == 400 else []
    assert reply.status == status
    assert list(reply.document) == ["error", "detail", "outcome", "resend", *issues]
    assert (reply.document["outcome"], reply.document["resend"]) == ("not_sent", "safe")


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson"])
def test_a_refused_dry_run_has_the_events_own_time(media_type: str) -> None:
    """The time that the client gave stands in every answer to its event."""
    event = changed(LOG, timestamp=TIME, labels={"a-b": "c"})
    with serving() as server:
        for query in ("receipt=true", "receipt=true&dry_run=true"):
            headers = {"Content-Type": media_type}
            path = f"/events?{query}"
            answer = server.request("POST", path, content=written(event), headers=headers)
            assert answer.json()["timestamp"] == TIME


def test_the_log_tells_no_outcome_of_a_dry_run() -> None:
    """Nothing was delivered, nor invalid: no event was sent."""
    with serving() as server:
        for event in (LOG, changed(LOG, labels={"a-b": "c"})):
            headers = {"Content-Type": "application/json"}
            path = "/events?dry_run=true"
            server.request("POST", path, content=written(event), headers=headers)
        server.stop()
        assert [line for line in server.log.splitlines() if "POST /events" in line]
        assert "outcome=" not in server.log


def test_what_is_wrong_with_a_key_has_the_events_own_time() -> None:
    """A key's refusal is an answer to an event like any other."""
    with serving() as server:
        for version in "12":
            event = changed(LOG, timestamp=TIME, log__message=version)
            headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
            path = "/events?receipt=true"
            answer = server.request("POST", path, content=written(event), headers=headers)
    assert (answer.status_code, answer.json()["timestamp"]) == (422, TIME)


@pytest.mark.parametrize(
    "accept", ["application/problem+json", "text/html, Application/Problem+JSON;q=0.5"]
)
def test_problem_details(accept: str) -> None:
    """RFC 9457 for whoever names it; error and detail stay."""
    headers = [(b"content-type", b"text/plain"), (b"accept", accept.encode())]
    reply = receipted(Pipe(), b"", headers)
    assert reply.headers["content-type"] == PROBLEM_JSON
    document = json.loads(reply.body)
    assert document == {
        "error": "unsupported_media_type",
        "detail": document["detail"],
        "type": "about:blank",
        "title": "Unsupported Media Type",
        "status": 415,
    }
    other = asked(Pipe(), Settings(), "GET", "/nope", headers=headers)
    assert (other.status, other.headers["content-type"]) == (404, PROBLEM_JSON)


@pytest.mark.parametrize("place", [0, 1])
def test_each_of_several_accept_headers_counts(place: int) -> None:
    """Several fields are one list (RFC 9110, 5.3), for what the pipeline says, too."""
    headers = [JSON, (b"accept", b"text/html")]
    headers.insert(1 + place, (b"accept", PROBLEM_JSON.encode()))
    pipe = Pipe(gives=Failure(Refused("http://x", "400 Bad Request")))
    assert receipted(pipe, b"", headers).headers["content-type"] == PROBLEM_JSON


@pytest.mark.parametrize(
    "accept", ["*/*", "application/*", "application/json", "application/problem+json;q=0", ""]
)
def test_no_problem_details_unless_named(accept: str) -> None:
    """A wildcard is no wish for another shape, and a weight of zero is a refusal."""
    headers = [(b"content-type", b"text/plain"), (b"accept", accept.encode())]
    assert list(receipted(Pipe(), b"", headers).document) == ["error", "detail"]


def test_a_success_is_plain_json_all_the_same() -> None:
    """Only problems have another shape."""
    headers = [JSON, (b"accept", PROBLEM_JSON.encode())]
    assert receipted(Pipe(), b"", headers).document["sent"] is True


@pytest.mark.parametrize(
    ("problem", "resend"),
    [
        (Refused("http://x", "400 Bad Request"), "safe"),
        (Refused("http://x", "503 Service Unavailable", may_be_stored=True), "may_duplicate"),
    ],
)
def test_a_refusal_that_may_hide_a_stored_event(problem: Problem, resend: str) -> None:
    """Only a status that speaks of the event makes a resend safe."""
    document = receipted(Pipe(gives=Failure(problem))).document
    assert (document["outcome"], document["resend"]) == ("rejected", resend)


# --- a real server -------------------------------------------------------------------------------


def answered(server: Serving, sink: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Deliver one event with a timestamp, and return the answer with its receipt."""
    body = written(changed(LOG, sink=sink, **changes))
    document: dict[str, Any] = server.ask(post(body, path=b"/events?receipt=true")).document
    return document


def test_consequences_of_a_real_server() -> None:
    """Outcome, time, resend, issues and warnings of what destinations and bodies do."""
    with http_destination() as away, serving() as server:
        url = away.url
        dead = {"type": "tcp", "address": "127.0.0.1:1"}
        answer = answered(server, dead, timestamp=TIME)
        assert list(answer) == ["error", "detail", "outcome", "timestamp", "resend", "warnings"]
        assert [answer[name] for name in ("outcome", "timestamp", "resend")] == [
            "not_sent",
            TIME,
            "safe",
        ]
        assert "own loopback" in answer["warnings"][0]
        for path, resend in (("/s/400", "safe"), ("/s/503", "may_duplicate"), ("/s/429", "safe")):
            answer = answered(server, {"type": "http_push", "url": url + path}, timestamp=TIME)
            assert [answer[name] for name in ("outcome", "resend")] == ["rejected", resend], path
        loki = {"type": "loki", "url": f"{url}/s/503"}
        assert answered(server, loki)["resend"] == "safe"
        retry = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}
        answer = answered(server, {"type": "tcp", "address": "x", "retry": retry}, timestamp=TIME)
        assert (answer["error"], answer["timestamp"]) == ("unprocessable_entity", TIME)
        assert [issue["path"] for issue in answer["issues"]] == ["sink.address"]
        answer = answered(server, dead, timestamp="yesterday")
        assert "timestamp" not in answer
        answer = answered(server, {"type": "http_push", "url": f"{url}/s/204"}, timestamp=TIME)
        assert answer["receipt"]["status"] == 204
        assert answer["receipt"]["timestamp"] == TIME
