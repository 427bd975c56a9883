"""What the command line asks a server's `/scenarios`, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import pytest

from sonda.cli.outcomes import Exit
from sonda.cli.server_runs import ScenarioServer, ServerError, progress_of, report_of
from sonda.pipeline.scenarios.states import Outcome, State

LEDGER: Final = {
    "planned": 3,
    "due": 2,
    "not_due": 1,
    "delivered": 1,
    "rejected": 1,
    "unknown": 0,
    "skipped": 0,
    "in_flight": 0,
    "backlog": 0,
    "bytes": 9,
    "pushes": 2,
}
ENTRY: Final = {
    "id": "r1.cpu",
    "name": "cpu",
    "state": "finished",
    "outcome": "stopped",
    "ledger": LEDGER,
    "rate": {"target": 1.0, "last_1s": 0.5, "last_10s": 0.25},
    "lag_s": 0.5,
    "latency_ms": {"p50": 1.0, "p99": None, "max": 2.0},
    "problems": [{"text": "sink error: no", "count": 1, "first_tick": 0, "last_tick": 0}],
}
RUN: Final = {
    "id": "r1",
    "name": "night",
    "state": "finished",
    "outcome": "stopped",
    "started": "2026-01-01T00:00:00Z",
    "ended": "2026-01-01T00:00:01.5Z",
    "scenarios": [ENTRY],
}


def ask(
    answer: Callable[[httpx.Request], httpx.Response],
    what: Callable[[ScenarioServer], Awaitable[Any]],
) -> Any:
    """Ask a server that answers so."""

    async def main() -> Any:
        server = ScenarioServer("http://there:8080/", ssl.create_default_context())
        await server._client.aclose()
        server._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        async with server:
            return await what(server)

    return asyncio.run(main())


def test_all_pages_are_listed() -> None:
    """Each page names the next; the state is asked for with each."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        page: dict[str, Any] = {"scenarios": [{"id": f"r{len(asked)}"}]}
        return httpx.Response(200, json=page if len(asked) == 2 else {**page, "next": "r1"})

    found = ask(answer, lambda server: server.listed("running"))
    assert [one["id"] for one in found] == ["r1", "r2"]
    assert asked == ["state=running", "state=running&after=r1"]


def test_an_id_is_one_step_of_the_path() -> None:
    """Whatever stands in it, it reaches no other resource."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path == b"/scenarios/..%2Fevents%3Fx?drain=0s&forget=true"
        return httpx.Response(200, json={"status": "stopped"})

    stopped = ask(answer, lambda server: server.stop("../events?x", "0s", forget=True))
    assert stopped == {"status": "stopped"}


def test_events_that_were_not_delivered() -> None:
    """A line feed ends each, and nothing else: a text may hold a line separator of Unicode's."""
    events = [{"tick": n, "outcome": "rejected", "event": {"x": "a\u2028b\x85"}} for n in (0, 1)]
    body = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    found = ask(
        lambda _: httpx.Response(200, content=body.encode()),
        lambda server: server.undelivered("r1.cpu"),
    )
    assert found == events


@pytest.mark.parametrize(
    ("status", "body", "verdict", "detail"),
    [
        (404, '{"error":"not_found","detail":"no such"}', Exit.INVALID, "no such"),
        (503, '{"error":"service_unavailable","detail":"later"}', Exit.REJECTED, "later"),
        (502, "<html>", Exit.REJECTED, "the answer 502 of http://there:8080 is not one of Sonda's"),
        (200, "<html>", Exit.REJECTED, "the answer 200 of http://there:8080 is not one of Sonda's"),
        (400, "[]", Exit.REJECTED, "the answer 400 of http://there:8080 is not one of Sonda's"),
        (302, "{}", Exit.REJECTED, "the answer 302 of http://there:8080 is not one of Sonda's"),
    ],
)
def test_what_is_no_success(status: int, body: str, verdict: Exit, detail: str) -> None:
    """A refusal has the server's words; what does not look like Sonda's says so, and is no success."""
    with pytest.raises(ServerError) as caught:
        ask(lambda _: httpx.Response(status, text=body), lambda server: server.show("r1"))
    assert (caught.value.exit, str(caught.value)) == (verdict, detail)
    assert caught.value.answer["detail"] == detail


def test_nobody_answers() -> None:
    """That is a refusal, which names the server."""

    def hang_up(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("", request=request)

    with pytest.raises(ServerError, match="no answer from the server http://there:8080: ReadError"):
        ask(hang_up, lambda server: server.plan({}))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (httpx.ConnectError("no"), Exit.REJECTED),
        (httpx.ConnectTimeout("no"), Exit.REJECTED),
        (httpx.ReadError("no"), Exit.UNKNOWN),
        (httpx.ReadTimeout("no"), Exit.UNKNOWN),
        (httpx.RemoteProtocolError("no"), Exit.UNKNOWN),
        (httpx.Response(404, text="<html>"), Exit.REJECTED),
        (httpx.Response(504, text="<html>"), Exit.UNKNOWN),
        (httpx.Response(201, text="<html>"), Exit.UNKNOWN),
    ],
)
def test_a_run_that_may_have_begun(answer: httpx.Response | Exception, verdict: Exit) -> None:
    """Once the document has left, no answer of the server's says that nothing runs."""

    def reply(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ServerError) as caught:
        ask(reply, lambda server: server.start({}))
    assert caught.value.exit is verdict
    is_unknown = str(caught.value).endswith("; the run may have begun (sonda scenarios list)")
    assert is_unknown == (verdict is Exit.UNKNOWN)
    assert caught.value.answer["detail"] == str(caught.value)


def test_a_finished_run() -> None:
    """The report of what a server says has its entries, without the run's id, and the sum of them."""
    report = report_of(RUN)
    (entry,) = report.entries
    assert (report.name, report.outcome, entry.id) == ("night", Outcome.STOPPED, "cpu")
    assert report.ended_ns - report.started_ns == 1_500_000_000
    assert {**LEDGER, **report.ledger.document()} == {**report.ledger.document(), **LEDGER}
    assert entry.problems[0].text == "sink error: no"


def test_one_entry_of_a_run() -> None:
    """What a server says of an entry is the progress of that one alone."""
    progress = progress_of({**ENTRY, "state": "running", "outcome": None}, 2.0)
    (entry,) = progress.entries
    assert (progress.name, progress.state, entry.outcome) == ("cpu", State.RUNNING, None)
    assert (entry.target_rate, entry.last_10s, progress.lag_s) == (1.0, 0.25, 0.5)
