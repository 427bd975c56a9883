"""The `loki` sink: the push request, and which of Loki's answers are a yes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from returns.result import Failure, Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Confirmed, Receipt
from sonda.pipeline.problems import OutcomeUnknown, Refused, Unreachable
from tests.support.destinations import (
    TIME_NS,
    NewLoop,
    Outcome,
    Posted,
    at_once,
    both_loops,
    deliver,
    http_destination,
    json_line,
    log_event,
    outcome,
    run,
)
from tests.support.faulty import Peer, answering, faulty, serving


def to(url: str, **options: Any) -> dict[str, Any]:
    """Address the `loki` sink."""
    return {"type": "loki", "url": url, **options}


def accepted(status: int = 204, *, tries: int = 1, labelled: bool = False) -> Outcome:
    """What a yes looks like; most events here have no labels, of which Sonda warns."""
    warnings = () if labelled else (UNLABELLED,)
    return Success(
        Receipt("logs", Confirmed.ACCEPTED, TIME_NS, tries, 0, status, warnings=warnings)
    )


def posted_to(url: str) -> str:
    """Name what is posted to, as a refusal does."""
    return f"{url}/loki/api/v1/push"


UNLABELLED = (
    "Loki files an event without labels under `unknown_service`, where no query by label finds it: "
    "add a label"
)


@both_loops
def test_pushes_one_entry(loop: NewLoop) -> None:
    """One stream with the labels, one entry: the nanoseconds as a string, the line without LF."""
    with http_destination() as destination:
        event = log_event(
            to(destination.url), "naïve €\n", labels={"env": "prod", "app": "sonda ü"}
        )
        assert deliver(event, loop=loop) == [accepted(labelled=True)]
        [posted] = destination.posts.wait_for()
    line = (
        '{"timestamp":"2026-11-23T08:00:00.123Z","severity":"info","message":"naïve €\\n",'
        '"labels":{"app":"sonda ü","env":"prod"},"fields":{}}'
    )
    assert json.loads(posted.body) == {
        "streams": [
            {
                "stream": {"env": "prod", "app": "sonda ü"},
                "values": [["1795420800123456789", line]],
            }
        ]
    }
    assert posted == Posted(
        "/loki/api/v1/push",
        {
            "host": destination.url.removeprefix("http://"),
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": "sonda/0.1.0",
            "content-type": "application/json",
            "content-length": str(len(posted.body)),
        },
        posted.body,
    )


def test_events_at_once_are_pushed_at_once() -> None:
    """One push holds them all, in one stream per label set, each with its own line."""
    with http_destination() as destination:
        sink = to(destination.url)

        async def together(pipeline: Pipeline) -> list[Outcome]:
            events = [
                log_event(sink, f"event {number}", labels={"app": "ab"[number % 2]})
                for number in range(6)
            ]
            return await asyncio.gather(*(outcome(pipeline, event) for event in events))

        assert run(together) == [accepted(labelled=True)] * 6
        [posted] = destination.posts.wait_for()
    streams = json.loads(posted.body)["streams"]
    assert [stream["stream"] for stream in streams] == [{"app": "a"}, {"app": "b"}]
    for start, stream in enumerate(streams):
        messages = [json.loads(line)["message"] for _, line in stream["values"]]
        assert messages == [f"event {number}" for number in range(start, 6, 2)]
        assert {time_ns for time_ns, _ in stream["values"]} == {str(TIME_NS)}


@pytest.mark.parametrize(
    "other",
    [
        {"headers": {"X-Scope-OrgID": "tenant-b"}},
        {"batch_size": 999},
        {"timeout": "11s"},
        {"retry": {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "1ms"}},
    ],
    ids=str,
)
def test_only_equal_sinks_share_a_push(other: dict[str, Any]) -> None:
    """Whatever differs between two sinks keeps their events apart."""
    with http_destination() as destination:
        url = destination.url
        sinks: list[dict[str, Any]] = [
            {"type": "loki", "url": url, "headers": {"X-Scope-OrgID": "tenant-a"}},
            {"type": "loki", "url": url, "headers": {"X-Scope-OrgID": "tenant-a"}},
            {"type": "loki", "url": url, "headers": {"X-Scope-OrgID": "tenant-a"}, **other},
        ]

        async def together(pipeline: Pipeline) -> list[Outcome]:
            events = [log_event(sink, str(number)) for number, sink in enumerate(sinks)]
            return await asyncio.gather(*(outcome(pipeline, event) for event in events))

        assert run(together) == [accepted()] * 3
        posts = destination.posts.wait_for(2)
    pushed = [
        [json.loads(line)["message"] for _, line in json.loads(post.body)["streams"][0]["values"]]
        for post in posts
    ]
    assert sorted(pushed) == [["0", "1"], ["2"]]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 204"], ids=["closed", "cut off"])
def test_a_push_without_a_status_is_unknown_for_all(answer: bytes) -> None:
    """When the push ends without an answer, nobody knows of any of its events, and none goes again."""
    with faulty(answering(answer)) as server:
        outcomes = at_once(to(server.url), "a", "b", "c")
        assert len(server.posts.items) == 1
    problems = {problem.failure() for problem in outcomes}
    [problem] = problems
    assert isinstance(problem, OutcomeUnknown)
    assert (problem.target, problem.time_ns) == (server.url, TIME_NS)


def test_retries_of_a_push_are_each_events_own() -> None:
    """A push that finds Loki overloaded goes again, with the same entries, until it is taken."""
    with http_destination() as destination:
        sink = to(
            f"{destination.url}/flaky/x/1",
            retry={"max_attempts": 3, "initial_backoff": "1ms", "max_backoff": "1ms"},
        )
        outcomes = at_once(sink, "a", "b", "c")
        assert {outcome.unwrap().status for outcome in outcomes} == {204}
        pushed = [
            json.loads(line)["message"]
            for post in destination.posts.items
            for _, line in json.loads(post.body)["streams"][0]["values"]
        ]
    assert sorted(pushed) == ["a", "a", "b", "b", "c", "c"]


@pytest.mark.parametrize("encoder", ["json_lines", "syslog", "influx_lp", "prometheus_text"])
def test_the_line_is_the_encoders(encoder: str) -> None:
    """Whatever the encoder makes is the line, less one final LF."""
    with http_destination() as loki, http_destination() as plain:
        events = []
        for sink in (to(loki.url), {"type": "http_push", "url": plain.url}):
            event = log_event(sink, "ends with LF\n", encoder=encoder)
            if encoder in ("influx_lp", "prometheus_text"):
                del event["log"]
                event |= {"signal_type": "metrics", "metric": {"name": "up", "value": 1}}
            events.append(event)
        deliver(*events)
        [pushed], [posted] = loki.posts.wait_for(), plain.posts.wait_for()
    [[_, line]] = json.loads(pushed.body)["streams"][0]["values"]
    assert line.encode() + b"\n" == posted.body


def test_no_labels_are_lokis_to_judge() -> None:
    """An event without labels is pushed with an empty stream."""
    with http_destination() as destination:
        assert deliver(log_event(to(destination.url))) == [accepted()]
        [posted] = destination.posts.wait_for()
    line = json_line().decode().removesuffix("\n")
    assert json.loads(posted.body) == {
        "streams": [{"stream": {}, "values": [[str(TIME_NS), line]]}]
    }


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", "/loki/api/v1/push"),
        ("/", "/loki/api/v1/push"),
        ("/tenant/a", "/tenant/a/loki/api/v1/push"),
        ("/tenant/a/", "/tenant/a/loki/api/v1/push"),
        ("/a%2Fb/%25", "/a%2Fb/%25/loki/api/v1/push"),
        ("/ü", "/%C3%BC/loki/api/v1/push"),
        ("/?token=x", "/loki/api/v1/push?token=x"),
        ("/base?token=x/", "/base/loki/api/v1/push?token=x/"),
        ("/loki/api/v1/push", "/loki/api/v1/push"),
        ("/a/loki/api/v1/push/?x=1", "/a/loki/api/v1/push?x=1"),
        ("/#part", "/loki/api/v1/push"),
    ],
)
def test_the_path_is_appended(base: str, path: str) -> None:
    """The push path follows the base's own, whose final slash is not doubled; a query stays."""
    with http_destination() as destination:
        assert deliver(log_event(to(destination.url + base))) == [accepted()]
        assert [posted.path for posted in destination.posts.wait_for()] == [path]


def test_headers() -> None:
    """A tenant's header goes out with the push."""
    with http_destination() as destination:
        sink = to(destination.url, headers={"X-Scope-OrgID": "tenant-a"})
        assert deliver(log_event(sink)) == [accepted()]
        assert destination.posts.wait_for()[0].headers["x-scope-orgid"] == "tenant-a"


@pytest.mark.parametrize("status", [200, 204])
def test_which_answers_are_a_yes(status: int) -> None:
    """Loki's 204 is a yes, and so is a compatible server's 200."""
    with faulty(serving(b"HTTP/1.1 %d Fine\r\nContent-Length: 0\r\n\r\n" % status)) as server:
        assert deliver(log_event(to(server.url))) == [accepted(status)]


@both_loops
@pytest.mark.parametrize("status", [201, 202, 206, 260, 299, 301, 400, 429, 500])
def test_which_answers_are_a_no(status: int, loop: NewLoop) -> None:
    """Every other answer is a no: with 260 Loki says that ingestion is blocked."""
    answer = b"HTTP/1.1 %d Odd\r\nContent-Length: 7\r\n\r\nblocked" % status
    with faulty(serving(answer)) as server:
        refused = Refused(posted_to(server.url), f"{status} Odd", "blocked")
        assert deliver(log_event(to(server.url)), loop=loop) == [Failure(refused)]
        assert len(server.posts.items) == 1


def test_a_refusal_names_what_was_posted_to() -> None:
    """A detail names the whole URL, less what is secret in it."""
    answer = b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"
    with faulty(serving(answer)) as server:
        sink = to(f"http://ada:hunter2@{server.address}/base/")
        refused = Refused(f"http://***@{server.address}/base/loki/api/v1/push", "400 Bad")
        assert deliver(log_event(sink)) == [Failure(refused)]


def test_unreachable() -> None:
    """A refused connection has cost nothing."""
    refused = Unreachable("HTTP connect to 127.0.0.1:1", "Connection refused")
    assert deliver(log_event(to("http://127.0.0.1:1"))) == [Failure(refused)]


@both_loops
def test_accepts_and_hangs(loop: NewLoop) -> None:
    """A Loki that does not answer leaves the outcome unknown."""
    with faulty(answering(then=Peer.hang)) as server:
        unknown = OutcomeUnknown(server.url, "within 1s", TIME_NS)
        event = log_event(to(server.url, timeout="1s"))
        assert deliver(event, loop=loop) == [Failure(unknown)]


@pytest.mark.parametrize(
    ("status", "tries"), [(204, 1), (260, 1), (400, 1), (429, 3), (500, 3), (503, 3)]
)
def test_retries(status: int, tries: int) -> None:
    """What may pass is tried again with the same bytes; a blocked ingestion does not pass."""
    retry = {"max_attempts": 2, "initial_backoff": "1ms", "max_backoff": "1ms"}
    with faulty(serving(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as server:
        event = log_event(to(server.url, retry=retry))
        del event["timestamp"]
        deliver(event)
        bodies = {posted.body for posted in server.posts.items}
        assert (len(server.posts.items), len(bodies)) == (tries, 1)


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 1}, {"max_streams_per_push": 1}, {"max_buffer_age": "1h"}],
    ids=lambda options: next(iter(options)),
)
def test_batching_options_never_delay_an_event(options: Mapping[str, Any]) -> None:
    """An event is pushed at once, whatever the options for batches say."""
    with http_destination() as destination:
        sink = to(destination.url, timeout="5s", **options)
        assert deliver(log_event(sink)) == [accepted()]
