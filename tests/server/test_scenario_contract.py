"""What the contract says of each call of `/scenarios` and no other test has, with one worker and three."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.scenarios import call, steps
from tests.support.serving import Serving, serving


@pytest.fixture(scope="module", params=["1", "3"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """A server with one worker, and one with three."""
    root = tmp_path_factory.mktemp("root")
    with serving("--file-root", str(root), "--workers", request.param, folder=root) as found:
        yield found


def _start(server: Serving, document: dict[str, Any]) -> dict[str, Any]:
    answer = call(server, "POST", "/scenarios", document)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def _listed(server: Serving) -> list[dict[str, Any]]:
    return list(call(server, "GET", "/scenarios").json()["scenarios"])


@pytest.mark.parametrize(
    ("media_type", "written"),
    [
        ("application/json; charset=utf-8", json.dumps),
        ("application/yaml", lambda document: f"# a comment\n{json.dumps(document)}"),
        ("application/x-yaml", lambda document: f"# a comment\n{json.dumps(document)}"),
        ("text/yaml; charset=utf-8", lambda document: f"# a comment\n{json.dumps(document)}"),
    ],
)
def test_each_media_type_starts_a_run(server: Serving, media_type: str, written: Any) -> None:
    """JSON, and YAML by each of its three names."""
    body, headers = written(steps("typed", rate=50, count=1)), {"Content-Type": media_type}
    answer = server.request("POST", "/scenarios", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    ended = call(server, "GET", f"/scenarios/{answer.json()['id']}?wait=55s").json()
    assert ended["ledger"]["delivered"] == 1


def test_all_entries_start_or_none(server: Serving) -> None:
    """One that is not allowed keeps the others from starting, and nothing is recorded."""
    before = [one["id"] for one in _listed(server)]
    refused = {**steps("outside", rate=1), "sink": {"type": "file", "path": "/etc/x"}}
    answer = call(server, "POST", "/scenarios", {"scenarios": [steps("fine", rate=1), refused]})
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith('scenarios[1].sink: file path "/etc/x" is outside')
    assert [one["id"] for one in _listed(server)] == before


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        (steps("written", rate=1, sink={"type": "file", "path": "/etc/x"}), "sink"),
        (
            {
                "signal_type": "metrics",
                "name": "read",
                "generator": {"type": "csv_replay", "file": "/etc/passwd"},
            },
            "generator.file",
        ),
    ],
)
def test_a_path_that_is_not_allowed_stands_with_its_place(
    server: Serving, entry: dict[str, Any], place: str
) -> None:
    """Of a lone entry, of one of several, and for a plan that is only shown."""
    several = {"scenarios": [steps("fine", rate=1), entry]}
    for document, where in ((entry, place), (several, f"scenarios[1].{place}")):
        for path in ("/scenarios", "/scenarios?dry_run=true"):
            answer = call(server, "POST", path, document)
            assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
            detail = answer.json()["detail"]
            assert detail.startswith(f"{where}: ")
            assert "outside the file root; sonda-server --file-root DIR" in detail


def test_what_is_wrong_comes_before_what_is_forbidden(server: Serving) -> None:
    """As for an event: the structure, then values, then the operator's rules."""
    replayed = {
        "signal_type": "metrics",
        "name": "read",
        "generator": {"type": "csv_replay", "file": "/etc/passwd"},
    }
    wrong = {"scenarios": [replayed, steps("low", rate=0)]}
    answer = call(server, "POST", "/scenarios", wrong)
    assert (answer.status_code, "scenarios[1].rate" in answer.json()["detail"]) == (422, True)


def test_a_run_is_called_as_its_document_or_its_first_entry(server: Serving) -> None:
    entries = [steps("first", rate=50, count=1), steps("second", rate=50, count=1)]
    assert _start(server, {"scenarios": entries})["name"] == "first"
    assert _start(server, {"scenario_name": "whole", "scenarios": entries})["name"] == "whole"


def test_an_entrys_id_stands_for_the_entry_everywhere(server: Serving) -> None:
    """It is shown, waited for, watched, scraped and stopped alone; the rest of its run goes on."""
    failing = steps("failing", rate=50, count=2, on_sink_error="fail")
    failing["sink"] = {"type": "http_push", "url": "http://127.0.0.1:1/"}
    entries = [steps("goes_on", rate=50), steps("stops", rate=50), failing]
    run = _start(server, {"scenarios": entries})
    goes_on, stops, fails = (one["id"] for one in run["scenarios"])
    failed = call(server, "GET", f"/scenarios/{fails}?wait=55s").json()
    assert (failed["id"], failed["state"], failed["outcome"]) == (fails, "finished", "failed")
    lost = call(server, "GET", f"/scenarios/{fails}/events").text.splitlines()
    assert len(lost) == failed["ledger"]["rejected"] + failed["ledger"]["skipped"] > 0
    assert call(server, "GET", f"/scenarios/{goes_on}/events").text == ""
    assert call(server, "GET", f"/scenarios/{run['id']}/events").text.splitlines() == lost
    stopped = call(server, "DELETE", f"/scenarios/{stops}").json()
    assert (stopped["id"], stopped["status"]) == (stops, "stopped")
    assert stopped["total_events"] == stopped["ledger"]["delivered"]
    assert call(server, "DELETE", f"/scenarios/{stops}").json() == stopped
    watched = call(server, "GET", f"/scenarios/{stops}/progress").text
    last = watched.strip().rpartition("event: end\ndata: ")[2]
    assert json.loads(last) == stopped["ledger"]
    scraped = call(server, "GET", f"/scenarios/{goes_on}/metrics").text
    assert ("\ngoes_on " in scraped, "\nstops " in scraped) == (True, False)
    assert call(server, "GET", f"/scenarios/{goes_on}").json()["state"] == "running"
    assert call(server, "GET", f"/scenarios/{run['id']}").json()["state"] == "running"
    assert call(server, "GET", f"/scenarios/{run['id']}.none").status_code == 404
    assert call(server, "DELETE", f"/scenarios/{run['id']}").json()["status"] == "failed"


def test_what_a_list_and_a_run_have(server: Serving) -> None:
    """A wait is over after its time, too; the columns of a run are the sum of its entries'."""
    entries = [steps("one", rate=50), steps("two", rate=50)]
    run = _start(server, {"scenario_name": "shown", "scenarios": entries})["id"]
    found = call(server, "GET", f"/scenarios/{run}?wait=1s").json()
    in_list = {"id", "name", "state", "outcome", "started", "ended", "ledger", "degraded"}
    assert set(found) == {*in_list, "document", "scenarios"}
    assert (found["state"], found["outcome"], found["ended"]) == ("running", None, None)
    for column, count in found["ledger"].items():
        parts = [entry["ledger"][column] for entry in found["scenarios"]]
        assert count == (None if None in parts else sum(parts))
    for entry in found["scenarios"]:
        assert {"id", "name", "state", "outcome", "ledger", "rate", "lag_s"} <= set(entry)
        assert set(entry["rate"]) == {"target", "last_1s", "last_10s"}
        assert set(entry["latency_ms"]) == {"p50", "p99", "max"}
        assert entry["problems"] == []
    [newest, *_] = _listed(server)
    assert (newest["id"], set(newest)) == (run, in_list)
    running = call(server, "GET", "/scenarios?state=running").json()["scenarios"]
    assert {one["state"] for one in running} == {"running"}
    stopped = call(server, "DELETE", f"/scenarios/{run}").json()
    assert set(stopped) == {"id", "status", "total_events", "ledger"}
    over = call(server, "GET", "/scenarios?state=finished").json()["scenarios"]
    assert run in [one["id"] for one in over]


def test_a_dry_run_shows_what_a_name_stands_for_and_bytes_that_are_no_text(
    server: Serving,
) -> None:
    """Beside what every plan has; without an end it is planned and ends as null."""
    leaky = steps("rising", rate=10, generator={"type": "saturation", "baseline": 1})
    binary = {**steps("bytes", rate=1, count=2), "encoder": {"type": "remote_write"}}
    binary["sink"] = {"type": "remote_write", "url": "http://127.0.0.1:1/api/v1/write"}
    answer = call(server, "POST", "/scenarios?dry_run=true", {"scenarios": [leaky, binary]})
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["scenarios"]
    assert (first["planned"], first["ends_at_s"], first["series"]) == (None, None, 1)
    assert first["rewritten"]["generator"]["type"] == "sawtooth"
    assert len(first["events"]) == 5
    assert set(second) == {"id", "planned", "ends_at_s", "series", "events", "preview"}
    assert (second["planned"], second["ends_at_s"], len(second["events"])) == (2, 1, 2)


def _runners(root: Path) -> list[Path]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                is_one = b"sonda.server.scenarios.runner" in (entry / "cmdline").read_bytes()
                if is_one and (entry / "cwd").readlink() == root:
                    found.append(entry)
            except OSError:
                continue
    return found


@pytest.mark.parametrize("workers", ["1", "3"])
def test_one_runner_in_a_private_folder(workers: str, tmp_path: Path) -> None:
    """None before the first POST; then one for all workers, told no secret by its arguments."""
    flags = ("--file-root", str(tmp_path), "--workers", workers, "--api-key", "a-secret-key")
    own = tmp_path / "tmp"
    own.mkdir()
    headers = {"Authorization": "Bearer a-secret-key"}
    with serving(*flags, folder=tmp_path, environ={"TMPDIR": str(own)}) as server:
        [home] = own.glob("sonda-runner-*")
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert call(server, "GET", "/scenarios", headers=headers).json() == {"scenarios": []}
        assert _runners(tmp_path) == []
        answers: list[httpx.Response] = [
            call(server, "POST", "/scenarios", steps(f"r{n}", rate=1), headers=headers)
            for n in range(4)
        ]
        assert {answer.status_code for answer in answers} == {201}
        [runner] = _runners(tmp_path)
        assert b"a-secret-key" not in (runner / "cmdline").read_bytes()
        assert (home / "s").is_socket()
    assert _runners(tmp_path) == []
    assert list(own.glob("sonda-runner-*")) == []


def test_whoever_watches_a_run_that_is_forgotten_sees_its_end(server: Serving) -> None:
    """The last ledger is the one that the DELETE answers; the run itself is gone at once."""
    run = _start(server, steps("watched", rate=50))["id"]
    with httpx.stream("GET", f"{server.url}/scenarios/{run}/progress", timeout=30) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data: ")
        ended = call(server, "DELETE", f"/scenarios/{run}?forget=true").json()
        assert call(server, "GET", f"/scenarios/{run}").status_code == 404
        assert call(server, "GET", f"/scenarios/{run}/progress").status_code == 404
        assert call(server, "GET", f"/scenarios/{run}?forgotten=true").status_code == 400
        seen = [line for line in lines if line]
    assert seen[-2] == "event: end"
    assert json.loads(seen[-1].removeprefix("data: ")) == ended["ledger"]
