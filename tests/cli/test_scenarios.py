"""`sonda run --server` and `sonda scenarios`, with a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sonda.cli.commands import sonda
from tests.support.serving import PATIENCE_S, Serving, serving

KEY = "a-key"
SMALL = """
scenario_name: {name}
defaults: {{rate: 100, count: 6, sink: {{type: file, path: {name}.txt}}}}
scenarios:
  - {{name: one, signal_type: metrics, generator: {{type: step, step_size: 0.5}}}}
  - {{name: two, signal_type: logs, log_generator: {{type: template, templates: ["tick {{tick}}"]}}}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server whose file root is the folder of its files."""
    root = tmp_path_factory.mktemp("root")
    with serving("--file-root", str(root), "--api-key", KEY, folder=root) as found:
        yield found


def _sonda(server: Serving, *words: str, text: str | None = None, key: str = KEY) -> Result:
    environ = {"SONDA_API_KEY": key, "COLUMNS": "200"}
    result = CliRunner(env=environ).invoke(sonda, [*words, "--server", server.url], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_without_a_command_they_are_listed(server: Serving) -> None:
    """As by `list`; the server may be named before a command, too."""
    _sonda(server, "run", "-", text=SMALL.format(name="early"))
    listed = _sonda(server, "scenarios")
    assert listed.exit_code == 0, listed.output
    assert "early: 12 of 12 delivered" in listed.stdout
    words = ["scenarios", "--server", server.url, "list", "--json"]
    named = CliRunner(env={"SONDA_API_KEY": KEY}).invoke(sonda, words)
    assert "early" in {run["name"] for run in _json(named)}


def test_a_server_runs_it(server: Serving) -> None:
    """The ledger stands on standard error, or as JSON on standard output, as of a run here."""
    result = _sonda(server, "run", "-", text=SMALL.format(name="small"))
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "small runs as " in result.stderr
    assert "planned 12, due 12, delivered 12" in result.stderr
    report = _json(
        _sonda(server, "run", "-", "--json", "--count", "2", text=SMALL.format(name="small"))
    )
    assert (report["outcome"], report["ledger"]["delivered"]) == ("completed", 4)
    assert [entry["id"] for entry in report["scenarios"]] == ["one", "two"]


def test_a_server_plans_it(server: Serving) -> None:
    """A dry run shows what the server would do, and starts nothing."""
    before = _json(_sonda(server, "scenarios", "list", "--json"))
    text = SMALL.format(name="planned")
    plan = _json(_sonda(server, "run", "-", "--dry-run", "--json", text=text))
    assert [entry["planned"] for entry in plan["scenarios"]] == [6, 6]
    shown = _sonda(server, "run", "-", "--dry-run", text=text)
    assert "one: 6 events until" in shown.stdout
    assert _json(_sonda(server, "scenarios", "list", "--json")) == before


def test_variables_stand_in_the_file_not_on_the_server(server: Serving) -> None:
    """`${NAME}` is replaced here, before the document travels."""
    text = SMALL.format(name="vars").replace("count: 6", "count: '${COUNT:-3}'")
    report = _json(_sonda(server, "run", "-", "--json", text=text))
    assert report["ledger"]["planned"] == 6


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        (
            SMALL.format(name="bad").replace("rate: 100", "rate: 0"),
            2,
            "defaults.rate: invalid value 0",
        ),
        (SMALL.format(name="bad").replace("bad.txt", "/etc/motd"), 2, "--file-root"),
        ("scenarios: []", 2, "expected at least one entry"),
    ],
)
def test_mistakes_are_the_servers_words(server: Serving, text: str, status: int, says: str) -> None:
    """What the server refuses is status 2, and nothing is sent."""
    result = _sonda(server, "run", "-", text=text)
    assert (result.exit_code, says in result.stderr) == (status, True), result.output
    as_json = _sonda(server, "run", "-", "--json", text=text)
    assert as_json.exit_code == status
    assert says in json.loads(as_json.stdout)["detail"]


def test_a_wrong_key_and_no_server(server: Serving) -> None:
    """A wrong key is a mistake; a server that is not there was never asked."""
    assert _sonda(server, "scenarios", "list", key="wrong").exit_code == 2
    result = CliRunner().invoke(sonda, ["scenarios", "list", "--server", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "no answer from the server http://127.0.0.1:1: Connection refused" in result.stderr


def test_a_server_that_is_killed_meanwhile(tmp_path: Path) -> None:
    """Events were sent, and nobody says what became of them: that is unknown, not rejected."""
    text = """
        name: one
        signal_type: metrics
        rate: 10
        sink: {type: file, path: one.txt}
        generator: {type: step, step_size: 1}
    """
    with serving("--file-root", str(tmp_path), folder=tmp_path) as server:
        command = [sys.executable, "-m", "sonda", "run", "-", "--server", server.url]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            assert running.stdin is not None
            assert running.stderr is not None
            running.stdin.write(text)
            running.stdin.close()
            run_id = running.stderr.readline().split()[-1]
            server.stop(signal.SIGKILL)
            rest = running.stderr.read()
    assert running.returncode == 3
    assert f"what becomes of the run is not known (sonda scenarios show {run_id})" in rest


def test_the_key_may_be_in_a_file(server: Serving, tmp_path: Path) -> None:
    """As `sonda emit --server` reads it: both ask one function."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    environ = {"SONDA_API_KEY": "", "SONDA_API_KEY_FILE": str(tmp_path / "key"), "COLUMNS": "200"}
    words = ("scenarios", "list", "--server", server.url, "--json")
    listed = CliRunner().invoke(sonda, words, env=environ)
    assert (listed.exit_code, listed.stderr) == (0, "")


def test_what_was_not_delivered_is_written(server: Serving, tmp_path: Path) -> None:
    """`--failed` has the events that the server makes again, and the status is 1."""
    failed = tmp_path / "failed.jsonl"
    args = ("--to", "tcp=127.0.0.1:1", "--on-sink-error", "fail", "--failed", str(failed))
    result = _sonda(server, "run", "-", *args, text=SMALL.format(name="lost"))
    assert result.exit_code == 1, result.output
    assert "Connection refused" in result.stderr
    events = [json.loads(line) for line in failed.read_text().splitlines()]
    assert events
    assert {event["sink"]["type"] for event in events} == {"tcp"}


def test_list_show_stop(server: Serving) -> None:
    """A run is listed, shown and stopped, by its id or an entry's."""
    body = SMALL.format(name="endless").replace("count: 6, ", "")
    with _running(server, body) as (process, run):
        assert f"{run}  running" in _sonda(server, "scenarios", "list").stdout
        assert run in [
            one["id"]
            for one in _json(_sonda(server, "scenarios", "list", "--json", "--state", "running"))
        ]
        assert "endless: running" in _sonda(server, "scenarios", "show", run).stdout
        entry = _json(_sonda(server, "scenarios", "show", f"{run}.one", "--json"))
        assert entry["name"] == "one"
        stopped = _json(_sonda(server, "scenarios", "stop", f"{run}.one", "--json"))
        assert stopped["status"] == "stopped"
        last = _sonda(server, "scenarios", "stop", run)
        assert (last.exit_code, f"{run}: stopped: " in last.stdout) == (0, True)
        assert process.wait(PATIENCE_S) == _status_of(server, run)
    watched = _sonda(server, "scenarios", "watch", run)
    assert "endless: stopped after" in watched.stderr
    gone = _sonda(server, "scenarios", "stop", run, "--forget")
    assert gone.exit_code == 0
    missing = _sonda(server, "scenarios", "show", run)
    assert (missing.exit_code, "there is no scenario" in missing.stderr) == (2, True)


def test_ctrl_c_stops_the_run_on_the_server(server: Serving) -> None:
    """The first signal drains, and the ledger is printed as ever."""
    body = SMALL.format(name="broken").replace("count: 6, ", "")
    with _running(server, body) as (process, run):
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == _status_of(server, run)
    assert _json(_sonda(server, "scenarios", "show", run, "--json"))["outcome"] == "stopped"


def _status_of(server: Serving, run: str) -> int:
    """The exit status that a ledger means: a stop may leave events that were due."""
    ledger = _json(_sonda(server, "scenarios", "show", run, "--json"))["ledger"]
    assert ledger["unknown"] == ledger["rejected"] == 0
    return 1 if ledger["skipped"] else 0


class _running:  # noqa: N801  # a context manager
    """`sonda run --server` in a process of its own, and the id of its run."""

    def __init__(self, server: Serving, body: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sonda", "run", "-", "--server", server.url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SONDA_API_KEY": KEY},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(body)
        self._process.stdin.close()

    def __enter__(self) -> tuple[subprocess.Popen[str], str]:
        assert self._process.stderr is not None
        first = self._process.stderr.readline()
        assert " runs as " in first, first + self._process.stderr.read()
        return self._process, first.split()[-1]

    def __exit__(self, *_: object) -> None:
        assert self._process.stderr is not None
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stderr.close()
