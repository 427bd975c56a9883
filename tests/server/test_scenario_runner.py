"""The runner of a server's scenarios: dead, stuck, ended, and what its records say then."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from sonda.server.resume import CAN_RESUME
from sonda.server.scenarios.ownership import is_owned
from tests.support.scenarios import answered, call, steps, told_of_runs
from tests.support.serving import PATIENCE_S, Serving, serving


def _children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            fields = stat.rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def runner_of(server: Serving, root: Path) -> int:
    """The runner's process, which alone has this command line and this folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                folder = (entry / "cwd").readlink()
            except OSError:
                continue
            if b"sonda.server.scenarios.runner" in command and folder == root:
                return int(entry.name)
    raise AssertionError(f"no runner is there:\n{server.log}")


@contextmanager
def _held(pid: int) -> Iterator[None]:
    """Keep a process stopped, whoever resumes it, until it is gone; kill it at the end of the block."""

    def stop_again() -> None:
        with suppress(ProcessLookupError):
            while not released.wait(0.01):
                os.kill(pid, signal.SIGSTOP)

    released = threading.Event()
    os.kill(pid, signal.SIGSTOP)
    holding = threading.Thread(target=stop_again)
    holding.start()
    try:
        yield
    finally:
        released.set()
        holding.join()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _wait_until_gone(pid: int) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while _lives(pid) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    """Whether a process runs: one that nobody has waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def wait_for_lines(path: Path, count: int) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} has not got {count} lines")


def adds_up(ledger: dict[str, int]) -> bool:
    verdicts = sum(ledger[name] for name in ("delivered", "rejected", "unknown", "skipped"))
    return ledger["due"] == verdicts + ledger["in_flight"] + ledger["backlog"]


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_runner_that_is_killed_is_replaced(workers: str, tmp_path: Path) -> None:
    """Its runs are interrupted, no arrival is missing in their ledgers, and new ones start."""
    flags = ("--file-root", str(tmp_path), "--workers", workers)
    with serving(*flags, folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("cut", rate=200)).json()["id"]
        wait_for_lines(tmp_path / "cut.txt", 300)
        os.kill(runner_of(server, tmp_path), signal.SIGKILL)
        server.wait_for_log("runner of scenarios ended with -9: starting another")
        found = answered(server, "GET", f"/scenarios/{run}").json()
        assert (found["state"], found["outcome"]) == ("finished", "interrupted")
        ledger, arrived = found["ledger"], (tmp_path / "cut.txt").read_bytes().count(b"\n")
        assert adds_up(ledger)
        assert ledger["delivered"] <= arrived <= ledger["delivered"] + ledger["unknown"]
        lost = call(server, "GET", f"/scenarios/{run}/events?outcome=unknown").text.splitlines()
        assert len(lost) == ledger["unknown"]
        ticks = {json.loads(line)["tick"] for line in lost}
        assert set(range(ledger["delivered"], arrived)) <= ticks
        again = call(server, "POST", "/scenarios", steps("cut", rate=200, count=5)).json()["id"]
        ended = call(server, "GET", f"/scenarios/{again}?wait=55s").json()
        assert ended["ledger"]["delivered"] == 5


def ask_all(server: Serving, run: str) -> list[httpx.Response]:
    """Return the answers to one of each call, all made at once."""
    ends = ("", "?wait=5s", "/events", "/progress", "/metrics")
    calls: list[tuple[str, str, Any]] = [
        *(("GET", f"/scenarios/{run}{end}", None) for end in ends),
        *(("GET", path, None) for path in ("/scenarios", "/scenarios/metrics")),
        ("PATCH", f"/scenarios/{run}", {"rate": 1}),
        ("POST", "/scenarios?dry_run=true", steps("dry", rate=1)),
        ("POST", "/scenarios", steps("late", rate=1)),
        ("DELETE", f"/scenarios/{run}?drain=5m", None),
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda asked: call(server, *asked), calls))


@pytest.mark.parametrize("workers", ["1", pytest.param("3", marks=pytest.mark.long)])
def test_a_stuck_runner_is_503_and_never_a_hang(workers: str, tmp_path: Path) -> None:
    """Every call is 503 with `Retry-After`, and begins nothing later; the server itself goes on."""
    flags = ("--file-root", str(tmp_path), "--workers", workers)
    with serving(*flags, folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("stuck", rate=200)).json()["id"]
        runner = runner_of(server, tmp_path)
        os.kill(runner, signal.SIGSTOP)
        try:
            for answer in ask_all(server, run):
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
                assert "does not answer" in answer.json()["detail"]
            assert call(server, "GET", "/ready").status_code == 200
            metrics = call(server, "GET", "/metrics")
            assert (metrics.status_code, "sonda_scenarios{" in metrics.text) == (200, False)
        finally:
            os.kill(runner, signal.SIGCONT)
        assert call(server, "DELETE", f"/scenarios/{run}").json()["status"] == "stopped"
        [only] = call(server, "GET", "/scenarios").json()["scenarios"]
        assert only["id"] == run


def _expect_true_ledger(flags: Sequence[str], folder: Path, name: str, run: str) -> None:
    """Start the next server: its record of an interrupted run agrees with the run's file."""
    with serving(*flags, folder=folder) as server:
        found = call(server, "GET", f"/scenarios/{run}").json()
        ledger, arrived = found["ledger"], (folder / f"{name}.txt").read_bytes().count(b"\n")
        assert (found["outcome"], adds_up(ledger)) == ("interrupted", True)
        assert ledger["delivered"] <= arrived <= ledger["delivered"] + ledger["unknown"]


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stuck_runner_does_not_outlive_its_server(workers: str, tmp_path: Path) -> None:
    """It is killed once it has had its time to drain, and the next server's ledger is true."""
    state = tmp_path / "state"
    flags = ("--file-root", str(tmp_path), "--workers", workers, "--state-dir", str(state))
    with serving(*flags, "--shutdown-timeout", "1", folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("stuck", rate=200)).json()["id"]
        wait_for_lines(tmp_path / "stuck.txt", 20)
        runner = runner_of(server, tmp_path)
        with _held(runner):
            assert server.stop(signal.SIGTERM) == 0
            _wait_until_gone(runner)
    _expect_true_ledger(flags, tmp_path, "stuck", run)


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_runner_ends_with_a_killed_server(workers: str, tmp_path: Path) -> None:
    """SIGKILL of the server's first process leaves no process, and the next one's ledger is true."""
    state = tmp_path / "state"
    flags = ("--file-root", str(tmp_path), "--workers", workers, "--state-dir", str(state))
    with serving(*flags, folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("killed", rate=200)).json()["id"]
        wait_for_lines(tmp_path / "killed.txt", 100)
        runner, workers_then = runner_of(server, tmp_path), _children(server.process.pid)
        server.process.kill()
        server.wait()
        for pid in (runner, *workers_then):
            _wait_until_gone(pid)
    _expect_true_ledger(flags, tmp_path, "killed", run)


@pytest.mark.skipif(not CAN_RESUME, reason="Linux alone has F_SETSIG")
@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.long)])
def test_stopped_processes_end_with_a_killed_server(workers: str, tmp_path: Path) -> None:
    """Runner and workers are resumed when the server's first process is killed, and end as others do."""
    state = tmp_path / "state"
    flags = ("--file-root", str(tmp_path), "--workers", workers, "--state-dir", str(state))
    with serving(*flags, folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("held", rate=200)).json()["id"]
        wait_for_lines(tmp_path / "held.txt", 20)
        stopped = {runner_of(server, tmp_path), *_children(server.process.pid)}
        try:
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            server.process.kill()
            server.wait()
            for pid in stopped:
                _wait_until_gone(pid)
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    _expect_true_ledger(flags, tmp_path, "held", run)


def test_a_killed_worker_takes_no_run_with_it(tmp_path: Path) -> None:
    """The worker that started the runner dies; the run goes on, and is reached by the others."""
    flags = ("--file-root", str(tmp_path), "--workers", "2")
    with serving(*flags, folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("kept", rate=200)).json()["id"]
        runner = runner_of(server, tmp_path)
        os.kill(parent_of(runner), signal.SIGKILL)
        server.wait_for_log("ended with -9: starting another")
        assert runner_of(server, tmp_path) == runner
        found = call(server, "DELETE", f"/scenarios/{run}").json()
        assert found["status"] == "stopped"
        arrived = (tmp_path / "kept.txt").read_bytes().count(b"\n")
        assert found["total_events"] == found["ledger"]["delivered"] == arrived


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_drains_before_the_server_has_ended(workers: str, tmp_path: Path) -> None:
    """When the server's process has ended, so has the runner, and nothing is unknown."""
    state = tmp_path / "state"
    flags = ("--file-root", str(tmp_path), "--workers", workers, "--state-dir", str(state))
    with serving(*flags, folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("drained", rate=200)).json()["id"]
        wait_for_lines(tmp_path / "drained.txt", 20)
        runner = runner_of(server, tmp_path)
        assert server.stop(signal.SIGTERM) == 0
        assert not is_owned(state)
        _wait_until_gone(runner)
    [text] = (
        sqlite3.connect(state / "sonda.sqlite3")
        .execute("SELECT detail FROM scenario_runs")
        .fetchone()
    )
    ledger = json.loads(text)["ledger"]
    arrived = (tmp_path / "drained.txt").read_bytes().count(b"\n")
    assert (ledger["delivered"], ledger["unknown"], ledger["in_flight"]) == (arrived, 0, 0)
    assert re.search(rf"scenario={run} .*outcome=interrupted .*delivered={arrived} ", server.log)


def test_what_cannot_be_recorded_is_not_handed_over(tmp_path: Path) -> None:
    """A locked database ends no run: it waits, `/ready` and the log say so, and it catches up."""
    state = tmp_path / "state"
    flags = ("--file-root", str(tmp_path), "--state-dir", str(state))
    with serving(*flags, folder=tmp_path) as server:
        run = call(server, "POST", "/scenarios", steps("waits", rate=200)).json()["id"]
        other = sqlite3.connect(state / "sonda.sqlite3", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        server.wait_for_log(
            "nothing is handed over while it cannot be recorded: database is locked"
        )
        ready = call(server, "GET", "/ready")
        assert ready.status_code == 200
        assert "cannot be recorded: database is locked" in ready.json()["warnings"][0]
        assert "sonda_scenarios_unrecorded 1.0" in told_of_runs(server)
        held = call(server, "GET", f"/scenarios/{run}").json()["ledger"]
        assert held["backlog"] > 0
        assert adds_up(held)
        other.execute("ROLLBACK")
        other.close()
        server.wait_for_log("is recorded again")
        assert call(server, "GET", "/ready").json() == {"status": "ready"}
        ended = call(server, "DELETE", f"/scenarios/{run}").json()
        assert ended["ledger"]["unknown"] == 0


def test_metrics_count_events_of_scenarios(tmp_path: Path) -> None:
    """They have their own origin, and runs are counted by state; no label holds an id."""
    with serving("--file-root", str(tmp_path), folder=tmp_path) as server:
        assert "sonda_scenarios" not in call(server, "GET", "/metrics").text
        run = call(server, "POST", "/scenarios", steps("counted", rate=200, count=5)).json()["id"]
        call(server, "GET", f"/scenarios/{run}?wait=55s")
        text = told_of_runs(server)
        counted = re.search(r'sonda_events_total\{[^}]*origin="scenario"[^}]*\} (\S+)', text)
        assert counted is not None
        assert counted[1] == "5.0"
        assert 'sonda_scenarios{state="finished"} 1.0' in text
        assert 'sonda_scenarios{state="running"} 0.0' in text
        assert run not in text
