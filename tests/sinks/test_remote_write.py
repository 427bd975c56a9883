"""The `remote_write` sink, and `http_push` with that encoder: one request, told apart by nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from msgspec import structs
from returns.result import Failure, Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Confirmed, Receipt
from sonda.pipeline.problems import Invalid, OutcomeUnknown, Refused, Unreachable, ValidationIssue
from tests.support.bodies import METRIC, raw
from tests.support.destinations import (
    TIME_NS,
    TIMESTAMP,
    NewLoop,
    Outcome,
    Posted,
    both_loops,
    deliver,
    http_destination,
    outcome,
    run,
)
from tests.support.faulty import Peer, answering, faulty, serving
from tests.support.mock_http import MockHttp
from tests.support.wire import Series, unsnap, write_request

TIME_MS = TIME_NS // 1_000_000
SENT = Series(
    [("__name__", "deploy_events_total"), ("event", "deploy_start"), ("job", "sonda")],
    [(1.0, TIME_MS)],
)
RETRY = {"max_attempts": 2, "initial_backoff": "1ms", "max_backoff": "1ms"}
both_sinks = pytest.mark.parametrize("sink", ["remote_write", "http_push"])


def event_to(url: str, sink: str = "remote_write", **options: Any) -> dict[str, Any]:
    """Write the body of the page's second example, of the year 2026."""
    return METRIC | {
        "timestamp": TIMESTAMP,
        "encoder": {"type": "remote_write"},
        "sink": {"type": sink, "url": url, **options},
    }


def accepted(status: int = 204, *, tries: int = 1) -> Outcome:
    """What a yes looks like."""
    return Success(Receipt("metrics", Confirmed.ACCEPTED, TIME_NS, tries, 0, status))


def status_line(status: int, *headers: bytes) -> bytes:
    """Answer with nothing but a status."""
    lines = (b"HTTP/1.1 %d X" % status, b"Content-Length: 0", *headers, b"", b"")
    return b"\r\n".join(lines)


# --- the request ---------------------------------------------------------------------------------


@both_loops
@both_sinks
def test_posts_one_series(sink: str, loop: NewLoop) -> None:
    """The body is a snappy block of the message, the headers are the specification's."""
    with http_destination() as destination:
        event = event_to(f"{destination.url}/api/v1/write?a=b", sink)
        assert deliver(event, loop=loop) == [accepted()]
        [posted] = destination.posts.wait_for()
    assert write_request(unsnap(posted.body)) == [SENT]
    assert posted == Posted(
        "/api/v1/write?a=b",
        {
            "host": destination.url.removeprefix("http://"),
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": "sonda/0.1.0",
            "content-type": "application/x-protobuf",
            "content-encoding": "snappy",
            "x-prometheus-remote-write-version": "0.1.0",
            "content-length": str(len(posted.body)),
        },
        posted.body,
    )


def test_headers() -> None:
    """A tenant's header goes out with the request."""
    with http_destination() as destination:
        event = event_to(destination.url, headers={"X-Scope-OrgID": "tenant-a"})
        assert deliver(event) == [accepted()]
        assert destination.posts.wait_for()[0].headers["x-scope-orgid"] == "tenant-a"


@pytest.mark.parametrize(
    "name",
    [
        *("Content-Type", "content-encoding", "USER-AGENT", "x-prometheus-Remote-write-version"),
        *("Content-Length", "host", "Transfer-encoding", "connection"),
    ],
)
def test_the_specifications_headers_are_not_the_users(name: str) -> None:
    """A header that the protocol owns is refused in any case, and nothing is sent."""
    with http_destination() as destination:
        event = event_to(destination.url, headers={name: "mine"})
        flaw = ValidationIssue("sink.headers", f'invalid name "{name}": is set by the sink itself')
        assert deliver(event) == [Failure(Invalid((flaw,)))]
        assert destination.connections.items == []


def test_a_metrics_name_is_no_label() -> None:
    """A receiver would take such a series, or drop it behind a 2xx: it is refused before."""
    with http_destination() as destination:
        event = event_to(destination.url) | {"labels": {"__name__": "other"}}
        [refused] = deliver(event)
        assert isinstance(refused.failure(), Invalid)
        assert destination.connections.items == []


def test_a_content_type_of_the_users_is_for_http_push() -> None:
    """There the user may name another type; what the bytes need stays with them."""
    with http_destination() as destination:
        assert deliver(event_to(destination.url, "http_push", content_type="x/y")) == [accepted()]
        [posted] = destination.posts.wait_for()
    assert posted.headers["content-type"] == "x/y"
    assert posted.headers["content-encoding"] == "snappy"


def test_other_formats_are_not_packed() -> None:
    """What a format does not ask for is neither said nor done."""
    with http_destination() as destination:
        event = event_to(destination.url, "http_push") | {"encoder": {"type": "prometheus_text"}}
        assert deliver(event) == [accepted()]
        [posted] = destination.posts.wait_for()
    assert posted.body.startswith(b'deploy_events_total{event="deploy_start",job="sonda"} 1 ')
    assert not {"content-encoding", "x-prometheus-remote-write-version"} & posted.headers.keys()


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_every_2xx_is_a_yes(status: int) -> None:
    """Receivers say yes with any 2xx."""
    with faulty(answering(status_line(status))) as server:
        assert deliver(event_to(server.url)) == [accepted(status)]


@both_loops
@pytest.mark.parametrize("status", [301, 307, 400, 404, 409, 415, 429, 500, 503])
def test_every_other_status_is_a_no(status: int, loop: NewLoop) -> None:
    """Any other status is a no, in the receiver's words; a redirect is not followed."""
    answer = b"HTTP/1.1 %d Odd\r\nLocation: /\r\nContent-Length: 6\r\n\r\nbad ts" % status
    with faulty(serving(answer)) as server:
        refused = Refused(server.url, f"{status} Odd", "bad ts")
        assert deliver(event_to(server.url), loop=loop) == [Failure(refused)]
        assert len(server.posts.items) == 1


@both_sinks
@pytest.mark.parametrize(
    ("status", "tries"),
    [(204, 1), (301, 1), (400, 1), (404, 1), (408, 1), (415, 1), (429, 3), (500, 3), (503, 3)],
)
def test_retries(sink: str, status: int, tries: int) -> None:
    """5xx and 429 are tried again, no other 4xx is; every try sends the same bytes."""
    with faulty(serving(status_line(status))) as server:
        event = event_to(server.url, sink, retry=RETRY)
        del event["timestamp"]
        deliver(event)
        bodies = {posted.body for posted in server.posts.items}
        assert (len(server.posts.items), len(bodies)) == (tries, 1)


def test_a_retry_may_land() -> None:
    """The receipt counts the tries."""
    with http_destination() as destination:
        event = event_to(f"{destination.url}/flaky/a/2", retry=RETRY)
        assert deliver(event) == [accepted(tries=3)]


def test_retry_after_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 429 may ask for a wait: it takes the place of ours, cut to `max_backoff`."""
    waits: list[float] = []

    async def sleep(delay_s: float) -> None:
        waits.append(delay_s)

    monkeypatch.setattr("sonda.pipeline.net.retry.asyncio.sleep", sleep)
    answers = iter([("429", "2"), ("503", "60"), ("204", "")])
    posted: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        status, after = next(answers)
        posted.append(request)
        return httpx.Response(int(status), headers={"Retry-After": after} if after else {})

    retry = {"max_attempts": 3, "initial_backoff": "1ms", "max_backoff": "5s"}
    event = event_to("http://prom/api/v1/write", retry=retry)

    async def work(pipeline: Pipeline) -> Outcome:
        pipeline._network.http = MockHttp(answer)
        return await outcome(pipeline, event)

    assert run(work) == accepted(tries=3)
    assert waits == [2.0, 5.0]
    assert [write_request(unsnap(request.content)) for request in posted] == [[SENT]] * 3


def test_unreachable() -> None:
    """A refused connection has cost nothing."""
    refused = Unreachable("HTTP connect to 127.0.0.1:1", "Connection refused")
    assert deliver(event_to("http://127.0.0.1:1")) == [Failure(refused)]


@both_loops
def test_accepts_and_hangs(loop: NewLoop) -> None:
    """A receiver that does not answer leaves the outcome unknown."""
    with faulty(answering(then=Peer.hang)) as server:
        unknown = OutcomeUnknown(server.url, "within 1s", TIME_NS)
        assert deliver(event_to(server.url, timeout="1s"), loop=loop) == [Failure(unknown)]


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 1}, {"max_buffer_age": "1h"}],
    ids=lambda options: next(iter(options)),
)
def test_batching_options_never_delay_an_event(options: Mapping[str, Any]) -> None:
    """An event is pushed at once, whatever the options for batches say."""
    with http_destination() as destination:
        assert deliver(event_to(destination.url, timeout="5s", **options)) == [accepted()]


def test_a_server_warns_of_loopback() -> None:
    """The loopback advisory is this sink's, too."""
    with http_destination() as destination:

        async def main() -> Any:
            async with Pipeline(in_server=True) as pipeline:
                delivered = await pipeline.deliver(raw(event_to(destination.url)))
                return delivered.map(
                    lambda receipt: structs.replace(receipt, latency_us=0)
                ).unwrap()

        receipt = asyncio.run(main())
    [warning] = receipt.warnings
    assert warning.startswith(
        f"scenario entry 'events.metrics' sink `remote_write` targets `{destination.url}`"
    )
