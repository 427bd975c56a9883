"""The `otlp_http` sink: the request, what is combined, and which answers are a yes."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any, Final

import pytest
from returns.result import Failure, Success

pytest.importorskip("opentelemetry.proto")

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Confirmed, Receipt
from sonda.pipeline.problems import OutcomeUnknown, Refused, Unreachable
from tests.support.destinations import (
    TIME_NS,
    NewLoop,
    Outcome,
    Posted,
    both_loops,
    deliver,
    http_destination,
    log_event,
    outcome,
    run,
)
from tests.support.faulty import Peer, answering, faulty, serving
from tests.support.previews import assert_posted, metric_event, previewed_then_sent
from tests.support.wire_otlp import exported_logs, exported_points

AT_ONCE: Final = {"max_attempts": 2, "initial_backoff": "1ms", "max_backoff": "1ms"}


def to(endpoint: str, **options: Any) -> dict[str, Any]:
    """Address the `otlp_http` sink."""
    return {"type": "otlp_http", "endpoint": endpoint, **options}


def otlp(sink: dict[str, Any], message: str = "hello") -> dict[str, Any]:
    return log_event(sink, message, encoder="otlp")


def accepted(status: int = 204, *, tries: int = 1, warnings: tuple[str, ...] = ()) -> Outcome:
    """What a yes looks like."""
    return Success(
        Receipt("logs", Confirmed.ACCEPTED, TIME_NS, tries, 0, status, warnings=warnings)
    )


def answer(body: bytes, kind: str, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
        status,
        kind.encode(),
        more,
        len(body),
        body,
    )


def rejecting(count: int, message: str = "") -> bytes:
    partial = ExportLogsPartialSuccess(rejected_log_records=count, error_message=message)
    body = ExportLogsServiceResponse(partial_success=partial).SerializeToString()
    return answer(body, "application/x-protobuf")


@both_loops
def test_posts_an_export_request(loop: NewLoop) -> None:
    """The encoder's bytes to the signal's path, as protobuf."""
    with http_destination() as destination:
        events = [otlp(to(destination.url)), metric_event(to(f"{destination.url}/a/?b=c"), "otlp")]
        assert all(isinstance(each, Success) for each in deliver(*events, loop=loop))
        logs, metrics = destination.posts.wait_for(2)
    assert logs == Posted(
        "/v1/logs",
        {
            "host": destination.url.removeprefix("http://"),
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": "sonda/0.1.0",
            "content-type": "application/x-protobuf",
            "content-length": str(len(logs.body)),
        },
        logs.body,
    )
    assert [log.body for log in exported_logs(logs.body)] == ["hello"]
    assert metrics.path == "/a/v1/metrics?b=c"
    assert len(exported_points(metrics.body)) == 1


@pytest.mark.parametrize(
    ("path", "posted_to"),
    [
        ("", "/v1/logs"),
        ("/", "/v1/logs"),
        ("/otlp", "/otlp/v1/logs"),
        ("/v1/logs", "/v1/logs"),
        ("/v1/logs/", "/v1/logs"),
        ("/otlp/v1/logs?a=b", "/otlp/v1/logs?a=b"),
        ("/v1", "/v1/v1/logs"),
        ("/a%2Fb/", "/a%2Fb/v1/logs"),
    ],
)
def test_the_path_is_appended_once(path: str, posted_to: str) -> None:
    """A base and a whole endpoint lead to the same place."""
    with http_destination() as destination:
        assert deliver(otlp(to(destination.url + path))) == [accepted()]
        [posted] = destination.posts.wait_for()
        assert posted.path == posted_to


def test_compression() -> None:
    """With gzip the body is smaller, and says so."""
    with http_destination() as destination:
        assert deliver(otlp(to(destination.url, compression="gzip"), "x" * 1000)) == [accepted()]
        [posted] = destination.posts.wait_for()
    assert posted.headers["content-encoding"] == "gzip"
    assert len(posted.body) < 500
    assert [log.body for log in exported_logs(gzip.decompress(posted.body))] == ["x" * 1000]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_preview_is_what_is_posted(compression: str) -> None:
    """A dry run shows the request to the byte."""
    with http_destination() as destination:
        sink = to(destination.url, compression=compression)
        assert_posted(previewed_then_sent(otlp(sink)), destination)


def together(sink: dict[str, Any], *messages: str) -> list[Outcome]:
    async def all_at_once(pipeline: Pipeline) -> list[Outcome]:
        events = [otlp(sink, message) for message in messages]
        return await asyncio.gather(*(outcome(pipeline, event) for event in events))

    return run(all_at_once)


def bodies(posts: list[Posted]) -> list[list[str]]:
    """List the messages of each request."""
    return [[log.body for log in exported_logs(posted.body)] for posted in posts]


def test_events_at_once_leave_at_once() -> None:
    """One request holds them all, up to its bound."""
    with http_destination() as destination:
        assert together(to(destination.url), *"abcd") == [accepted()] * 4
        assert together(to(destination.url, batch_size=3), *"abcd") == [accepted()] * 4
        assert sorted(map(len, bodies(destination.posts.wait_for(3)))) == [1, 3, 4]


def test_signals_do_not_mix() -> None:
    """Logs and metrics have requests of their own, whatever else they share."""

    async def both(pipeline: Pipeline) -> list[Outcome]:
        events = [otlp(sink), metric_event(sink, "otlp"), otlp(sink)]
        return await asyncio.gather(*(outcome(pipeline, event) for event in events))

    with http_destination() as destination:
        sink = to(destination.url)
        assert all(isinstance(each, Success) for each in run(both))
        posts = destination.posts.wait_for(2)
        assert sorted(posted.path for posted in posts) == ["/v1/logs", "/v1/metrics"]


YES: Final = {
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
    "202": (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, ""),
    "empty message": (answer(b"", "application/x-protobuf"), 200, ""),
    "empty JSON": (answer(b"{}", "application/json"), 200, ""),
    "a message": (rejecting(0, "slow\ndown"), 200, "slow\\ndown"),
    "a message as JSON": (
        answer(b'{"partialSuccess":{"errorMessage":"slow down"}}', "application/json"),
        200,
        "slow down",
    ),
}


@pytest.mark.parametrize("encoded_for", ["otlp_http", "http_push"])
@pytest.mark.parametrize("case", YES)
def test_a_yes(case: str, encoded_for: str) -> None:
    """Nothing is rejected; what the destination said beside that is passed on."""
    reply, status, words = YES[case]
    with faulty(answering(reply)) as server:
        said = f"{server.url} accepted the event and said: {words}"
        expected = accepted(status, warnings=(said,) if words else ())
        assert deliver(otlp(addressed(encoded_for, server.url))) == [expected]


def posted_to(sink: str, url: str) -> str:
    """Name what is posted to, as a refusal does."""
    return f"{url}/v1/logs" if sink == "otlp_http" else url


def addressed(sink: str, url: str, **options: Any) -> dict[str, Any]:
    return {"type": sink, "endpoint" if sink == "otlp_http" else "url": url, **options}


@pytest.mark.parametrize("encoded_for", ["otlp_http", "http_push"])
def test_a_rejected_record(encoded_for: str) -> None:
    """A 200 can say no; it is never retried, and our own credentials are not quoted."""
    token = "s3cr3t-t0ken"
    reply = rejecting(1, f"no: {token}")
    with faulty(serving(reply)) as server:
        sink = addressed(encoded_for, server.url, retry=AT_ONCE, headers={"X-Token": token})
        refused = Refused(
            posted_to(encoded_for, server.url), "200 OK, but rejected the event", "no: ***"
        )
        assert deliver(otlp(sink)) == [Failure(refused)]
        assert len(server.posts.items) == 1


@pytest.mark.parametrize("encoded_for", ["otlp_http", "http_push"])
@pytest.mark.parametrize(
    "reply",
    [
        answer(b"<html>Please sign in</html>", "text/html"),
        answer(b"\xff\xff", "application/x-protobuf"),
        answer(b'{"ok":true}', "application/json"),
    ],
)
def test_another_kind_of_answer(reply: bytes, encoded_for: str) -> None:
    """A body that is no export response leaves the outcome unknown, and is not sent again."""
    with faulty(serving(reply)) as server:
        sink = addressed(encoded_for, server.url, retry=AT_ONCE)
        reason = "(it answered 200 OK, but its body is no answer to an export of logs)"
        assert deliver(otlp(sink)) == [Failure(OutcomeUnknown(server.url, reason, TIME_NS))]
        assert len(server.posts.items) == 1


@pytest.mark.parametrize("encoded_for", ["otlp_http", "http_push"])
@pytest.mark.parametrize(
    ("status", "tries"), [(429, 3), (502, 3), (503, 3), (504, 3), (500, 1), (501, 1), (400, 1)]
)
def test_what_may_pass(status: int, tries: int, encoded_for: str) -> None:
    """OTLP's own table says after which statuses another try is allowed."""
    reply = b"HTTP/1.1 %d Odd\r\nContent-Length: 0\r\n\r\n" % status
    with faulty(serving(reply)) as server:
        sink = addressed(encoded_for, server.url, retry=AT_ONCE)
        assert deliver(otlp(sink)) == [
            Failure(Refused(posted_to(encoded_for, server.url), f"{status} Odd"))
        ]
        assert len(server.posts.items) == tries


def test_retry_after() -> None:
    """The destination's wait replaces ours, up to the longest one."""
    busy = answer(b"", "text/plain", b"429 Busy", b"Retry-After: 3600\r\n")
    retry = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "10ms"}
    script = answering(busy, b"HTTP/1.1 204 N\r\n\r\n", then=None)
    with faulty(script, serving(b"HTTP/1.1 204 No Content\r\n\r\n")) as server:
        assert deliver(otlp(to(server.url, retry=retry))) == [accepted(tries=2)]


def picky(peer: Peer) -> None:
    """Reject the records whose message is "bad", as a collector does: by their number alone."""
    while (posted := peer.request()) is not None:
        bad = [log.body for log in exported_logs(posted.body)].count("bad")
        peer.send(rejecting(bad, "it is bad") if bad else answer(b"{}", "application/json"))


def test_a_neighbour_is_not_blamed() -> None:
    """Where some of a request's records are rejected, each is tried alone, and has its own answer."""
    with faulty(picky) as server:
        outcomes = together(to(server.url), "good", "bad", "fine")
        refused = Failure(
            Refused(f"{server.url}/v1/logs", "200 OK, but rejected the event", "it is bad")
        )
        assert outcomes == [accepted(200), refused, accepted(200)]
        first, *rest = bodies(server.posts.items)
        assert first == ["good", "bad", "fine"]
        assert sorted(rest) == [["bad"], ["fine"], ["good"]]  # a slow one does not keep the next


def test_all_are_to_blame() -> None:
    """Where all records are rejected, nothing is sent again."""
    with faulty(picky) as server:
        refused = Failure(
            Refused(f"{server.url}/v1/logs", "200 OK, but rejected the event", "it is bad")
        )
        assert together(to(server.url), "bad", "bad") == [refused] * 2
        assert len(server.posts.items) == 1


def test_nobody_listens() -> None:
    """Nothing has left."""
    with faulty(Peer.close) as server:
        pass
    expected = Unreachable(f"HTTP connect to {server.address}", "Connection refused")
    assert deliver(otlp(to(server.url))) == [Failure(expected)]
