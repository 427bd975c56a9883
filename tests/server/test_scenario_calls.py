"""Each sentence about the calls of `/scenarios`, with a server that has places for two requests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.serving import Serving, serving

ENTRY: dict[str, Any] = {
    "signal_type": "metrics",
    "name": "m",
    "rate": 50,
    "count": 3,
    "generator": {"type": "constant", "value": 1},
    "sink": {"type": "file", "path": "a.txt"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server without a key, whose runner runs."""
    root = tmp_path_factory.mktemp("root")
    with serving("--file-root", str(root), "--max-inflight-requests", "2") as found:
        assert _call(found, "POST", "/scenarios", json={**ENTRY, "count": 1}).status_code == 201
        yield found


@pytest.fixture(scope="module")
def fresh() -> Iterator[Serving]:
    """A server at which no run is started."""
    with serving() as found:
        yield found


def _call(server: Serving, method: str, path: str, **more: Any) -> httpx.Response:
    return server.request(method, path, **more)


def test_nothing_is_there_before_the_first_run(fresh: Serving) -> None:
    """Looking starts no runner: an empty list, and 404 for any id."""
    server = fresh
    assert _call(server, "GET", "/scenarios").json() == {"scenarios": []}
    assert _call(server, "GET", "/scenarios/x").status_code == 404
    assert _call(server, "DELETE", "/scenarios/x").status_code == 404
    assert "sonda_scenarios" not in _call(server, "GET", "/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/scenarios", 405),
        ("OPTIONS", "/scenarios/x", 405),
        ("POST", "/scenarios/x", 405),
        ("GET", "/scenarios/a%3Fb", 404),
        ("GET", "/scenarios/a%00b", 404),
        ("GET", "/scenarios/%ff/events", 404),
        ("GET", "/scenarios?limit=0", 400),
        ("GET", "/scenarios?limit=10001", 422),
        ("GET", "/scenarios/x/events?outcome=delivered", 400),
        ("GET", "/scenarios/x/events?limit=10001", 422),
        ("GET", "/scenarios/x?wait=soon", 422),
        ("DELETE", "/scenarios/x?drain=6m", 422),
        ("DELETE", "/scenarios/x?drain=1s&drain=2s", 400),
        ("POST", "/scenarios?dry_run=2", 415),
    ],
)
@pytest.mark.parametrize("which", ["fresh", "server"])
def test_statuses(
    request: pytest.FixtureRequest, method: str, path: str, status: int, which: str
) -> None:
    """They are the same whether a runner runs or not, in the envelope that was asked for."""
    server: Serving = request.getfixturevalue(which)
    answer = _call(server, method, path)
    assert answer.status_code == status, answer.text
    assert ("Allow" in answer.headers) == (status == 405)
    if status >= 400:
        headers = {"Accept": "application/problem+json"}
        problem = _call(server, method, path, headers=headers)
        assert problem.headers["Content-Type"] == "application/problem+json"
        assert problem.json() == {
            **answer.json(),
            "type": "about:blank",
            "title": problem.reason_phrase,
            "status": status,
        }


def test_waits_are_not_in_flight(server: Serving) -> None:
    """Many wait for a run's end or watch it, and an event passes."""
    endless = {name: value for name, value in ENTRY.items() if name != "count"}
    run = _call(server, "POST", "/scenarios", json={**endless, "name": "w"}).json()["id"]
    event = {
        "signal_type": "metrics",
        "labels": {},
        "metric": {"name": "a", "value": 1},
        "encoder": {"type": "json_lines"},
        "sink": {"type": "file", "path": "b.txt"},
    }
    with ThreadPoolExecutor(6) as pool:
        waits = [
            pool.submit(_call, server, "GET", f"/scenarios/{run}{path}")
            for path in ("?wait=55s", "/progress") * 3
        ]
        assert _call(server, "POST", "/events", json=event).status_code == 200
        assert _call(server, "DELETE", f"/scenarios/{run}").json()["status"] == "stopped"
        answers = [wait.result() for wait in waits]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json()["outcome"] == "stopped"
    assert "event: end\ndata: " in answers[1].text


def test_an_entry_that_starts_later_is_pending(server: Serving) -> None:
    """So is its run, until then; stopped before, all of it stays not due."""
    later = {**ENTRY, "name": "later", "phase_offset": "1h"}
    answer = _call(server, "POST", "/scenarios", json=later).json()
    assert (answer["state"], answer["scenarios"][0]["state"]) == ("pending", "pending")
    stopped = _call(server, "DELETE", f"/scenarios/{answer['id']}").json()
    assert (stopped["status"], stopped["ledger"]["not_due"]) == ("stopped", 3)
    assert _call(server, "DELETE", f"/scenarios/{answer['id']}").json() == stopped
    assert _call(server, "DELETE", f"/scenarios/{answer['id']}?forget=true").json() == stopped
    assert _call(server, "DELETE", f"/scenarios/{answer['id']}").status_code == 404


def test_advisories_are_answered_and_logged(server: Serving) -> None:
    """The loopback advisory names the entry by its id."""
    body = {**ENTRY, "name": "a", "id": "own", "sink": {"type": "tcp", "address": "127.0.0.1:1"}}
    body |= {"on_sink_error": "fail", "count": 1}
    answer = _call(server, "POST", "/scenarios", json=body).json()
    [warning] = answer["warnings"]
    assert warning.startswith("scenario entry 'own'")
    server.wait_for_log("WARNING sonda: scenario entry 'own'")
    ended = _call(server, "GET", f"/scenarios/{answer['id']}?wait=55s").json()
    assert ended["outcome"] == "failed"
    server.wait_for_log(rf"scenario={answer['id']} .*entry=own problem=\"sink error: ")
    server.wait_for_log(rf"scenario={answer['id']} .*outcome=failed planned=1 .*rejected=1 ")


def test_a_list_in_pages(tmp_path: Path) -> None:
    """Newest first, with `next` until there is no more."""
    with serving("--file-root", str(tmp_path)) as server:
        ids = [
            _call(server, "POST", "/scenarios", json={**ENTRY, "name": f"p{number}"}).json()["id"]
            for number in range(5)
        ]
        found: list[str] = []
        path = "/scenarios?limit=2"
        while path:
            page = _call(server, "GET", path).json()
            found += [one["id"] for one in page["scenarios"]]
            path = f"/scenarios?limit=2&after={page['next']}" if "next" in page else ""
        assert found == ids[::-1]
        assert _call(server, "GET", "/scenarios?after=none").status_code == 404
