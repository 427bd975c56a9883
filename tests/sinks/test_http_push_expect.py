"""`expect`: APIs that say no inside a 2xx, as Elasticsearch and Kafka's REST proxy do."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from returns.result import Failure, Success

from sonda import Expect, sinks
from sonda.pipeline.events import to_json
from sonda.pipeline.model import Confirmed, Log, Receipt
from sonda.pipeline.problems import Invalid, Malformed, OutcomeUnknown, Refused, ValidationIssue
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.validate import validate
from tests.support.destinations import TIME_NS, Outcome, deliver, log_event
from tests.support.faulty import answering, faulty, serving

BULK: Final = {"status": [200], "json": {"/errors": False}}
RETRY: Final = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}


def answer(body: bytes, status: bytes = b"200 OK", kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        kind,
        len(body),
        body,
    )


def push_to(url: str, expect: Any, **options: Any) -> dict[str, Any]:
    return log_event({"type": "http_push", "url": url, "expect": expect, **options})


def accepted(status: int = 200) -> Outcome:
    return Success(Receipt("logs", Confirmed.ACCEPTED, TIME_NS, 1, 0, status))


ES_REASON: Final = (
    b'{"took":3,"errors":true,"items":[{"create":{"_index":"logs","status":400,"error":'
    b'{"type":"mapper_parsing_exception","reason":"failed to parse field [x]"}}}]}'
)
KAFKA_YES: Final = b'{"error_code":200,"cluster_id":"c","topic_name":"t","offset":7}'
KAFKA_NO: Final = b'{"error_code":40301,"message":"not authorized"}'
PORTAL: Final = b"<html>Please sign in</html>"


@pytest.mark.parametrize(
    ("reply", "expect", "expected"),
    [
        (answer(b'{"took":3,"errors":false,"items":[]}'), BULK, accepted()),
        (answer(KAFKA_YES), {"json": {"/error_code": 200}}, accepted()),
        (answer(b"", b"409 Conflict"), {"status": [200, 409]}, accepted(409)),
        (answer(b"{}", b"201 Created"), {"json": {"": {}}}, accepted(201)),
    ],
)
def test_a_yes(reply: bytes, expect: Any, expected: Outcome) -> None:
    """What was asked for is there."""
    with faulty(answering(reply)) as server:
        assert deliver(push_to(server.url, expect)) == [expected]


@pytest.mark.parametrize(
    ("reply", "expect", "status", "words"),
    [
        (answer(ES_REASON), BULK, "200 OK, but /errors is true, not false", ES_REASON),
        (
            answer(KAFKA_NO),
            {"json": {"/error_code": 200}},
            "200 OK, but /error_code is 40301, not 200",
            KAFKA_NO,
        ),
        (answer(PORTAL, kind=b"text/html"), BULK, "200 OK, but its body is no JSON", PORTAL),
        (answer(b"", b"204 No"), {"status": [200]}, "204 No", b""),
        (answer(b"made", b"201 Created"), {"status": [200]}, "201 Created", b"made"),
        (b"HTTP/1.1 204 N\r\n\r\n", {"json": {"/a": 1}}, "204 N, but its body is no JSON", b""),
    ],
)
def test_a_no(reply: bytes, expect: Any, status: str, words: bytes) -> None:
    """It is a refusal that quotes what was found, it is not tried again, and may be stored."""
    with faulty(serving(reply)) as server:
        event = push_to(server.url, expect, retry=RETRY)
        [outcome] = deliver(event)
        assert outcome == Failure(Refused(server.url, status, words.decode()))
        assert outcome.failure() == Refused(server.url, status, words.decode())
        assert getattr(outcome.failure(), "may_be_stored", None) is True
        assert len(server.posts.items) == 1


def test_a_secret_in_what_was_found() -> None:
    """The value that was found may be our own token."""
    with faulty(answering(answer(b'{"who":"tok\\/en-1"}'))) as server:
        event = push_to(server.url, {"json": {"/who": "me"}}, headers={"X-Token": "tok/en-1"})
        [outcome] = deliver(event)
        refused = Refused(server.url, '200 OK, but /who is "***", not "me"', '{"who":"***"}')
        assert outcome == Failure(refused)


def test_a_body_of_more_than_64_kib_is_read_whole() -> None:
    """The value that counts may stand at its end."""
    large = json.dumps({"items": ["x" * 1000] * 200, "errors": False}).encode()
    with faulty(answering(answer(large))) as server:
        assert deliver(push_to(server.url, BULK)) == [accepted()]


@pytest.mark.parametrize(
    "reply",
    [
        answer(b'{"items":"' + b"x" * (1 << 20) + b'","errors":false}'),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
    ],
)
def test_what_cannot_be_read_whole(reply: bytes) -> None:
    """Over 1 MiB, or torn in its coding: nobody can tell."""
    with faulty(answering(reply)) as server:
        reason = "(it answered 200 OK, but its body cannot be read whole)"
        unknown = OutcomeUnknown(server.url, reason, TIME_NS)
        assert deliver(push_to(server.url, BULK)) == [Failure(unknown)]


def test_a_body_that_is_cut_short() -> None:
    """It is no complete answer."""
    with faulty(answering(answer(b'{"errors":false}')[:-3])) as server:
        reason = "(the connection was closed in the middle of the answer)"
        unknown = OutcomeUnknown(server.url, reason, TIME_NS)
        assert deliver(push_to(server.url, BULK)) == [Failure(unknown)]


def test_otlp_is_judged_as_well() -> None:
    """Both must be content: `expect`, and OTLP's own rule."""
    pytest.importorskip("opentelemetry.proto")
    body = b'{"partialSuccess":{"rejectedLogRecords":"1"},"ok":true}'
    with faulty(serving(answer(body))) as server:
        sink = {"type": "http_push", "url": server.url, "expect": {"json": {"/ok": True}}}
        [rejected] = deliver(log_event(sink, encoder="otlp"))
        assert rejected == Failure(Refused(server.url, "200 OK, but rejected the event"))
        sink = {**sink, "expect": {"json": {"/ok": False}}}
        [unexpected] = deliver(log_event(sink, encoder="otlp"))
        assert unexpected == Failure(
            Refused(server.url, "200 OK, but /ok is true, not false", body.decode())
        )


def checked(expect: Any) -> Any:
    body = json.dumps(push_to("http://h", expect)).encode()
    return parse(body).bind(lambda read: validate(read, received_ns=1))


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        (
            {"json": {"errors": False}},
            Invalid(
                (
                    ValidationIssue(
                        "sink.expect.json",
                        'invalid name "errors": expected a JSON Pointer such as /errors: '
                        "empty, or / before each name",
                    ),
                )
            ),
        ),
        (
            {"status": 200},
            Malformed((ValidationIssue("sink.expect.status", "expected an array, got a number"),)),
        ),
        ({"body": 1}, Malformed((ValidationIssue("sink.expect", "unknown field 'body'"),))),
        (
            {"status": [99]},
            Invalid(
                (
                    ValidationIssue(
                        "sink.expect.status[0]", "invalid value 99: must be from 200 to 599"
                    ),
                )
            ),
        ),
    ],
)
def test_what_cannot_be_asked_for(expect: Any, problem: Any) -> None:
    """A pointer is one of RFC 6901, a status one that ends an exchange."""
    assert checked(expect) == Failure(problem)


@pytest.mark.parametrize("pointer", ["/a~2", "/a~", "a/b", "#/a"])
def test_invalid_pointers(pointer: str) -> None:
    """All of them are 422."""
    assert isinstance(checked({"json": {pointer: 1}}).failure(), Invalid)


@pytest.mark.parametrize("expect", [{"status": []}, {"json": {}}])
def test_nothing_is_asked_for(expect: Any) -> None:
    """What is there must say something."""
    assert isinstance(checked(expect).failure(), Invalid)


def test_fractions_stay() -> None:
    """A value to compare with is not an option: 0.5 is not 0, and 200.0 is 200."""
    options = (
        checked({"status": [200.0], "json": {"/a": 0.5, "/b": [1.5, 2.0]}}).unwrap().sink.options
    )
    assert options.expect == Expect(status=(200,), json={"/a": 0.5, "/b": [1.5, 2]})


def test_typed_options() -> None:
    """The library's own class says the same."""
    sink = sinks.HttpPush(url="http://h", expect=Expect(json={"/errors": False}))
    body = json.loads(to_json(Log(message="x", sink=sink)).unwrap())
    assert body["sink"]["expect"] == {"json": {"/errors": False}}


@pytest.mark.parametrize(
    ("status", "may_be_stored"),
    [(301, False), (400, False), (408, True), (429, False), (500, True), (503, True), (599, True)],
)
def test_which_refusals_leave_a_doubt(status: int, may_be_stored: bool) -> None:
    """A 5xx and a 408 may come from something on the way, after the event was stored."""
    with faulty(answering(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as server:
        [outcome] = deliver(log_event({"type": "http_push", "url": server.url}))
    refused = outcome.failure()
    assert isinstance(refused, Refused)
    assert refused.may_be_stored is may_be_stored
