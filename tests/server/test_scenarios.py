"""`/scenarios` of a real server, with one worker and with several: one registry for all of them."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.scenarios import call, steps
from tests.support.serving import Serving, serving

YAML = {"Content-Type": "application/yaml"}
KEY = "a-key"


class Client:
    """A client of one server, which gets a new connection, and so perhaps another worker, each time."""

    def __init__(self, server: Serving) -> None:
        self._server = server

    def __call__(self, method: str, path: str, body: object = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {KEY}", **more.pop("headers", {})}
        return call(self._server, method, path, body, headers=headers, **more)


@pytest.fixture(scope="module", params=["1", "3"])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A client of a server with one worker, and of one with three."""
    root = tmp_path_factory.mktemp("root")
    flags = ("--file-root", str(root), "--api-key", KEY, "--workers", request.param)
    with serving(*flags, "--max-scenarios", "5", "--max-rate", "1000") as server:
        yield Client(server)


def _entry(name: str, **changes: Any) -> dict[str, Any]:
    entry = steps(name, **{"rate": 50, "count": 20, **changes})
    return {key: value for key, value in entry.items() if value is not None}


def test_a_run_from_its_start_to_its_record(client: Client) -> None:
    """201 with a place, progress by long poll, and a ledger in which every event was delivered."""
    answer = client("POST", "/scenarios", _entry("whole"))
    assert answer.status_code == 201
    started = answer.json()
    assert answer.headers["Location"] == f"/scenarios/{started['id']}"
    assert started["scenarios"] == [
        {"id": f"{started['id']}.whole", "name": "whole", "state": "running"}
    ]
    ended = client("GET", f"/scenarios/{started['id']}?wait=55s").json()
    assert (ended["state"], ended["outcome"]) == ("finished", "completed")
    assert ended["ledger"]["delivered"] == ended["ledger"]["planned"] == 20
    assert ended["document"]["name"] == "whole"
    entry = client("GET", f"/scenarios/{started['id']}.whole").json()
    assert entry["latency_ms"]["max"] >= 0
    listed = client("GET", "/scenarios?state=finished").json()["scenarios"]
    assert started["id"] in [one["id"] for one in listed]
    again = client("DELETE", f"/scenarios/{started['id']}").json()
    assert (again["status"], again["total_events"]) == ("completed", 20)
    assert client("DELETE", f"/scenarios/{started['id']}?forget=true").status_code == 200
    assert client("GET", f"/scenarios/{started['id']}").status_code == 404


@pytest.mark.parametrize("path", ["", "/headed", "/headed/events", "/headed/progress"])
def test_head_is_as_get(client: Client, path: str) -> None:
    """HEAD is served wherever GET is: status and type, no body, and no stream that never ends."""
    run = client("POST", "/scenarios", _entry("headed", count=1)).json()["id"]
    head = client("HEAD", f"/scenarios{path.replace('headed', run)}")
    assert (head.status_code, head.content) == (200, b"")
    client("GET", f"/scenarios/{run}?wait=55s")  # to another test it would be a run too many
    types = {"/headed/events": "application/x-ndjson", "/headed/progress": "text/event-stream"}
    assert head.headers["Content-Type"] == types.get(path, "application/json")


def test_a_stop_drains_and_can_be_repeated(client: Client) -> None:
    """DELETE answers once nothing is in flight; again it answers the same."""
    run_id = client("POST", "/scenarios", _entry("endless", count=None)).json()["id"]
    first = client("DELETE", f"/scenarios/{run_id}")
    assert first.status_code == 200
    assert first.json()["status"] == "stopped"
    ledger = first.json()["ledger"]
    assert ledger["in_flight"] == ledger["backlog"] == 0
    assert ledger["due"] == ledger["delivered"] + ledger["skipped"]
    assert client("DELETE", f"/scenarios/{run_id}").json() == first.json()


def test_a_name_is_active_once(client: Client) -> None:
    """Of many POSTs of one name at once one is 201, and the others name it."""
    once = _entry("once", count=None, scenario_name="once")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client("POST", "/scenarios", once), range(8)))
    [winner] = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code == 409]
    assert len(refused) == 7
    assert all(winner in answer.json()["detail"] for answer in refused)
    assert {answer.json()["error"] for answer in refused} == {"conflict"}
    client("DELETE", f"/scenarios/{winner}")


def test_runs_without_a_name_collide_with_none(client: Client) -> None:
    """Their entries may be named alike: only a `scenario_name` is active once."""
    twice = [client("POST", "/scenarios", _entry("alike", count=None)) for _ in range(2)]
    assert [answer.status_code for answer in twice] == [201, 201]
    named = client("POST", "/scenarios", _entry("x", count=None, scenario_name="alike"))
    assert named.status_code == 201
    for answer in (*twice, named):
        client("DELETE", f"/scenarios/{answer.json()['id']}")


def test_limits(client: Client) -> None:
    """More entries than a server runs are 422, no room for them or for their rate is 429."""
    many = {"scenarios": [_entry(f"m{n}") for n in range(6)]}
    assert client("POST", "/scenarios", many).status_code == 422
    fast = client(
        "POST", "/scenarios", _entry("fast", rate=900, encoder={"type": "json_lines"}, count=None)
    )
    assert fast.status_code == 201
    refused = client("POST", "/scenarios", _entry("faster", rate=200))
    assert refused.status_code == 429
    assert "900 of 1000 events/s are in use" in refused.json()["detail"]
    client("DELETE", f"/scenarios/{fast.json()['id']}?forget=true")


@pytest.mark.parametrize(
    ("body", "headers", "status", "detail"),
    [
        (b"{", {}, 400, "not valid JSON"),
        (b"scenarios: []", YAML, 400, "scenarios: expected at least one entry"),
        (b"a: 1", {"Content-Type": "text/plain"}, 415, "application/yaml"),
        (b"{}", {"Content-Encoding": "gzip", **YAML}, 415, "Content-Encoding"),
        (b"#" * ((1 << 20) + 1), YAML, 413, "1048576"),
        (
            b"{name: a, signal_type: metrics, rate: 0, generator: {type: constant, value: 1}}",
            YAML,
            422,
            "rate: invalid value 0",
        ),
        (
            b"{name: a, signal_type: metrics, rate: 1, generator: {type: constant, value: 1}, sink: {type: file, path: /etc/x}}",
            YAML,
            403,
            "--file-root",
        ),
    ],
)
def test_refusals(
    client: Client, body: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    """What is refused has the envelope of `/events`, and starts nothing."""
    answer = client(
        "POST",
        "/scenarios",
        content=body,
        headers={"Content-Type": "application/json", **headers},
    )
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "detail"}
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/scenarios?limit=10001", 422),
        ("/scenarios?limit=x", 400),
        ("/scenarios?foo=1", 400),
        ("/scenarios?state=odd", 400),
        ("/scenarios/none", 404),
        ("/scenarios/none/events", 404),
        ("/scenarios/none/progress", 404),
        ("/scenarios/none?wait=61s", 422),
    ],
)
def test_bad_calls(client: Client, path: str, status: int) -> None:
    """A parameter that means nothing is refused, a run that is not there is not found."""
    assert client("GET", path).status_code == status


def test_the_key_is_asked_for(client: Client) -> None:
    """Every call needs the key."""
    for method, path in (("GET", "/scenarios"), ("POST", "/scenarios"), ("DELETE", "/scenarios/x")):
        assert client(method, path, headers={"Authorization": "Bearer no"}).status_code == 401


def test_a_dry_run_opens_nothing(client: Client) -> None:
    """The plan, the first events as text, the preview; and nothing is started."""
    before = client("GET", "/scenarios").json()
    answer = client(
        "POST", "/scenarios?dry_run=true", _entry("dry", start_time="1970-01-01T00:00:01Z")
    )
    assert answer.status_code == 200
    [entry] = answer.json()["scenarios"]
    assert (entry["id"], entry["planned"], entry["ends_at_s"]) == ("dry", 20, 0.38)
    assert entry["events"][1] == "dry 1 1020\n"
    assert entry["preview"]["sink"] == "file"
    assert client("GET", "/scenarios").json() == before


def test_a_dry_run_with_points_has_curves(client: Client) -> None:
    """So many rates and values as were asked for; a run has none to draw."""
    answer = client("POST", "/scenarios?dry_run=true&points=2", _entry("drawn"))
    [entry] = answer.json()["scenarios"]
    assert entry["curve"]["value"] == [0, 10]
    assert len(entry["curve"]["rate"]) == 2
    for path, status, said in (
        ("/scenarios?points=2", 400, "add dry_run=true"),
        ("/scenarios?dry_run=true&points=0", 400, "expected a number above 0"),
        ("/scenarios?dry_run=true&points=1001", 422, "at most 1,000"),
    ):
        refused = client("POST", path, _entry("drawn"))
        assert (refused.status_code, said in refused.json()["detail"]) == (status, True)


def test_progress_is_a_stream_of_ledgers(client: Client) -> None:
    """Server-sent events, the last one with `event: end`."""
    run_id = client("POST", "/scenarios", _entry("watched")).json()["id"]
    answer = client("GET", f"/scenarios/{run_id}/progress")
    assert answer.headers["Content-Type"] == "text/event-stream"
    *_, last = answer.text.strip().split("\n\n")
    kind, data = last.split("\n")
    assert kind == "event: end"
    assert json.loads(data.removeprefix("data: "))["delivered"] == 20


def test_what_was_not_delivered_is_made_again(client: Client) -> None:
    """The events of rejected ticks, with credentials masked."""
    sink = {"type": "http_push", "url": "http://127.0.0.1:1/", "headers": {"X-Key": "hidden"}}
    document = _entry("lost", sink=sink, on_sink_error="fail")
    run_id = client("POST", "/scenarios", document).json()["id"]
    ended = client("GET", f"/scenarios/{run_id}?wait=55s").json()
    assert ended["outcome"] == "failed"
    assert ended["document"]["sink"]["headers"] == {"X-Key": "***"}
    answer = client("GET", f"/scenarios/{run_id}/events?outcome=rejected&limit=1")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    [line] = [json.loads(text) for text in answer.text.splitlines()]
    assert (line["tick"], line["outcome"]) == (0, "rejected")
    assert line["event"]["metric"] == {"name": "lost", "value": 0.0}
    assert line["event"]["sink"]["headers"] == {"X-Key": "***"}
    assert "Connection refused" in line["detail"]


def test_a_restart_shows_what_was(tmp_path: Path) -> None:
    """With `--state-dir` records outlive the server; what ran was interrupted, and nothing is lost."""
    state = tmp_path / "state"
    state.mkdir()
    flags = ("--file-root", str(tmp_path), "--state-dir", str(state))
    with serving(*flags) as server:
        run_id = Client(server)("POST", "/scenarios", _entry("cut", count=None)).json()["id"]
        done = Client(server)("POST", "/scenarios", _entry("done")).json()["id"]
        assert Client(server)("GET", f"/scenarios/{done}?wait=55s").json()["outcome"] == "completed"
        assert server.stop(signal.SIGTERM) == 0
    with serving(*flags) as server:
        cut = Client(server)("GET", f"/scenarios/{run_id}").json()
        assert cut["outcome"] == "interrupted"
        ledger = cut["ledger"]
        written = len((tmp_path / "cut.txt").read_text().splitlines())
        assert ledger["delivered"] <= written <= ledger["delivered"] + ledger["unknown"]
        assert Client(server)("GET", f"/scenarios/{done}").json()["ledger"]["delivered"] == 20


def test_events_of_the_stdout_sink_are_on_the_servers_standard_output() -> None:
    """The runner writes there, as the server does; it is also the sink of an entry that names none."""
    entry = {**_entry("printed", count=3), "sink": {"type": "stdout"}}
    with serving("--api-key", KEY) as server:
        client = Client(server)
        for body in (entry, {**_entry("unnamed", count=1, sink=None)}):
            run = client("POST", "/scenarios", body).json()["id"]
            ledger = client("GET", f"/scenarios/{run}?wait=55s").json()["ledger"]
            assert ledger["delivered"] == ledger["planned"]
        names = [line.split(b" ")[0] for line in server.printed.splitlines()]
        assert names == [b"printed"] * 3 + [b"unnamed"]


def test_a_histogram_is_one_event_of_many_samples(client: Client) -> None:
    """Its plan counts events and series; what was not delivered comes back as samples."""
    document = {
        "signal_type": "histogram",
        "name": "wait_seconds",
        "rate": 100,
        "count": 2,
        "distribution": {"type": "uniform", "min": 0, "max": 1},
        "buckets": [0.5],
        "sink": {"type": "http_push", "url": "http://127.0.0.1:1/"},
        "on_sink_error": "fail",
    }
    [plan] = client("POST", "/scenarios?dry_run=true", document).json()["scenarios"]
    assert (plan["planned"], plan["series"], len(plan["events"])) == (2, 4, 2)
    assert [line.split()[0] for line in plan["events"][0].splitlines()] == [
        'wait_seconds_bucket{le="0.5"}',
        'wait_seconds_bucket{le="+Inf"}',
        "wait_seconds_sum",
        "wait_seconds_count",
    ]
    run_id = client("POST", "/scenarios", document).json()["id"]
    ended = client("GET", f"/scenarios/{run_id}?wait=55s").json()
    ledger = ended["ledger"]  # the second event is skipped where it was due before the first failed
    assert (ended["outcome"], ledger["due"]) == ("failed", ledger["rejected"] + ledger["skipped"])
    answer = client("GET", f"/scenarios/{run_id}/events?outcome=rejected")
    lines = [json.loads(text) for text in answer.text.splitlines()]
    assert len(lines) == 4 * ended["ledger"]["rejected"]
    assert [line["tick"] for line in lines[:4]] == [0] * 4
    assert lines[1]["event"]["metric"] == {"name": "wait_seconds_bucket", "value": 100.0}
    assert lines[1]["event"]["labels"] == {"le": "+Inf"}
