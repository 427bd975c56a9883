"""Calls of `/scenarios` that meet: many at once, beside slow readers, and while processes end."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.test_scenario_runner import adds_up, ask_all, parent_of, runner_of, wait_for_lines
from tests.support.scenarios import answered, call, steps
from tests.support.serving import PATIENCE_S, Serving, serving

_AT_ONCE = 20


def _flags(folder: Path, workers: str) -> tuple[str, ...]:
    return ("--file-root", str(folder), "--workers", workers, "--state-dir", str(folder / "state"))


def _is_clear(answer: httpx.Response, allowed: set[int]) -> bool:
    """Whether an answer is one of those allowed, or a 503 that says when to come again."""
    if answer.status_code == 503:
        return answer.headers.get("Retry-After") == "1" and bool(answer.json()["detail"])
    return answer.status_code in allowed


@pytest.mark.parametrize("workers", ["1", "3"])
def test_one_of_many_runs_of_one_name_starts(workers: str, tmp_path: Path) -> None:
    """Twenty at once, which the runner is started by: one runs, and each other names it."""
    document = {"scenario_name": "alone", "scenarios": [steps("alone", rate=100)]}
    with (
        serving(*_flags(tmp_path, workers), folder=tmp_path) as server,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        answers = list(
            pool.map(lambda _: call(server, "POST", "/scenarios", document), range(_AT_ONCE))
        )
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses == {201: 1, 409: _AT_ONCE - 1}
        [run] = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        assert all(
            run in answer.json()["detail"] for answer in answers if answer.status_code != 201
        )
        ended = call(server, "DELETE", f"/scenarios/{run}").json()
        arrived = (tmp_path / "alone.txt").read_bytes().count(b"\n")
        assert ended["total_events"] == arrived
        assert len(call(server, "GET", "/scenarios").json()["scenarios"]) == 1


@pytest.mark.parametrize("workers", ["1", "3"])
def test_every_call_is_answered_while_the_runner_starts(workers: str, tmp_path: Path) -> None:
    """Each call at once with the first POST has an answer of its own, or is told to come again."""

    def ask(number: int) -> tuple[httpx.Response, set[int]]:
        calls: list[tuple[str, str, Any, set[int]]] = [
            ("POST", "/scenarios", steps(f"start{number}", rate=50, count=10), {201}),
            ("GET", "/scenarios", None, {200}),
            ("GET", "/scenarios/none?wait=5s", None, {404}),
            ("DELETE", "/scenarios/none", None, {404}),
            ("POST", "/scenarios?dry_run=true", steps("dry", rate=1, count=3), {200}),
            ("GET", "/metrics", None, {200}),
        ]
        method, path, body, allowed = calls[number % len(calls)]
        return call(server, method, path, body), allowed

    with (
        serving(*_flags(tmp_path, workers), folder=tmp_path) as server,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        for answer, allowed in pool.map(ask, range(_AT_ONCE * 2)):
            assert _is_clear(answer, allowed), (answer.request.url, answer.text)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_runner_that_is_killed_again_and_again_hangs_no_call(
    workers: str, tmp_path: Path
) -> None:
    """Calls beside three kills are answered or told to come again; no run is reported falsely."""
    with serving(*_flags(tmp_path, workers), folder=tmp_path) as server:
        runs = []
        for round_number in range(3):
            name = f"round{round_number}"
            answer = answered(server, "POST", "/scenarios", steps(name, rate=200))
            runs.append((name, answer.json()["id"]))
            wait_for_lines(tmp_path / f"{name}.txt", 20)
            os.kill(runner_of(server, tmp_path), signal.SIGKILL)
            for path in ("/scenarios", f"/scenarios/{runs[0][1]}?wait=1s"):
                assert _is_clear(call(server, "GET", path), {200})
        for name, run in runs:
            found = answered(server, "GET", f"/scenarios/{run}")
            ledger, arrived = (
                found.json()["ledger"],
                (tmp_path / f"{name}.txt").read_bytes().count(b"\n"),
            )
            assert found.json()["outcome"] == "interrupted"
            assert adds_up(ledger)
            assert ledger["delivered"] <= arrived <= ledger["delivered"] + ledger["unknown"]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_each_call_is_answered_while_a_dead_runner_is_replaced(
    workers: str, tmp_path: Path
) -> None:
    """As the next runner answers it, or 503; afterwards the dead one's run is interrupted."""
    with serving(*_flags(tmp_path, workers), folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("dead", rate=200)).json()["id"]
        wait_for_lines(tmp_path / "dead.txt", 20)
        os.kill(runner_of(server, tmp_path), signal.SIGKILL)
        for answer in ask_all(server, run):
            is_change = answer.request.method == "PATCH"
            allowed = {409} if is_change else {200, 201}
            assert _is_clear(answer, allowed), (answer.request.url, answer.text)
        found = answered(server, "GET", f"/scenarios/{run}").json()
        arrived = (tmp_path / "dead.txt").read_bytes().count(b"\n")
        ledger = found["ledger"]
        assert (found["outcome"], adds_up(ledger)) == ("interrupted", True)
        assert ledger["delivered"] <= arrived <= ledger["delivered"] + ledger["unknown"]


def _kill_when_written(path: Path, runner: int) -> None:
    """Kill the runner as soon as it writes to a file."""

    def seen() -> tuple[int, int]:
        found = path.stat()
        return found.st_size, found.st_mtime_ns

    before, until_s = seen(), time.monotonic() + PATIENCE_S
    while seen() == before and time.monotonic() < until_s:
        pass
    os.kill(runner, signal.SIGKILL)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_post_that_meets_a_dying_runner_agrees_with_its_record(
    workers: str, tmp_path: Path
) -> None:
    """It is 201 where the run is recorded, and 503 where it is not, at whatever moment it dies."""
    log = tmp_path / "state" / "sonda.sqlite3-wal"
    with (
        serving(*_flags(tmp_path, workers), folder=tmp_path) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        first = answered(server, "POST", "/scenarios", steps("first", rate=50, count=1)).json()[
            "id"
        ]
        begun = {first}
        for number in range(5):
            answered(server, "GET", f"/scenarios/{first}?wait=20s")  # nothing is written any more
            killing = pool.submit(_kill_when_written, log, runner_of(server, tmp_path))
            answer = call(server, "POST", "/scenarios", steps(f"dying{number}", rate=200))
            killing.result()
            assert _is_clear(answer, {201}), answer.text
            if answer.status_code == 201:
                run = answer.json()["id"]
                assert answer.headers["Location"] == f"/scenarios/{run}"
                found = answered(server, "GET", f"/scenarios/{run}").json()
                assert found["outcome"] == "interrupted"
                begun.add(run)
        listed = answered(server, "GET", "/scenarios").json()["scenarios"]
        assert {one["id"] for one in listed} == begun


def _open_progress(server: Serving, run: str) -> socket.socket:
    """Return a connection that has asked for a run's progress and reads none of it."""
    url = httpx.URL(server.url)
    assert url.port is not None
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    connection.connect((url.host, url.port))
    connection.sendall(f"GET /scenarios/{run}/progress HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connection


def test_progress_that_is_not_read_slows_nothing(tmp_path: Path) -> None:
    """Beside readers that read nothing a run ends in time, another reader sees it, and SIGTERM ends all."""
    with serving(*_flags(tmp_path, "1"), folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("seen", rate=500, count=1_500)).json()["id"]
        idle = [_open_progress(server, run) for _ in range(30)]
        with httpx.stream("GET", f"{server.url}/scenarios/{run}/progress", timeout=30) as stream:
            seen = [line for line in stream.iter_lines() if line]
        assert "event: end" in seen
        last = json.loads(seen[-1].removeprefix("data: "))
        assert last["delivered"] == 1_500
        assert server.stop(signal.SIGTERM) == 0
        for connection in idle:
            connection.close()


def test_a_worker_that_dies_takes_only_the_calls_that_it_carries(tmp_path: Path) -> None:
    """A long poll by way of a killed worker breaks off; the run, and polls of other workers, go on."""
    with (
        serving(*_flags(tmp_path, "3"), folder=tmp_path) as server,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        run = call(server, "POST", "/scenarios", steps("lasting", rate=200, count=1_000)).json()
        path = f"/scenarios/{run['id']}?wait=55s"
        wait_for_lines(tmp_path / "lasting.txt", 20)
        polls = [pool.submit(call, server, "GET", path) for _ in range(_AT_ONCE)]
        runner = runner_of(server, tmp_path)
        os.kill(parent_of(runner), signal.SIGKILL)
        server.wait_for_log("ended with -9: starting another")
        broken, answered = 0, 0
        for poll in polls:
            try:
                found = poll.result(PATIENCE_S).json()
            except httpx.TransportError:
                broken += 1
            else:
                answered += 1
                assert (found["outcome"], found["ledger"]["delivered"]) == ("completed", 1_000)
        assert broken + answered == _AT_ONCE
        found = call(server, "GET", path).json()
        assert (found["outcome"], found["ledger"]["delivered"]) == ("completed", 1_000)
        assert (tmp_path / "lasting.txt").read_bytes().count(b"\n") == 1_000
        assert runner_of(server, tmp_path) == runner
