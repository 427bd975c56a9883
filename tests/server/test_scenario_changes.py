"""`PATCH /scenarios/{id}` of a real server: the plan goes on from now, and the record shows it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.test_scenario_runner import adds_up, runner_of, wait_for_lines
from tests.support.scenarios import call, steps
from tests.support.serving import Serving, serving

_entry = partial(steps, rate=20)


def _start(server: Serving, document: dict[str, Any]) -> str:
    return str(call(server, "POST", "/scenarios", document).json()["id"])


@pytest.fixture(scope="module", params=["1", "3"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """A server with one worker, and one with three."""
    root = tmp_path_factory.mktemp("root")
    flags = ("--file-root", str(root), "--workers", request.param, "--max-rate", "1000")
    with serving(*flags) as found:
        yield found


def test_another_rate_and_the_ledger_adds_up(server: Serving) -> None:
    """`planned` is the sum of both segments, and each event of it arrives."""
    run = _start(server, _entry("faster", rate=2, duration="4s"))
    answer = call(server, "PATCH", f"/scenarios/{run}", {"rate": 100})
    assert answer.status_code == 200
    found = answer.json()
    [entry] = found["scenarios"]
    first, second = entry["segments"]
    assert first == {"from_tick": 0, "from_ns": 0, "rate": 2, "paused": False}
    assert (second["rate"], second["paused"]) == (100, False)
    rest_s = 4 - second["from_ns"] / 1e9
    planned = found["ledger"]["planned"]
    assert planned == pytest.approx(2 * (4 - rest_s) + 100 * rest_s, abs=1)
    assert adds_up(found["ledger"])
    ended = call(server, "GET", f"/scenarios/{run}?wait=55s").json()
    assert (ended["outcome"], ended["ledger"]["delivered"]) == ("completed", planned)
    assert ended["scenarios"][0]["segments"] == entry["segments"]
    late = call(server, "PATCH", f"/scenarios/{run}", {"rate": 1})
    assert (late.status_code, late.json()["error"]) == (409, "conflict")


def test_a_pause_and_its_end(server: Serving) -> None:
    """An entry by its own id; nothing is due while it stands, and nothing is lost."""
    entries = [_entry("standing", duration="3s"), _entry("going", duration="3s")]
    run = _start(server, {"scenario_name": "pausing", "scenarios": entries})
    paused = call(server, "PATCH", f"/scenarios/{run}.standing", {"paused": True}).json()
    assert (paused["id"], paused["state"]) == (f"{run}.standing", "running")
    assert (paused["rate"]["target"], paused["ledger"]["planned"]) == (0.0, 60)
    time.sleep(0.5)
    again = call(server, "GET", f"/scenarios/{run}.standing").json()
    assert again["ledger"]["due"] == paused["ledger"]["due"]
    other = call(server, "GET", f"/scenarios/{run}.going").json()
    assert "segments" not in other
    assert other["ledger"]["due"] > again["ledger"]["due"]
    same = call(server, "PATCH", f"/scenarios/{run}.standing", {"paused": True}).json()
    assert same["segments"] == paused["segments"]
    assert call(server, "PATCH", f"/scenarios/{run}", {"paused": False}).status_code == 200
    ended = call(server, "GET", f"/scenarios/{run}?wait=55s").json()
    assert ended["ledger"]["delivered"] == ended["ledger"]["planned"] == 120
    assert adds_up(ended["ledger"])


def test_a_run_in_yaml_and_one_that_stops_while_it_is_paused(server: Serving) -> None:
    run = _start(server, _entry("stopped"))
    headers = {"Content-Type": "application/yaml"}
    url = f"{server.url}/scenarios/{run}"
    paused = httpx.patch(url, content="paused: true\n", headers=headers, timeout=30)
    segment = paused.json()["scenarios"][0]["segments"][-1]
    assert segment["paused"] is True
    stopped = call(server, "DELETE", f"/scenarios/{run}").json()
    assert stopped["status"] == "stopped"
    ledger = stopped["ledger"]
    assert adds_up(ledger)
    assert ledger["due"] == segment["from_tick"]  # none has come to be due in the pause
    assert ledger["due"] == ledger["delivered"] + ledger["skipped"]
    assert call(server, "PATCH", f"/scenarios/{run}", {"paused": False}).status_code == 409


@pytest.fixture(scope="module")
def running(server: Serving) -> str:
    """A run of a plain entry and one with stages."""
    stages = _entry("staged", stages=[{"rate": 1, "for": "1h"}])
    del stages["rate"]
    return _start(server, {"scenario_name": "both", "scenarios": [_entry("plain"), stages]})


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 400, "expected rate or paused"),
        ([], 400, "expected an object"),
        ({"rate": "1"}, 400, "rate: expected a number, got a string (leave out the quotes)"),
        ({"speed": 1}, 400, "unknown field 'speed'"),
        ({"rate": 0}, 422, "rate: invalid value 0: expected a number above 0"),
        ({"rate": 2_000_000}, 422, "at most 1,000,000"),
        ({"rate": 3}, 422, "stages or rows say when events are due (scenario entry 'staged')"),
    ],
)
def test_refusals(server: Serving, running: str, body: object, status: int, detail: str) -> None:
    """Each says why, and nothing is changed: all of its entries or none."""
    answer = call(server, "PATCH", f"/scenarios/{running}", body)
    assert (answer.status_code, detail in answer.json()["detail"]) == (status, True), answer.text
    shown = call(server, "GET", f"/scenarios/{running}").json()
    assert all("segments" not in one for one in shown["scenarios"])


def test_the_limit_of_all_rates_holds_for_a_change(server: Serving) -> None:
    run = _start(server, _entry("fast"))
    other = _start(server, _entry("other"))
    answer = call(server, "PATCH", f"/scenarios/{run}", {"rate": 1000})
    assert answer.status_code == 429
    assert "of 1000 events/s are in use, 1000 more are asked for" in answer.json()["detail"]
    allowed = call(server, "PATCH", f"/scenarios/{run}", {"rate": 900})
    assert allowed.status_code == 200
    for one in (run, other):
        assert call(server, "DELETE", f"/scenarios/{one}").status_code == 200


def test_calls_that_are_none(server: Serving, running: str) -> None:
    url = f"{server.url}/scenarios/{running}"
    assert call(server, "PATCH", "/scenarios/nothing", {"rate": 1}).status_code == 404
    assert call(server, "PATCH", f"/scenarios/{running}?x=1", {"rate": 1}).status_code == 400
    assert httpx.patch(url, content="rate=1", timeout=30).status_code == 415
    text = {"Content-Type": "text/plain"}
    assert httpx.patch(url, content="{}", headers=text, timeout=30).status_code == 415
    assert call(server, "PATCH", "/scenarios", {"rate": 1}).status_code == 405


@pytest.mark.long
def test_a_restart_and_a_killed_runner_keep_both_segments(tmp_path: Path) -> None:
    """What was sent after the change is made again by the changed plan, also by another server."""
    flags = ("--file-root", str(tmp_path), "--state-dir", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    with serving(*flags, folder=tmp_path) as server:
        run = _start(server, _entry("kept", rate=1, duration="1h"))
        changed = call(server, "PATCH", f"/scenarios/{run}", {"rate": 200}).json()
        segments = changed["scenarios"][0]["segments"]
        wait_for_lines(tmp_path / "kept.txt", 300)
        os.kill(runner_of(server, tmp_path), signal.SIGKILL)
        server.wait_for_log("runner of scenarios ended with -9: starting another")
        found = _wait(server, f"/scenarios/{run}")
        assert found["outcome"] == "interrupted"
        assert found["scenarios"][0]["segments"] == segments
        ledger, arrived = found["ledger"], (tmp_path / "kept.txt").read_bytes().count(b"\n")
        assert adds_up(ledger)
        assert ledger["planned"] == changed["ledger"]["planned"]
        assert ledger["delivered"] <= arrived <= ledger["delivered"] + ledger["unknown"]
        lost = _events(server, run)
    with serving(*flags, folder=tmp_path) as server:
        again = call(server, "GET", f"/scenarios/{run}").json()
        assert again["scenarios"][0]["segments"] == segments
        assert again["ledger"] == ledger
        assert _events(server, run) == lost
        times = [one["event"]["timestamp"] for one in lost[:2]]
        assert len(lost) == ledger["unknown"]
        assert times[0] < times[1]


def _wait(server: Serving, path: str) -> dict[str, Any]:
    answer = call(server, "GET", path)
    while answer.status_code == 503:
        time.sleep(0.1)
        answer = call(server, "GET", path)
    return dict(answer.json())


def _events(server: Serving, run: str) -> list[dict[str, Any]]:
    answer = call(server, "GET", f"/scenarios/{run}/events?outcome=unknown")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]
